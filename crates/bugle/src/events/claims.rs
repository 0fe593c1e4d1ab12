//! Remembers the rows of a source that are being sent, so that two calls in one process don't send
//! the same.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// The rows that are being sent: a source and a row's id.
#[derive(Default)]
pub(super) struct Claims {
    held: Mutex<HashSet<(Arc<str>, String)>>,
    /// The sources for which [`Claims::is_new`] was called.
    told: Mutex<HashSet<String>>,
}

/// Rows that one call sends, and no other call in this process while this lives: see
/// [`Changes::claim`](super::Changes::claim).
#[must_use = "dropped, it lets others send the rows"]
pub struct Claim {
    claims: Arc<Claims>,
    source: Arc<str>,
    rows: Vec<String>,
}

impl Claims {
    /// Claims those of the rows that are free. It never waits.
    pub(super) fn claim(
        self: &Arc<Self>,
        source: &str,
        rows: impl IntoIterator<Item = String>,
    ) -> Claim {
        let source: Arc<str> = source.into();
        let mut held = self.held.lock();
        let free = rows.into_iter().filter(|row| held.insert((Arc::clone(&source), row.clone())));
        let rows = free.collect();
        drop(held);
        Claim { claims: Arc::clone(self), source, rows }
    }
}

impl Claims {
    /// True the first time that it is called for this source.
    pub(super) fn is_new(&self, source: &str) -> bool {
        self.told.lock().insert(source.to_owned())
    }
}

impl Claim {
    /// The ids of the rows, in the order in which they were asked for.
    pub fn rows(&self) -> &[String] {
        &self.rows
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.held.lock();
        for row in self.rows.drain(..) {
            held.remove(&(Arc::clone(&self.source), row));
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("source", &self.source).field("rows", &self.rows).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_claimed_by_one_until_it_lets_go() {
        let claims = Arc::<Claims>::default();
        let rows = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let first = claims.claim("s", rows(&["a", "b", "a"]));
        assert_eq!(first.rows(), rows(&["a", "b"]));
        assert_eq!(claims.claim("s", rows(&["b", "c"])).rows(), rows(&["c"]));
        assert_eq!(claims.claim("other", rows(&["b"])).rows(), rows(&["b"]));
        drop(first);
        assert_eq!(claims.claim("s", rows(&["b", "c"])).rows(), rows(&["b", "c"]));
        assert!(claims.is_new("s") && claims.is_new("other") && !claims.is_new("s"));
        assert!(claims.held.lock().is_empty());
    }
}
