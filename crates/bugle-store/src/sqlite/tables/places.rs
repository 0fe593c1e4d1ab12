//! Emitters' places as rows.

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use bugle_core::{Sequence, Setbacks, Subscription};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Statement, params_from_iter};

use crate::backlog::Snapshot;
use crate::sqlite::error::bad_value;
use crate::sqlite::tables::emitters::EmitterKey;
use crate::sqlite::tables::seal::{check_seal, seal};
use crate::sqlite::tables::values::{Value, optional};

/// What is done with the two tables of places.
pub(crate) struct PlaceTables<'c> {
    move_cursor: Statement<'c>,
    write: Statement<'c>,
    is_there: Statement<'c>,
    carry: Statement<'c>,
    delete: Statement<'c>,
    delete_carried: Statement<'c>,
}

impl<'c> PlaceTables<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            move_cursor: conn.prepare(
                "UPDATE places SET cursor = ?2, settled = ?3, setbacks = ?4, moved_seal = ?5 \
                 WHERE emitter = ?1",
            )?,
            write: conn.prepare(
                "INSERT OR REPLACE INTO places (emitter, cursor, settled, setbacks, moved_seal, \
                 subscription, discards, since, place_seal) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            is_there: conn.prepare(
                "SELECT 1 FROM places WHERE emitter = ?1 AND subscription = ?2 AND discards = ?3 \
                 AND since = ?4",
            )?,
            carry: conn.prepare(
                "INSERT INTO carried (emitter, entries, carried_seal) VALUES (?1, ?2, ?3)",
            )?,
            delete: conn.prepare("DELETE FROM places WHERE emitter = ?1")?,
            delete_carried: conn.prepare("DELETE FROM carried WHERE emitter = ?1")?,
        })
    }

    /// Writes a place down: only what moves with each event, or all of it.
    pub(crate) fn write(
        &mut self,
        emitter: EmitterKey,
        place: &Snapshot,
        whole: bool,
    ) -> rusqlite::Result<()> {
        let cursor = place.cursor.0.cast_signed();
        let settled = (!place.settled.is_empty()).then(|| write_ranges(&place.settled));
        let settled = optional(settled);
        let setbacks = optional(place.setbacks.as_deref().map(write_setbacks).transpose()?);
        let moved = [emitter.into(), cursor.into(), settled, setbacks];
        let moved_seal = Value::from(seal(&moved));
        let moved = moved.into_iter().chain([moved_seal]);
        if !whole {
            self.move_cursor.execute(params_from_iter(moved))?;
            return Ok(());
        }
        let names = write_names(&place.subscription)?;
        let since = place.since.0.cast_signed();
        let place_row = [names.into(), place.discards.into(), since.into()];
        let place_seal = seal([&Value::from(emitter)].into_iter().chain(&place_row));
        let row = moved.chain(place_row).chain([Value::from(place_seal)]);
        self.write.execute(params_from_iter(row))?;
        self.delete_carried.execute([emitter])?;
        if let Some(carried) = place.carried.as_ref().filter(|carried| !carried.is_empty()) {
            let row = [emitter.into(), write_ranges(&join(carried)).into()];
            let seal = Value::from(seal(&row));
            self.carry.execute(params_from_iter(row.into_iter().chain([seal])))?;
        }
        Ok(())
    }

    /// Whether a place is there as it is to be, wherever its cursor is: it has this subscription,
    /// from the same moment on.
    pub(crate) fn is_there(
        &mut self,
        emitter: EmitterKey,
        place: &Snapshot,
    ) -> rusqlite::Result<bool> {
        let names = write_names(&place.subscription)?;
        let since = place.since.0.cast_signed();
        self.is_there.exists((emitter, names, place.discards, since))
    }

    /// Forgets an emitter.
    pub(crate) fn delete(&mut self, emitter: EmitterKey) -> rusqlite::Result<()> {
        self.delete.execute([emitter])?;
        self.delete_carried.execute([emitter])?;
        Ok(())
    }
}

