//! A page of one emitter's attempts, in a log of few and in a log of many.
//!
//! Both logs are asked the same: the newest attempts of each emitter in turn, a full page. The
//! tables that these pages are read from are as large in both, and each turn after the first finds
//! them as the one before has left them, so the two differ in nothing but the length of the log.
//! Beside that, not compared with anything: full pages all over the long log, behind the cursor of
//! another, where nothing has been read before. Emitters take turns in the log, so that each row of
//! such a page is on a page of the file that has to be read first.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bugle::{
    Attempt, AttemptCode, AttemptLog, AttemptQuery, Delivery, EmitterId, Event, EventName,
    Exchange, Failure, NewAttempt, Outcome, Page, PageCursor, RequestId, Sequence, SqliteOptions,
    Store, Timestamp,
};

use crate::fill::bar;
use crate::stats::{median, micros};

/// The number of attempts in the small log.
pub(crate) const FEW: u64 = 10_000;

/// The number of emitters that take turns.
const EMITTERS: u64 = 64;

/// The number of attempts in a page.
const LIMIT: usize = 100;

/// The number of times that each emitter is asked for, after a first time that is not counted.
const TURNS: u64 = 10;

/// The time that a page takes, in microseconds: medians.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paged {
    /// Pages of the newest attempts, in the log of few and in the log of many.
    pub(crate) few_us: f64,
    pub(crate) many_us: f64,
    /// Pages anywhere in the log of many.
    pub(crate) anywhere_us: f64,
}

/// Asks for pages of the one and of the other log in turns.
pub(crate) async fn measure(few: &Path, many: &Path, attempts: u64) -> Result<Paged> {
    let few = prepare(few, FEW.min(attempts)).await?;
    let many = prepare(many, attempts).await?;
    let (few, many) = (few.attempts(), many.attempts());
    let (mut few_us, mut many_us, mut anywhere_us) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        for number in 0..EMITTERS {
            let pair = (page(&few, number, None).await?, page(&many, number, None).await?);
            ensure!(pair.0.0.items.len() == pair.1.0.items.len(), "both pages are full");
            if turn > 0 {
                few_us.push(pair.0.1);
                many_us.push(pair.1.1);
            }
        }
    }
    let places = EMITTERS * TURNS;
    for place in 1..=places {
        let below = PageCursor::before(attempts / (places + 1) * place);
        let (before, _) = page(&many, place % EMITTERS, Some(below)).await?;
        if before.cursor.is_some() {
            let (found, taken) = page(&many, place % EMITTERS, before.cursor).await?;
            anywhere_us.extend((found.items.len() == LIMIT).then_some(taken));
        }
    }
    let of = |taken| median(taken).unwrap_or(f64::NAN);
    Ok(Paged { few_us: of(few_us), many_us: of(many_us), anywhere_us: of(anywhere_us) })
}

/// Reads a page of an emitter's attempts; answers the time that it took.
async fn page(
    log: &Arc<dyn AttemptLog>,
    emitter: u64,
    cursor: Option<PageCursor>,
) -> Result<(Page<Attempt>, f64)> {
    let emitter = EmitterId::new(format!("emitter-{emitter}"))?;
    let query = AttemptQuery::new().webhook_ids([emitter]).limit(LIMIT);
    let asked = Instant::now();
    let page = log.page(&query, cursor).await?;
    Ok((page, micros(asked.elapsed())))
}

/// Makes a store with so many attempts.
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
        let found = measure(&few, &many, 30_000).await.unwrap();
        assert!(found.few_us > 0.0 && found.many_us > 0.0, "{found:?}");
        assert!(found.anywhere_us > 0.0, "{found:?}");
    }
}
