//! The runtime of the testkit's servers: one for the process, apart from the runtime of each test.
//! So a server works whatever the test does with its clock and its threads, and a test that counts
//! its tasks does not count the server's.

use std::future::Future;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

/// The handle of the runtime, which the first call starts.
pub(crate) fn handle() -> io::Result<&'static Handle> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("bugle-testkit")
            .enable_all()
            .build()
    });
    match runtime {
        Ok(runtime) => Ok(runtime.handle()),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

/// Awaits a future for at most this long in real time, also in a test whose own clock is paused.
/// `None` when the time is over first.
pub(crate) async fn within<T>(deadline: Duration, future: impl Future<Output = T>) -> Option<T> {
    let sleep = {
        let _entered = handle().ok()?.enter();
        tokio::time::sleep(deadline)
    };
    tokio::select! {
        biased;
        value = future => Some(value),
        () = sleep => None,
    }
}
