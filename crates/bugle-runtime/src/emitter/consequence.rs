//! The consequence of an error of the store, by its kind alone.

use bugle_core::ErrorKind;

/// A courier does this about an error. A caller is told of it, whatever its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// It rests for a while and asks again, as long as it takes: that costs no emitter its life.
    AskAgain,
    /// It ends, without a crash: the emitter is another owner's.
    EndReader,
    /// It crashes, which counts against the emitter's restart budget.
    Crash,
}

impl Consequence {
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            // Of what nobody knows whether it was done, the store keeps the id.
            ErrorKind::Transient | ErrorKind::Unavailable | ErrorKind::Full => Self::AskAgain,
            ErrorKind::Fenced => Self::EndReader,
            ErrorKind::Permanent | ErrorKind::Refused => Self::Crash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_consequence() {
        for (kind, consequence) in [
            (ErrorKind::Transient, Consequence::AskAgain),
            (ErrorKind::Unavailable, Consequence::AskAgain),
            (ErrorKind::Full, Consequence::AskAgain),
            (ErrorKind::Fenced, Consequence::EndReader),
            (ErrorKind::Permanent, Consequence::Crash),
            (ErrorKind::Refused, Consequence::Crash),
        ] {
            assert_eq!(Consequence::of(kind), consequence, "{kind:?}");
        }
    }
}
