//! A reader's position in a feed, and what it has missed.

use std::collections::VecDeque;

use bugle_core::Sequence;

use super::feed::FeedId;

/// How many separate gaps a reader remembers. Of older ones `fate` says that they were delivered;
/// the counters stay right.
const MAX_GAPS: usize = 32;

/// A reader's position in a feed.
#[derive(Debug)]
pub(super) struct Place {
    /// The feed.
    pub(super) feed: FeedId,
    /// The ordinal of the first entry that it has not settled; the feed's next one when there is
    /// none.
    pub(super) next: u64,
    /// Everything up to here is settled.
    pub(super) cursor: Sequence,
    /// What is settled above.
    pub(super) settled: Spans,
}

impl Place {
    /// At a feed's end.
    pub(super) fn new(feed: FeedId, next: u64, cursor: Sequence) -> Self {
        Self { feed, next, cursor, settled: Spans::default() }
    }

    /// Joins what is settled just above to what lies below.
    pub(super) fn close_up(&mut self) {
        while let Some(span) = self.settled.take_from(self.next) {
            self.next = span.end;
            self.cursor = self.cursor.max(span.last);
        }
    }

    /// Passes over everything up to an ordinal and a sequence number: what it had not settled
    /// there is missed. Answers how many that were.
    pub(super) fn skip(&mut self, end: u64, through: Sequence, gaps: &mut Gaps) -> u64 {
        if end <= self.next {
            return 0;
        }
        let mut missed = end - self.next;
        while let Some(span) = self.settled.take_below(end) {
            missed = missed.saturating_sub(span.end.min(end) - span.start);
            gaps.add(self.cursor, Sequence(span.first.0.saturating_sub(1)));
            self.cursor = span.last;
            self.next = span.end;
        }
        gaps.add(self.cursor, through);
        self.cursor = self.cursor.max(through);
        self.next = self.next.max(end);
        self.close_up();
        missed
    }
}

/// Entries that follow one another in a feed and are all settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The first one's ordinal.
    pub(super) start: u64,
    /// The ordinal behind the last one.
    pub(super) end: u64,
    /// The first one's sequence number.
    pub(super) first: Sequence,
    /// The last one's sequence number.
    pub(super) last: Sequence,
}

/// What is settled above a cursor: a few spans, whatever the number of entries, because what is
/// in flight separates them and an emitter's window bounds that.
#[derive(Debug, Default)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// Enters an entry.
    pub(super) fn insert(&mut self, ordinal: u64, sequence: Sequence) {
        let at = self.0.partition_point(|span| span.end < ordinal);
        let next_starts_at = self.0.get(at + 1).map(|span| span.start);
        match self.0.get_mut(at) {
            Some(span) if span.end == ordinal => {
                span.end += 1;
                span.last = sequence;
                if next_starts_at == Some(ordinal + 1) {
                    let next = self.0.remove(at + 1);
                    self.0[at].end = next.end;
                    self.0[at].last = next.last;
                }
            }
            Some(span) if span.start == ordinal + 1 => {
                span.start = ordinal;
                span.first = sequence;
            }
            Some(span) if span.start <= ordinal => {}
            _ => self.0.insert(
                at,
                Span { start: ordinal, end: ordinal + 1, first: sequence, last: sequence },
            ),
        }
    }

    pub(super) fn contains(&self, ordinal: u64) -> bool {
        let at = self.0.partition_point(|span| span.end <= ordinal);
        self.0.get(at).is_some_and(|span| span.start <= ordinal)
    }

    /// Enters what was settled elsewhere, from one sequence number to another, as one ordinal above
    /// all others.
    pub(super) fn push(&mut self, ordinal: u64, first: Sequence, last: Sequence) {
        self.0.push(Span { start: ordinal, end: ordinal + 1, first, last });
    }

    /// The ranges of sequence numbers that it covers. A span that stands for nothing covers none.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (Sequence, Sequence)> {
        self.0.iter().map(|span| (span.first, span.last)).filter(|(first, last)| first <= last)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Span> {
        self.0.iter()
    }

    /// Whether an entry with this sequence number, which the feed has, is in it.
    pub(super) fn contains_sequence(&self, sequence: Sequence) -> bool {
        self.0.iter().any(|span| (span.first..=span.last).contains(&sequence))
    }

    /// How many entries are in it.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|span| span.end - span.start).sum()
    }

    fn take_from(&mut self, ordinal: u64) -> Option<Span> {
        self.0.first().is_some_and(|span| span.start == ordinal).then(|| self.0.remove(0))
    }

    fn take_below(&mut self, ordinal: u64) -> Option<Span> {
        self.0.first().is_some_and(|span| span.start < ordinal).then(|| self.0.remove(0))
    }
}

