//! Attempts as rows, and how one emitter's are found.
//!
//! Each row names the attempt of its emitter before it, so an emitter's attempts are a chain that
//! is walked from the newest: nothing is indexed as they are written. Each 64th of an emitter is
//! marked, so that a walk can begin anywhere in the chain with 63 steps at the most.

use bugle_core::SpokenVersion;
use bugle_core::{Attempt, EmitterId, RequestId, Sequence};
use bugle_core::{AttemptId, Delivery, Event, EventName, Exchange, Failure, NewAttempt, Outcome};
use bytes::Bytes;
use rusqlite::{Connection, Row, Statement, params_from_iter};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::sqlite::error::bad_value;
use crate::sqlite::search::ids::{Ids, Recent, hash};
use crate::sqlite::tables::dead_letters::read_code;
use crate::sqlite::tables::emitters::EmitterKey;
use crate::sqlite::tables::seal::{check_seal, seal};
use crate::sqlite::tables::values::{
    Value, nanoseconds, optional, read_optional, read_text, timestamp,
};

/// How far the marks in a chain are apart.
pub(crate) const MARKED: i64 = 64;

/// An emitter's attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chain {
    newest: i64,
    length: i64,
}

/// What is done with the tables.
pub(crate) struct AttemptTables<'c> {
    insert: Statement<'c>,
    mark: Statement<'c>,
    write_chain: Statement<'c>,
    chains: FxHashMap<EmitterKey, Chain>,
    last: i64,
    /// This transaction's: the last id before it, the chains before it, and what is in it.
    before: i64,
    changed: FxHashMap<EmitterKey, Option<Chain>>,
    added: Vec<Recent>,
}

impl<'c> AttemptTables<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let last: i64 =
            conn.query_row("SELECT coalesce(max(id), 0) FROM attempts", [], |row| row.get(0))?;
        let mut chains = FxHashMap::default();
        let mut rows = conn.prepare("SELECT emitter, newest, length, seal FROM attempt_chains")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            check_seal(row, 0..3, 3, "a chain of attempts")?;
            chains.insert(row.get(0)?, Chain { newest: row.get(1)?, length: row.get(2)? });
        }
        Ok(Self {
            insert: conn.prepare(
                "INSERT INTO attempts (id, emitter, previous, created, event_id, event_name, \
                 sequence, attempt, code, message, status, connected_to, http_version, resolve, \
                 connect, tls, first_byte, total, head, body, body_cut, attempt_seal) VALUES (?1, ?2, ?3, ?4, \
                 ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
                 ?22)",
            )?,
            mark: conn.prepare("INSERT INTO attempt_marks (emitter, id) VALUES (?1, ?2)")?,
            write_chain: conn.prepare(
                "INSERT OR REPLACE INTO attempt_chains (emitter, newest, length, seal) \
                 VALUES (?1, ?2, ?3, ?4)",
            )?,
            chains,
            last,
            before: last,
            changed: FxHashMap::default(),
            added: Vec::new(),
        })
    }

    pub(crate) fn insert(
        &mut self,
        emitter: EmitterKey,
        attempt: &NewAttempt,
    ) -> rusqlite::Result<()> {
        let id = self.last + 1;
        let chain = self.chains.get(&emitter).copied();
        let NewAttempt { delivery, outcome, created, .. } = attempt;
        let Exchange { elapsed, head, body, body_cut, status, connected_to, http_version, .. } =
            &outcome.exchange;
        let failure = outcome.failure.as_ref();
        let head = head.as_ref().map(serde_json::to_string).transpose();
        let head = head.map_err(|error| bad_value(18, error.to_string()))?;
        let body = String::from_utf8_lossy(body);
        let nanos =
            |time: Duration| Value::from(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
        let created = nanoseconds(*created);
        let row = [
            Value::from(id),
            Value::from(emitter),
            Value::from(chain.map_or(0, |chain| chain.newest)),
            Value::from(created),
            Value::from(delivery.event.request_id.as_str()),
            Value::from(delivery.event.name.as_str()),
            Value::from(delivery.sequence.0.cast_signed()),
            Value::from(delivery.attempt),
            optional(failure.map(|failure| failure.code.as_str())),
            Value::from(failure.map_or("", |failure| failure.message.as_ref())),
            optional(*status),
            optional(connected_to.map(|address| address.to_string())),
            optional(http_version.map(SpokenVersion::as_str)),
            nanos(elapsed.resolve),
            nanos(elapsed.connect),
            nanos(elapsed.tls),
            nanos(elapsed.first_byte),
            nanos(elapsed.total),
            optional(head),
            Value::from(&*body),
            Value::from(*body_cut),
        ];
        let seal = Value::from(seal(&row));
        self.insert.execute(params_from_iter(row.into_iter().chain([seal])))?;
        self.last = id;
        self.changed.entry(emitter).or_insert(chain);
        let length = chain.map_or(0, |chain| chain.length);
        self.chains.insert(emitter, Chain { newest: id, length: length + 1 });
        if length % MARKED == 0 {
            self.mark.execute([emitter, id])?;
        }
        self.added.push(Recent { hash: hash(&delivery.event.request_id), id, created });
        Ok(())
    }

    /// Writes the chains down that grew.
    pub(crate) fn finish(&mut self) -> rusqlite::Result<()> {
        for emitter in self.changed.keys() {
            if let Some(chain) = self.chains.get(emitter) {
                let Chain { newest, length } = *chain;
                let seal = seal(&[(*emitter).into(), newest.into(), length.into()]);
                self.write_chain.execute((*emitter, newest, length, seal))?;
            }
        }
        Ok(())
    }

    /// The transaction is about to be committed. Whoever sees its rows then finds them by their
    /// ids; an id without a row finds nothing.
    pub(crate) fn committing(&mut self, ids: &Ids) {
        ids.add(&self.added);
    }

    /// The transaction is committed.
    pub(crate) fn committed(&mut self) {
        self.before = self.last;
        self.changed.clear();
        self.added.clear();
    }

    pub(crate) fn rolled_back(&mut self, ids: &Ids) {
        self.last = self.before;
        ids.take_back(&self.added);
        self.added.clear();
        for (emitter, chain) in self.changed.drain() {
            match chain {
                Some(chain) => self.chains.insert(emitter, chain),
                None => self.chains.remove(&emitter),
            };
        }
    }

    /// Nothing refers to an emitter any more.
    pub(crate) fn leave(&mut self, emitter: EmitterKey) {
        self.chains.remove(&emitter);
    }

    /// The newest attempt's id.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }
}

