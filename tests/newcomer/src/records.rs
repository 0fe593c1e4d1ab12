//! Reads the service's logs.

use std::pin::pin;

use bugle::events::flow;
use bugle::{Attempt, AttemptQuery, LogError, Page, Runtime, Stream, TimeError};

/// Finds the newest attempts since a day that an operator typed.
///
/// # Errors
/// A text that is no day, or a store that can't be read.
pub async fn newest(
    runtime: &Runtime,
    day: &str,
) -> Result<Page<Attempt>, Box<dyn std::error::Error>> {
    let query: Result<AttemptQuery, TimeError> = AttemptQuery::new().after(day);
    Ok(runtime.attempts().page(query?.limit(10), None).await?)
}

/// Reads all attempts, one after the other, without another crate's streams.
///
/// # Errors
/// A store that can't be read.
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
