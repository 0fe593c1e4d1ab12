//! Measures the time until all emitters of an earlier process are attached again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bugle::{Durability, EmitterConfig, Runtime, SqliteOptions, Store};
use serde::{Deserialize, Serialize};

use crate::fill::bar;
use crate::stats::millis;

/// The result.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Restored {
    /// Milliseconds until the store was open.
    pub(crate) open_ms: f64,
    /// Milliseconds until its emitters ran.
    pub(crate) restored_ms: f64,
}

/// Attaches so many emitters in a new store, each with a subscription of its own.
pub(crate) async fn prepare(directory: &Path, emitters: usize) -> Result<()> {
    let options = SqliteOptions::new().durability(Durability::Os);
    let runtime = Runtime::builder().store(Store::open_with(directory, options)?).start().await?;
    let progress = bar(emitters as u64, "attaching: emitters")?;
    for number in 0..emitters {
        let config = EmitterConfig::new(format!("https://hooks.example.com/{number}"))?;
        runtime.attach(format!("emitter-{number}"), format!("bench.{number}"), config).await?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    runtime.shutdown(Duration::ZERO).await;
    Ok(())
}

/// Restores the emitters, in a process that has done nothing else.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn part(directory: PathBuf, emitters: usize) -> Result<Restored> {
    let start = Instant::now();
    let store = Store::open(directory)?;
    let open_ms = millis(start.elapsed());
    let runtime = Runtime::builder().store(store).restore_emitters(true).start().await?;
    let restored_ms = millis(start.elapsed());
    ensure!(runtime.list_emitters().len() == emitters, "all emitters run");
    runtime.shutdown(Duration::ZERO).await;
    Ok(Restored { open_ms, restored_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emitters_are_restored() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(prepare(directory.path(), 30)).unwrap();
        let found = part(directory.path().to_owned(), 30).unwrap();
        assert!(0.0 < found.open_ms && found.open_ms < found.restored_ms, "{found:?}");
        assert!(part(directory.path().to_owned(), 31).is_err());
    }
}
