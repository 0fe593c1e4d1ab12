//! A set of positions, kept as ranges: those of a batch are mostly neighbours.

use std::ops::RangeInclusive;

/// Positions, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<RangeInclusive<i64>>);

impl Ranges {
    /// Adds positions that come in ascending order, each behind all that are there.
    pub(crate) fn push(&mut self, position: i64) {
        if let Some(last) = self.0.last_mut()
            && last.end().checked_add(1) == Some(position)
        {
            *last = *last.start()..=position;
            return;
        }
        self.0.push(position..=position);
    }

    /// The starts and the ends.
    pub(crate) fn bounds(&self) -> (Vec<i64>, Vec<i64>) {
        self.0.iter().map(|range| (*range.start(), *range.end())).unzip()
    }

    /// Adds those of another set, which overlaps with nothing here.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }
}

impl FromIterator<i64> for Ranges {
    fn from_iter<I: IntoIterator<Item = i64>>(positions: I) -> Self {
        let mut ranges = Self::default();
        positions.into_iter().for_each(|position| ranges.push(position));
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_a_range() {
        for (positions, bounds) in [
            (vec![], (vec![], vec![])),
            (vec![5], (vec![5], vec![5])),
            (vec![1, 2, 3, 7, 9, 10], (vec![1, 7, 9], vec![3, 7, 10])),
            (vec![i64::MAX - 1, i64::MAX], (vec![i64::MAX - 1], vec![i64::MAX])),
        ] {
            assert_eq!(positions.into_iter().collect::<Ranges>().bounds(), bounds);
        }
    }
}
