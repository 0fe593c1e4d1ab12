//! A page of one emitter's attempts, in a log of few and in a log of many.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bugle::{
    AttemptCode, AttemptLog, AttemptQuery, Delivery, EmitterId, Event, EventName, Exchange,
    Failure, NewAttempt, Outcome, RequestId, Sequence, SqliteOptions, Store, Timestamp,
};

use crate::fill::bar;
use crate::stats::{median, micros};

/// The small log.
pub(crate) const FEW: u64 = 10_000;

/// Emitters that take turns.
const EMITTERS: u64 = 64;

/// How often a page is asked for.
const PAGES: usize = 200;

/// How long a page takes, in microseconds: medians.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paged {
    pub(crate) few_us: f64,
    pub(crate) many_us: f64,
}

/// Asks for pages of the one and of the other log in turns: the first, and those behind it.
pub(crate) async fn measure(few: &Path, many: &Path, attempts: u64) -> Result<Paged> {
    let few = prepare(few, FEW.min(attempts)).await?;
    let many = prepare(many, attempts).await?;
    let (mut few, mut many) = (Pages::of(&few), Pages::of(&many));
    let mut taken = (Vec::new(), Vec::new());
    for number in 0..PAGES {
        let pair = (few.next().await?, many.next().await?);
        if number >= PAGES / 10 {
            taken.0.push(pair.0);
            taken.1.push(pair.1);
        }
    }
    let of = |taken| median(taken).unwrap_or(f64::NAN);
    Ok(Paged { few_us: of(taken.0), many_us: of(taken.1) })
}

struct Pages {
    log: Arc<dyn AttemptLog>,
    cursor: Option<bugle::PageCursor>,
}

impl Pages {
    fn of(store: &Store) -> Self {
        Self { log: store.attempts(), cursor: None }
    }

    /// How long the next page takes; behind the last one comes the first.
    async fn next(&mut self) -> Result<f64> {
        let query = AttemptQuery::new().webhook_ids([EmitterId::new("emitter-7")?]).limit(100);
        let asked = Instant::now();
        let page = self.log.page(&query, self.cursor.take()).await?;
        let taken = micros(asked.elapsed());
        self.cursor = page.cursor;
        Ok(taken)
    }
}

/// A store with so many attempts.
async fn prepare(directory: &Path, attempts: u64) -> Result<Store> {
    let store = Store::open_with(directory, SqliteOptions::new().attempts(u64::MAX))?;
    let log = store.attempts();
    let progress = bar(attempts, "filling the log: attempts")?;
    let name = EventName::new("bench.page")?;
    for number in 0..attempts {
        let event =
            Event::new(name.clone(), RequestId::random(), bytes::Bytes::new(), Timestamp::now());
        let emitter = EmitterId::new(format!("emitter-{}", number % EMITTERS))?;
        let delivery = Delivery::new(emitter, Sequence(number), Arc::new(event), 1);
        let failure = Failure::new(AttemptCode::Timeout, "the deadline passed");
        let outcome = Outcome::failed(failure, Exchange::default());
        log.record(NewAttempt::new(delivery, outcome, Timestamp::now()));
        if number % 20_000 == 19_999 {
            store.journal().flush().await.context("the log can't be written")?;
            progress.inc(20_000);
        }
    }
    store.journal().flush().await.context("the log can't be written")?;
    progress.finish_and_clear();
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let (few, many) = (directory.path().join("few"), directory.path().join("many"));
        let found = measure(&few, &many, 15_000).await.unwrap();
        assert!(found.few_us > 0.0 && found.many_us > 0.0, "{found:?}");
    }
}