/// What [`read_attempt`] reads.
pub(crate) const ATTEMPT_COLUMNS: &str = "attempts.id, previous, created, \
     (SELECT emitters.id FROM emitters WHERE key = emitter), event_id, event_name, sequence, \
     attempt, code, message, status, connected_to, http_version, resolve, connect, tls, \
     first_byte, total, head, body, body_cut, emitter, attempt_seal";

/// Sees to it that an attempt is as it was written, before anything of it is looked at.
pub(crate) fn check_attempt(row: &Row<'_>) -> rusqlite::Result<()> {
    let columns = [0, 21, 1, 2].into_iter().chain(4..21);
    check_seal(row, columns, 22, "an attempt")
}

fn read_version(text: String) -> Result<SpokenVersion, String> {
    SpokenVersion::from_text(&text).ok_or_else(|| format!("{text:?} is no version of HTTP"))
}

/// Reads an attempt from a row that was checked.
pub(crate) fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let nanos = |column: usize| -> rusqlite::Result<Duration> {
        Ok(Duration::from_nanos(row.get::<_, i64>(column)?.cast_unsigned()))
    };
    let mut exchange = Exchange::default();
    exchange.status = row.get(10)?;
    exchange.connected_to = read_optional(row, 11, |text| text.parse())?;
    exchange.http_version = read_optional(row, 12, read_version)?;
    exchange.elapsed.resolve = nanos(13)?;
    exchange.elapsed.connect = nanos(14)?;
    exchange.elapsed.tls = nanos(15)?;
    exchange.elapsed.first_byte = nanos(16)?;
    exchange.elapsed.total = nanos(17)?;
    exchange.head = read_optional(row, 18, |text| serde_json::from_str(&text))?;
    exchange.body = Bytes::from(row.get::<_, String>(19)?);
    exchange.body_cut = row.get(20)?;
    let message: String = row.get(9)?;
    let outcome = match read_optional(row, 8, read_code)? {
        Some(code) => Outcome::failed(Failure::new(code, message), exchange),
        None => Outcome::delivered(exchange),
    };
    let created = timestamp(row.get(2)?);
    let event = Event::new(
        read_text(row, 5, EventName::new)?,
        read_text(row, 4, RequestId::new)?,
        Bytes::new(),
        created,
    );
    let sequence = Sequence(row.get::<_, i64>(6)?.cast_unsigned());
    let emitter = read_text(row, 3, EmitterId::new)?;
    let delivery = Delivery::new(emitter, sequence, Arc::new(event), row.get(7)?);
    let id = AttemptId::new(row.get::<_, i64>(0)?.cast_unsigned());
    Ok(NewAttempt::new(delivery, outcome, created).numbered(id))
}
