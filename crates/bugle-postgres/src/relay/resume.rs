//! The source position that the journal stores for a relay: the rows in it whose marks may be
//! missing.
//!
//! The position is written with the events, in one transaction of the journal. After a process was
//! killed the next one marks those rows, and emits none of them twice. The text is the id of the
//! last row, by which the table is known to be the same, and the positions of all, as ranges.

use bugle::{RuntimeHandle, SourceId, SourcePosition};
use tokio_postgres::Client;

use super::entry::Place;
use super::error::RelayError;
use super::ranges::Ranges;
use super::source::Opened;

/// The longest text that a journal takes as a position, in bytes.
const LONGEST: usize = 1024;

/// The id under which the journal stores the position.
pub(super) fn source_id(opened: &Opened) -> Option<SourceId> {
    let id = format!("postgres/{}/{}", opened.oid, opened.name);
    SourceId::new(id).ok()
}

/// The position once these rows are in the journal too. `None` when it would be too long: rows that
/// are far from being neighbours. After a kill just then, they are emitted twice, under the same
/// request ids.
pub(super) fn position(
    source: &SourceId,
    unmarked: &[Place],
    emitted: &[Place],
) -> Option<SourcePosition> {
    let last = emitted.last()?;
    let positions = unmarked.iter().chain(emitted).filter_map(Place::position);
    let text = format!("{} {}", positions.collect::<Ranges>(), last.id());
    if last.position().is_none() || text.len() > LONGEST {
        return None;
    }
    SourcePosition::new(source.as_str(), text).ok()
}

/// Finds the rows that an earlier process had in this journal, if the last of them is not marked:
/// the marks of a batch are made together, and in order.
pub(super) async fn left_by_earlier_process(
    runtime: &RuntimeHandle,
    client: &Client,
    opened: &Opened,
) -> Result<Vec<Place>, RelayError> {
    let Some(source) = source_id(opened).filter(|_| opened.has_position) else {
        return Ok(Vec::new());
    };
    let remembered = runtime.position(source.as_str()).await;
    let remembered = remembered.map_err(|error| RelayError::Journal(error.to_string()))?;
    let read = remembered.as_ref().and_then(|position| read(position.as_str()));
    let Some((ranges, last_id)) = read else { return Ok(Vec::new()) };
    let Some(last) = ranges.last() else { return Ok(Vec::new()) };
    if opened.id_at(client, last).await?.as_deref() != Some(last_id) {
        // Deleted, or another table of the same name and number.
        return Ok(Vec::new());
    }
    Ok(ranges.iter().map(|position| Place::new(String::new(), Some(position))).collect())
}

fn read(text: &str) -> Option<(Ranges, &str)> {
    let (ranges, last_id) = text.split_once(' ')?;
    Some((ranges.parse().ok()?, last_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_back() {
        let place = |position: i64| Place::new(format!("id {position}"), Some(position));
        let (unmarked, emitted) = ([place(1), place(2)], [place(3), place(7)]);
        let position = SourceId::new("s").ok().and_then(|s| position(&s, &unmarked, &emitted));
        let text =
            position.map(|position| position.position.as_str().to_owned()).unwrap_or_default();
        assert_eq!(text, "1-3,7 id 7");
        let (ranges, id) = read(&text).unwrap_or_default();
        assert_eq!((ranges.iter().collect::<Vec<_>>(), id), (vec![1, 2, 3, 7], "id 7"));
        assert!(read("1-x id").is_none() && read("").is_none());
    }

    #[test]
    fn what_is_too_long_is_not_remembered() {
        let scattered: Vec<Place> =
            (0..1000).map(|n| Place::new(n.to_string(), Some(n * 1000))).collect();
        let source = SourceId::new("s");
        assert!(source.is_ok_and(|source| position(&source, &[], &scattered).is_none()));
    }
}
