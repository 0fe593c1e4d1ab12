//! Tests that clean up after themselves.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// How long what a test started may take to end, in real time.
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
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let value = test.await;
    let start = Instant::now();
    while metrics.num_alive_tasks() > before {
        let leaked = metrics.num_alive_tasks().saturating_sub(before);
        assert!(start.elapsed() < DEADLINE, "{leaked} tasks are still alive: the test leaks them");
        // The others get their turn. A sleep would not do: it moves a paused clock on, and so ends
        // tasks that would have gone on for hours.
        tokio::task::yield_now().await;
    }
    value
}
