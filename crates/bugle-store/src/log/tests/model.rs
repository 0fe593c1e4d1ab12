//! The log against a model: whatever is appended, fails, is killed and is opened again, what was
//! answered for is there, in order, and what was refused is not.

use std::io::ErrorKind;

use bugle_core::Sequence;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::*;
use super::faults::{fail_sync, fail_write};
use super::support::*;

#[derive(Debug, Clone)]
enum Step {
    /// Frames of one write, each with so many events, which have so many bytes.
    Append(Vec<u64>, usize),
    /// The same, but nobody is told: the process is killed before the sync.
    Kill(Vec<u64>, usize),
    /// The write fails after so many bytes.
    FailWrite(Vec<u64>, usize),
    /// The sync fails.
    FailSync(Vec<u64>),
    /// The segment is ended.
    Roll,
    /// The index has all that was answered for.
    Index,
    /// All segments before that of the last frame in the index go.
    Retire,
    /// It is closed and opened.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let frames = || prop::collection::vec(0_u64..4, 1..4);
    let length = || prop_oneof![4 => 0_usize..100, 1 => 100_000_usize..300_000];
    prop_oneof![
        8 => (frames(), length()).prop_map(|(frames, length)| Step::Append(frames, length)),
        2 => (frames(), length()).prop_map(|(frames, length)| Step::Kill(frames, length)),
        2 => (frames(), 0_usize..500).prop_map(|(frames, after)| Step::FailWrite(frames, after)),
        1 => frames().prop_map(Step::FailSync),
        1 => Just(Step::Roll),
        2 => Just(Step::Index),
        1 => Just(Step::Retire),
        2 => Just(Step::Reopen),
    ]
}

/// A log, and what must be in it.
struct Run {
    store: TempDir,
    writer: LogWriter,
    reader: LogReader,
    /// The frames that were answered for, and how many events each has.
    frames: Vec<(Sequence, FrameAddress, u64)>,
    known: Known,
}

impl Run {
    fn new() -> Self {
        let store = directory();
        let (writer, reader, _) = open_log(store.path(), &Known::default()).unwrap();
        Self { store, writer, reader, frames: Vec::new(), known: Known::default() }
    }

    fn write(&mut self, frames: &[u64], length: usize) -> Result<(), SegmentError> {
        let mut first = self.writer.next();
        put_together(&mut self.writer, frames, length);
        let addresses = self.writer.write()?.to_vec();
        self.writer.sync()?;
        for (count, address) in frames.iter().zip(addresses) {
            self.frames.push((first, address, *count));
            first.0 += count.max(&1);
        }
        self.known.answered = Sequence(first.0 - 1);
        Ok(())
    }

    fn reopen(&mut self) {
        let (writer, reader, found) = open_log(self.store.path(), &self.known).unwrap();
        (self.writer, self.reader) = (writer, reader);
        let indexed = self.known.last.map_or(0, |(first, _)| first.0);
        let behind: Vec<_> = self.frames.iter().filter(|it| it.0.0 > indexed).collect();
        assert!(found.len() >= behind.len());
        for (found, (first, address, count)) in found.iter().zip(&behind) {
            assert_eq!((found.first, found.address), (*first, *address));
            assert_eq!(found.frame.events.len() as u64, *count);
        }
        // What nobody was told of may be there, and is from now on.
        for found in &found[behind.len()..] {
            let count = found.frame.events.len() as u64;
            self.frames.push((found.first, found.address, count));
            self.known.answered = Sequence(found.first.0 + count.max(1) - 1);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(frames, length) => self.write(&frames, length).unwrap(),
            Step::Kill(frames, length) => {
                put_together(&mut self.writer, &frames, length);
                self.writer.write().unwrap();
                self.reopen();
            }
            Step::FailWrite(frames, after) => {
                fail_write(after, ErrorKind::StorageFull);
                self.write(&frames, 50).unwrap_err();
            }
            Step::FailSync(frames) => {
                fail_sync();
                self.write(&frames, 50).unwrap_err();
                let before = self.frames.len();
                self.reopen();
                assert_eq!(self.frames.len(), before, "what was refused is there");
            }
            Step::Roll => self.writer.roll().unwrap(),
            Step::Index => {
                self.known.last = self.frames.last().map(|(first, address, _)| (*first, *address));
                let mut segments: Vec<_> = self.frames.iter().map(|it| it.1.segment).collect();
                segments.dedup();
                self.known.segments = segments;
            }
            Step::Retire => {
                let Some((_, last)) = self.known.last else { return };
                self.known.segments.retain(|it| *it == last.segment);
                self.frames.retain(|it| it.1.segment >= last.segment);
                for segment in self.reader.segments() {
                    if segment.first < last.segment {
                        self.reader.retire(segment.first).unwrap();
                    }
                }
            }
            Step::Reopen => self.reopen(),
        }
        assert!(self.writer.next() > self.known.answered);
    }

    fn check(&self) {
        for (first, address, count) in &self.frames {
            let frame = self.reader.frame(*first, *address).unwrap();
            let ids: Vec<_> = frame.events.into_iter().map(|it| it.unwrap()).collect();
            let expected = (first.0..).take(*count as usize).map(|at| format!("r-{at}"));
            assert!(ids.iter().map(|it| it.event.request_id.as_str()).eq(expected));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_answered_for_is_there(steps in prop::collection::vec(step(), 1..40)) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.reopen();
        run.check();
    }
}
