//! Tests that clean up after themselves.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// The time within which everything that a test started must end, in real time.
const DEADLINE: Duration = Duration::from_secs(10);

/// Runs a test, or a part of one, and panics unless every task that it spawned on its tokio runtime
/// ends with it: at once, or soon after without being told to. Tasks of other tests don't count, as
/// each `#[tokio::test]` has a runtime of its own; nor do those of the testkit's servers.
///
/// ```
/// use bugle_testkit::assert_no_leaks;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = assert_no_leaks(async {
///     let working = tokio::spawn(async { 42 });
///     working.await.unwrap_or_default()
/// })
/// .await;
/// assert_eq!(answer, 42);
/// # }
/// ```
///
/// # Panics
/// When more tasks are alive than before, still after ten seconds of real time.
pub async fn assert_no_leaks<T>(test: impl Future<Output = T>) -> T {
    let (value, leaked) = run(test, DEADLINE).await;
    assert!(leaked == 0, "the test leaks {leaked} tasks: they are still alive after {DEADLINE:?}");
    value
}

/// Returns the test's result, and the number of its tasks that are alive at the deadline.
async fn run<T>(test: impl Future<Output = T>, deadline: Duration) -> (T, usize) {
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let value = test.await;
    let start = Instant::now();
    loop {
        let leaked = metrics.num_alive_tasks().saturating_sub(before);
        if leaked == 0 || start.elapsed() >= deadline {
            return (value, leaked);
        }
        // The other tasks get their turn. A sleep would move a paused clock on, and so end tasks
        // that would have run for hours.
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_stays_is_a_leak() {
        let test = async {
            for _ in 0..3 {
                tokio::spawn(tokio::time::sleep(Duration::from_secs(3_600)));
            }
            tokio::spawn(async {}).await.is_ok()
        };
        assert_eq!(run(test, Duration::from_millis(20)).await, (true, 3));
    }
}
