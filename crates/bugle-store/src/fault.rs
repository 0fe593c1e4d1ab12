//! Fault points: named stages at which a test has the process end, to look at what is left of it.
//!
//! Without the feature `fault-points`, which is for Bugle's own tests, [`pass`] is nothing.

macro_rules! points {
    ($($point:ident = $name:literal)*) => {
        /// A stage that something on its way to the disk passes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Point { $($point),* }

        #[cfg(feature = "fault-points")]
        impl Point {
            pub(crate) const ALL: &[Self] = &[$(Self::$point),*];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$point => $name),* }
            }
        }
    };
}

points! {
    OpenLocked = "open:locked"
    OpenCreated = "open:created"
    OpenLoaded = "open:loaded"
    AppendWritten = "append:written"
    AppendSynced = "append:synced"
    AppendPublished = "append:published"
    AppendMarked = "append:marked"
    IndexBefore = "index:before"
    IndexAfter = "index:after"
    SettleBefore = "settle:before"
    SettleAfter = "settle:after"
    SettleNoted = "settle:noted"
    SettleNotesWritten = "settle:notes_written"
    DeadLetterBefore = "dead_letter:before"
    DeadLetterAfter = "dead_letter:after"
    SpecWritten = "spec:written"
    EmitterForgotten = "emitter:forgotten"
    AttemptsLogged = "attempts:logged"
    AttemptsTrimmed = "attempts:trimmed"
    TrimMid = "trim:mid"
    TrimAfter = "trim:after"
    RetireBefore = "retire:before"
    RetireAfter = "retire:after"
    CheckpointBefore = "checkpoint:before"
    CheckpointMid = "checkpoint:mid"
    CheckpointAfter = "checkpoint:after"
    CloseBefore = "close:before"
    CloseAfter = "close:after"
}

/// Something passes a stage, if it is so.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) fn pass(_: Point, _: bool) {}

/// Something passes a stage, if it is so. The process ends there when it was told to in
/// `BUGLE_FAULT_POINT`: at the so-manyth passing, as in `append:written@3`.
#[cfg(feature = "fault-points")]
pub(crate) fn pass(point: Point, is_so: bool) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let value = std::env::var("BUGLE_FAULT_POINT").ok()?;
        let (name, passings) = value.split_once('@')?;
        Some((name.to_owned(), AtomicU64::new(passings.parse().ok()?)))
    });
    if let Some((name, left)) = armed
        && is_so
        && name == point.name()
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        // As sudden as a kill: nothing is flushed, closed or told.
        std::process::abort();
    }
}
