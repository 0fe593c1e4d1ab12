//! The columns that an audit table has beside Keel's, and the order that its rows have by them.

use crate::install::Found;

/// Tells audit tables apart by their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Each row takes the next number as it is written: the order in which changes were made, as
    /// the writer of a record holds its lock.
    pub(crate) numbered: bool,
    /// `created_at` is the clock's time, and not that of the transaction's start.
    pub(crate) clocked: bool,
    /// The table has a column for why a row can't be an event.
    pub(crate) has_error: bool,
    /// The table has the whole trace context, and not its id alone.
    pub(crate) has_traceparent: bool,
    /// The table's texts may be any bytes, which are read as bytes: the server would refuse a whole
    /// batch for one that is no UTF-8.
    pub(crate) raw: bool,
}

impl Shape {
    pub(crate) fn of(found: &Found) -> Self {
        Self {
            numbered: found.is_numbered,
            clocked: found.is_clocked,
            has_error: found.is_numbered && found.has("error"),
            has_traceparent: found.has("traceparent"),
            raw: found.is_raw,
        }
    }

    /// SQL for the condition that a row waits to be an event.
    pub(super) fn pending(self) -> &'static str {
        match self.has_error {
            true => "event_processed_at is null and error is null",
            false => "event_processed_at is null",
        }
    }

    /// SQL for the keys that order the rows `row` of the table itself. Without numbers the order is
    /// a guess, by the transactions' first writes and their commands, and where `created_at` is the
    /// clock's, by that. Ties go by the bytes of the ids, whatever the database's collation is.
    pub(super) fn keys(self, row: &str) -> Vec<String> {
        if self.numbered {
            return vec![format!("{row}.position")];
        }
        let created = format!("{row}.created_at");
        let mut keys = vec![format!("-age({row}.xmin)"), format!("{row}.cmin::text::bigint")];
        keys.insert(if self.clocked { 0 } else { keys.len() }, created);
        keys.push(format!("{row}.id collate \"C\""));
        keys
    }

    /// SQL for the columns that keep those keys of a row that are not columns, for `keys_kept`.
    pub(super) fn kept(self, row: &str) -> String {
        match self.numbered {
            true => String::new(),
            false => {
                format!(", -age({row}.xmin) as bugle_xid, {row}.cmin::text::bigint as bugle_cid")
            }
        }
    }

    /// SQL for the same keys, of rows that were selected with the columns of `kept`.
    pub(super) fn keys_kept(self, row: &str) -> Vec<String> {
        let mut keys = self.keys(row);
        for key in &mut keys {
            if key.contains("xmin") {
                *key = format!("{row}.bugle_xid");
            } else if key.contains("cmin") {
                *key = format!("{row}.bugle_cid");
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_by_their_numbers_or_else_by_their_transactions() {
        let shape = |numbered, clocked| Shape {
            numbered,
            clocked,
            has_error: false,
            has_traceparent: false,
            raw: false,
        };
        assert_eq!(shape(true, true).keys("a"), ["a.position"]);
        let by_transaction = ["a.bugle_xid", "a.bugle_cid", "a.created_at", "a.id collate \"C\""];
        assert_eq!(shape(false, false).keys_kept("a"), by_transaction);
        assert_eq!(shape(false, true).keys_kept("a")[0], "a.created_at");
    }
}
