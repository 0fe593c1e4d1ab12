//! How far each source was read.

use bugle_core::{Position, SourceId, SourcePosition};
use rustc_hash::FxHashMap;

/// How far each source was read, as far as that is accepted.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    known: FxHashMap<SourceId, Known>,
}

#[derive(Debug)]
struct Known {
    position: Position,
    /// Where it was before, in case that the last batch is taken back.
    before: Option<Position>,
}

impl Positions {
    /// Where a source is.
    pub(crate) fn get(&self, source: &SourceId) -> Option<Position> {
        self.known.get(source).map(|known| known.position.clone())
    }

    /// A source has gone on.
    pub(crate) fn advance(&mut self, to: &SourcePosition) {
        let position = to.position.clone();
        match self.known.get_mut(&to.source) {
            Some(known) => known.before = Some(std::mem::replace(&mut known.position, position)),
            None => {
                self.known.insert(to.source.clone(), Known { position, before: None });
            }
        }
    }

    /// The batch that brought a source here is taken back. If it had not come here yet, or has
    /// gone on since, it stays where it is.
    pub(crate) fn take_back(&mut self, from: &SourcePosition) {
        let Some(known) = self.known.get_mut(&from.source) else { return };
        // The very same text: an equal one may be another batch's.
        if !std::ptr::eq(known.position.as_str(), from.position.as_str()) {
            return;
        }
        match known.before.take() {
            Some(before) => known.position = before,
            None => {
                self.known.remove(&from.source);
            }
        }
    }
}
