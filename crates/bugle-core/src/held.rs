//! Lines: entries that follow one another.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::{Entry, Order, OrderingKey};

/// Lets one entry of each line go at a time, and holds the others behind it, in order. With
/// `Strict` there is one line, with `PerKey` one for each ordering key, with `Unordered` none.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Strict(Line),
    PerKey(FxHashMap<OrderingKey, Line>),
    Unordered,
}

/// The entries behind the one that may go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    taken: bool,
    behind: VecDeque<Entry>,
}

impl Line {
    fn join(&mut self, entry: Entry) -> Option<Entry> {
        if self.taken {
            self.behind.push_back(entry);
            return None;
        }
        self.taken = true;
        Some(entry)
    }

    fn leave(&mut self) -> Option<Entry> {
        let next = self.behind.pop_front();
        self.taken = next.is_some();
        next
    }
}

impl Held {
    pub(crate) fn new(order: Order) -> Self {
        match order {
            Order::Strict => Self::Strict(Line::default()),
            Order::PerKey { .. } => Self::PerKey(FxHashMap::default()),
            Order::Unordered { .. } => Self::Unordered,
        }
    }

    /// Gives the entry back when it may go at once; otherwise it is held.
    pub(crate) fn join(&mut self, entry: Entry) -> Option<Entry> {
        match self {
            Self::Strict(line) => line.join(entry),
            Self::PerKey(lines) => match &entry.event.key {
                Some(key) => match lines.get_mut(key) {
                    Some(line) => line.join(entry),
                    None => lines.entry(key.clone()).or_default().join(entry),
                },
                None => Some(entry),
            },
            Self::Unordered => Some(entry),
        }
    }

    /// Takes an entry out that is done with, and gives the one that may go next instead.
    pub(crate) fn leave(&mut self, entry: &Entry) -> Option<Entry> {
        match self {
            Self::Strict(line) => line.leave(),
            Self::PerKey(lines) => {
                let key = entry.event.key.as_ref()?;
                let next = lines.get_mut(key)?.leave();
                if next.is_none() {
                    lines.remove(key);
                }
                next
            }
            Self::Unordered => None,
        }
    }
}
