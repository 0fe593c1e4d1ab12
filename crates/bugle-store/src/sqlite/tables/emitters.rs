//! The emitters' numbers, by which the other tables know them.

use bugle_core::EmitterId;
use rusqlite::{Connection, Statement};
use rustc_hash::FxHashMap;

use crate::sqlite::tables::seal::seal;

/// An emitter's number.
pub(crate) type EmitterKey = i64;

/// The numbers of all emitters that anything refers to.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    keys: FxHashMap<EmitterId, EmitterKey>,
    last: EmitterKey,
    /// Those that are not committed yet.
    added: Vec<EmitterId>,
}

impl Keys {
    pub(crate) fn enter(&mut self, id: EmitterId, key: EmitterKey) {
        self.last = self.last.max(key);
        self.keys.insert(id, key);
    }

    /// An emitter's number, if it has one.
    pub(crate) fn find(&self, id: &EmitterId) -> Option<EmitterKey> {
        self.keys.get(id).copied()
    }

    /// An emitter's number; a new one gets the next.
    pub(crate) fn get(
        &mut self,
        id: &EmitterId,
        tables: &mut EmitterTable<'_>,
    ) -> rusqlite::Result<EmitterKey> {
        if let Some(key) = self.keys.get(id) {
            return Ok(*key);
        }
        let key = self.last + 1;
        let seal = seal(&[key.into(), id.as_str().into()]);
        tables.insert.execute((key, id.as_str(), seal))?;
        self.added.push(id.clone());
        self.enter(id.clone(), key);
        Ok(key)
    }

    /// Nothing refers to an emitter any more: if it comes back, it gets another number.
    pub(crate) fn leave(&mut self, id: &EmitterId) {
        self.keys.remove(id);
    }

    pub(crate) fn committed(&mut self) {
        self.added.clear();
    }

    pub(crate) fn rolled_back(&mut self) {
        for id in self.added.drain(..) {
            self.keys.remove(&id);
        }
    }
}

/// What is done with the table.
pub(crate) struct EmitterTable<'c> {
    insert: Statement<'c>,
}

impl<'c> EmitterTable<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: conn.prepare("INSERT INTO emitters (key, id, seal) VALUES (?1, ?2, ?3)")?,
        })
    }
}
