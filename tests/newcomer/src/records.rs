//! What the service looks up.

use std::pin::pin;

use bugle::events::flow;
use bugle::{Attempt, AttemptQuery, LogError, Page, Runtime, Stream, TimeError};

/// The newest attempts since a day that an operator typed.
///
/// # Errors
/// A day that is none, or a store that can't read.
pub async fn newest(
    runtime: &Runtime,
    day: &str,
) -> Result<Page<Attempt>, Box<dyn std::error::Error>> {
    let query: Result<AttemptQuery, TimeError> = AttemptQuery::new().after(day);
    Ok(runtime.attempts().page(query?.limit(10), None).await?)
}

/// All of them, one after the other, without another crate's streams.
///
/// # Errors
/// A store that can't read.
pub async fn read_all(runtime: &Runtime) -> Result<Vec<Attempt>, LogError> {
    let mut attempts = pin!(runtime.attempts().query(AttemptQuery::new()));
    let mut all = Vec::new();
    while let Some(attempt) =
        std::future::poll_fn(|context| attempts.as_mut().poll_next(context)).await
    {
        all.push(attempt?);
    }
    println!("{} of {} types", all.len(), flow::registry().names().count());
    Ok(all)
}
