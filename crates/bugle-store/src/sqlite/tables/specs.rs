//! Emitters' specs as rows.

use std::sync::Arc;

use bugle_core::stored::StoredConfig;
use bugle_core::{
    Backlog, Desired, EmitterConfig, EmitterId, EmitterSpec, SpecError, Subscription,
};
use rusqlite::{Connection, Row, Statement};

use super::emitters::EmitterKey;
use super::seal::{check_seal, seal};
use super::values::read_text;

/// A spec as it is written down.
#[derive(Debug)]
pub(crate) struct SpecRow {
    subscription: String,
    desired: &'static str,
    config: StoredConfig,
}

const RUNNING: &str = "running";
const KEEPING: &str = "paused";
const DISCARDING: &str = "paused, discarding";

impl SpecRow {
    pub(crate) fn write(spec: &EmitterSpec) -> Result<Self, String> {
        let names: Vec<&str> = spec.subscription.names().collect();
        Ok(Self {
            subscription: serde_json::to_string(&names).map_err(|error| error.to_string())?,
            desired: match (spec.desired, spec.backlog) {
                (Desired::Running, _) => RUNNING,
                (Desired::Paused, Backlog::Keep) => KEEPING,
                (Desired::Paused, Backlog::Discard) => DISCARDING,
                _ => return Err("it is meant to do what this store does not know".to_owned()),
            },
            config: StoredConfig::write(&spec.config).map_err(|error| error.to_string())?,
        })
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.subscription.len() + self.config.reveal().len() + 64
    }
}

/// What is done with the table.
pub(crate) struct SpecTable<'c> {
    put: Statement<'c>,
    is_there: Statement<'c>,
    remove: Statement<'c>,
}

impl<'c> SpecTable<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            put: conn.prepare(
                "INSERT OR REPLACE INTO specs (emitter, subscription, desired, config, seal) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            is_there: conn.prepare(
                "SELECT 1 FROM specs WHERE emitter = ?1 AND subscription = ?2 AND desired = ?3 \
                 AND config = ?4",
            )?,
            remove: conn.prepare("DELETE FROM specs WHERE emitter = ?1")?,
        })
    }

    pub(crate) fn put(&mut self, emitter: EmitterKey, row: &SpecRow) -> rusqlite::Result<()> {
        let SpecRow { subscription, desired, config } = row;
        let (subscription, config) = (subscription.as_str(), config.reveal());
        let row = [emitter.into(), subscription.into(), (*desired).into(), config.into()];
        self.put.execute((emitter, subscription, desired, config, seal(&row)))?;
        Ok(())
    }

    /// Whether it is there as it is to be.
    pub(crate) fn is_there(
        &mut self,
        emitter: EmitterKey,
        row: &SpecRow,
    ) -> rusqlite::Result<bool> {
        let SpecRow { subscription, desired, config } = row;
        self.is_there.exists((emitter, subscription, desired, config.reveal()))
    }

    pub(crate) fn remove(&mut self, emitter: EmitterKey) -> rusqlite::Result<()> {
        self.remove.execute([emitter])?;
        Ok(())
    }
}

/// A row that was read and not looked into.
pub(crate) struct StoredSpec {
    id: EmitterId,
    is_whole: bool,
    subscription: String,
    desired: String,
    config: StoredConfig,
}

pub(crate) fn read_all(conn: &Connection) -> rusqlite::Result<Vec<StoredSpec>> {
    let mut statement = conn.prepare(
        "SELECT emitters.id, subscription, desired, config, emitter, specs.seal FROM specs \
         LEFT JOIN emitters ON emitters.key = emitter ORDER BY emitters.id",
    )?;
    let read = |row: &Row<'_>| {
        Ok(StoredSpec {
            is_whole: check_seal(row, [4, 1, 2, 3], 5, "a spec").is_ok(),
            id: read_text(row, 0, EmitterId::new)?,
            subscription: row.get(1)?,
            desired: row.get(2)?,
            config: StoredConfig::from_text(row.get(3)?),
        })
    };
    let found = statement.query_map([], read)?;
    found.collect()
}

pub(crate) fn parse_all(found: Vec<StoredSpec>) -> Result<Vec<EmitterSpec>, SpecError> {
    let mut specs = Vec::with_capacity(found.len());
    // Emitters often share one configuration, and then they share it again.
    let mut last: Option<(StoredConfig, Arc<EmitterConfig>)> = None;
    for StoredSpec { id, is_whole, subscription, desired, config } in found {
        let unreadable = |reason: String| SpecError::Unreadable { emitter: id.to_string(), reason };
        if !is_whole {
            let reason =
                "the checksum of its row in bugle.db is wrong: attach it again to replace it";
            return Err(unreadable(reason.to_owned()));
        }
        let names: Subscription = serde_json::from_str(&subscription).map_err(|_| {
            let reason = "its subscription is not a list of names: attach it again to replace it";
            unreadable(reason.to_owned())
        })?;
        let shared = match last.take() {
            Some((text, shared)) if text == config => shared,
            _ => Arc::new(config.read().map_err(|error| unreadable(error.to_string()))?),
        };
        last = Some((config, Arc::clone(&shared)));
        let spec = EmitterSpec::new(id.clone(), names, shared);
        specs.push(match desired.as_str() {
            RUNNING => spec,
            KEEPING => spec.paused(Backlog::Keep),
            DISCARDING => spec.paused(Backlog::Discard),
            other => {
                let reason = format!("it is meant to be {other:?}: attach it again to replace it");
                return Err(unreadable(reason));
            }
        });
    }
    Ok(specs)
}
