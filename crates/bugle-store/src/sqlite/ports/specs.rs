//! The port `EmitterSpecs`, on disk: specs as rows.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, EmitterId, EmitterSpec, EmitterSpecs, ErrorKind, JournalError, SpecError,
};

use super::shared::Shared;
use crate::sqlite::tables::specs::{SpecRow, parse_all, read_all};

/// The specs on disk. The writer makes them safe.
#[derive(Clone)]
pub(crate) struct SqliteSpecs {
    shared: Arc<Shared>,
}

impl SqliteSpecs {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl EmitterSpecs for SqliteSpecs {
    fn all(&self) -> Answer<'static, Result<Vec<EmitterSpec>, SpecError>> {
        let found = self.shared.lookup.ask(read_all);
        Answer::later(async move {
            let found = found.await.map_err(JournalError::from)?;
            parse_all(found)
        })
    }

    fn put(&self, spec: EmitterSpec) -> Answer<'static, Result<(), JournalError>> {
        let id = spec.id.clone();
        match SpecRow::write(&spec) {
            Ok(row) => Answer::Later(self.shared.kept(&spec.id, |_, work| {
                work.specs.insert(id, Some(row));
            })),
            Err(reason) => Answer::now(Err(JournalError::new(
                ErrorKind::Refused,
                format!("the spec of emitter {id:?} can't be kept: {reason}"),
            ))),
        }
    }

    fn remove(&self, id: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        Answer::Later(self.shared.synced(|_, work| {
            work.specs.insert(id.clone(), None);
        }))
    }
}

impl fmt::Debug for SqliteSpecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSpecs").field("file", &self.shared.file).finish_non_exhaustive()
    }
}