/// What a reader missed, as ranges of sequence numbers: of all entries that its subscription
/// matches in such a range, it settled none.
#[derive(Debug, Default)]
pub(super) struct Gaps(VecDeque<(Sequence, Sequence)>);

impl Gaps {
    /// Everything above the first and up to the second is missed.
    pub(super) fn add(&mut self, above: Sequence, through: Sequence) {
        if through <= above {
            return;
        }
        match self.0.back_mut() {
            Some((_, end)) if *end == above => *end = through,
            _ => {
                if self.0.len() == MAX_GAPS {
                    self.0.pop_front();
                }
                self.0.push_back((above, through));
            }
        }
    }

    /// An entry was not missed after all.
    pub(super) fn remove(&mut self, sequence: Sequence) {
        let holds =
            |(above, through): &(Sequence, Sequence)| *above < sequence && sequence <= *through;
        while let Some(at) = self.0.iter().position(holds)
            && let Some((above, through)) = self.0.remove(at)
        {
            let parts = [(above, Sequence(sequence.0 - 1)), (sequence, through)];
            for (index, part) in parts.into_iter().filter(|it| it.0 < it.1).enumerate() {
                self.0.insert(at + index, part);
            }
        }
    }

    pub(super) fn contains(&self, sequence: Sequence) -> bool {
        self.0.iter().any(|(above, through)| *above < sequence && sequence <= *through)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Spans know just what was put in, in the fewest pieces.
        #[test]
        fn spans_are_a_set(ordinals in prop::collection::vec(0_u64..40, 0..60)) {
            let mut spans = Spans::default();
            let mut expected = BTreeSet::new();
            for ordinal in ordinals {
                spans.insert(ordinal, Sequence(ordinal * 10));
                expected.insert(ordinal);
            }
            prop_assert_eq!(spans.count(), expected.len() as u64);
            for ordinal in 0..42 {
                prop_assert_eq!(spans.contains(ordinal), expected.contains(&ordinal));
                let sequence = Sequence(ordinal * 10);
                prop_assert_eq!(spans.contains_sequence(sequence), expected.contains(&ordinal));
            }
            let pieces = expected.iter().filter(|one| !expected.contains(&(*one + 1))).count();
            prop_assert_eq!(spans.0.len(), pieces);
            prop_assert!(spans.0.iter().all(|span| span.first.0 == span.start * 10
                && span.last.0 == (span.end - 1) * 10));
        }
    }

    #[test]
    fn skipping_misses_what_was_not_settled() {
        let mut place = Place::new(0, 3, Sequence(20));
        let mut gaps = Gaps::default();
        for ordinal in [5, 6, 8, 9] {
            place.settled.insert(ordinal, Sequence(ordinal * 10));
        }
        assert_eq!(place.skip(8, Sequence(70), &mut gaps), 3);
        assert_eq!((place.next, place.cursor), (10, Sequence(90)));
        let missed: Vec<u64> = (1..=10).filter(|n| gaps.contains(Sequence(n * 10))).collect();
        assert_eq!(missed, [3, 4, 7]);
    }
}