fn write_names(subscription: &Subscription) -> rusqlite::Result<String> {
    let names: Vec<&str> = subscription.names().collect();
    serde_json::to_string(&names).map_err(|error| bad_value(3, error.to_string()))
}

fn write_setbacks(setbacks: &Setbacks) -> rusqlite::Result<String> {
    serde_json::to_string(setbacks).map_err(|error| bad_value(3, error.to_string()))
}

/// What [`read_place`] reads, behind its emitter's id: all places.
pub(crate) const PLACES: &str = "SELECT emitters.id, subscription, discards, since, cursor, \
     settled, entries, setbacks, places.emitter, place_seal, moved_seal, carried.emitter, \
     carried_seal FROM places LEFT JOIN emitters ON key = places.emitter \
     LEFT JOIN carried ON carried.emitter = places.emitter";

/// Reads a place from a row.
pub(crate) fn read_place(row: &Row<'_>) -> rusqlite::Result<Snapshot> {
    let from = 1;
    check_seal(row, [8, 1, 2, 3], 9, "an emitter's place")?;
    check_seal(row, [8, 4, 5, 7], 10, "an emitter's cursor")?;
    if row.get_ref(11)? != ValueRef::Null {
        check_seal(row, [11, 6], 12, "what waits for an emitter")?;
    }
    let subscription: String = row.get(from)?;
    let subscription: Subscription =
        serde_json::from_str(&subscription).map_err(|error| bad_value(from, error.to_string()))?;
    let ranges = |column: usize| -> rusqlite::Result<Vec<(Sequence, Sequence)>> {
        let text: Option<String> = row.get(column)?;
        read_ranges(&text.unwrap_or_default())
            .ok_or_else(|| bad_value(column, "no list of ranges of events"))
    };
    let carried = ranges(from + 5)?;
    let carried = carried.iter().flat_map(|(first, last)| (first.0..=last.0).map(Sequence));
    let setbacks: Option<String> = row.get(from + 6)?;
    let setbacks: Option<Box<Setbacks>> = setbacks
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| bad_value(from + 6, error.to_string()))?;
    Ok(Snapshot {
        subscription: Arc::new(subscription),
        discards: row.get(from + 1)?,
        since: Sequence(row.get::<_, i64>(from + 2)?.cast_unsigned()),
        cursor: Sequence(row.get::<_, i64>(from + 3)?.cast_unsigned()),
        settled: ranges(from + 4)?,
        carried: Some(carried.collect()),
        setbacks,
    })
}

/// Numbers, in order, as ranges without gaps.
fn join(numbers: &[Sequence]) -> Vec<(Sequence, Sequence)> {
    let mut ranges: Vec<(Sequence, Sequence)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.0 + 1 == number.0 => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    ranges
}

/// Ranges as text, as `17-19 23-23`.
fn write_ranges(ranges: &[(Sequence, Sequence)]) -> String {
    let mut text = String::new();
    for (first, last) in ranges {
        if !text.is_empty() {
            text.push(' ');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{first}-{last}");
    }
    text
}

fn read_ranges(text: &str) -> Option<Vec<(Sequence, Sequence)>> {
    let number = |text: &str| u64::from_str(text).ok().map(Sequence);
    text.split_whitespace()
        .map(|range| {
            let (first, last) = range.split_once('-')?;
            Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_back_and_anything_else_refused() {
        let numbers = [1, 2, 3, 7, 9, 10].map(Sequence);
        let ranges = join(&numbers);
        assert_eq!(write_ranges(&ranges), "1-3 7-7 9-10");
        assert_eq!(read_ranges("1-3 7-7 9-10"), Some(ranges));
        assert_eq!(read_ranges(""), Some(vec![]));
        for bad in ["x", "1", "1-", "3-1", "1-2,3-4", "-1-2"] {
            assert_eq!(read_ranges(bad), None, "{bad}");
        }
    }
}
