//! A set of positions, kept as ranges: those of a batch are mostly neighbours.

use std::fmt;
use std::num::ParseIntError;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Positions, in ascending order.
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

    /// The starts and the ends of the ranges.
    pub(crate) fn bounds(&self) -> (Vec<i64>, Vec<i64>) {
        self.0.iter().map(|range| (*range.start(), *range.end())).unzip()
    }

    /// The last position.
    pub(crate) fn last(&self) -> Option<i64> {
        self.0.last().map(|range| *range.end())
    }

    /// All positions, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = i64> {
        self.0.iter().cloned().flatten()
    }

    /// Adds the positions of another set, which has none in common with this.
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

/// Shows the ranges, as `1-3,7`.
impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match range.start() == range.end() {
                true => write!(f, "{comma}{}", range.start())?,
                false => write!(f, "{comma}{}-{}", range.start(), range.end())?,
            }
        }
        Ok(())
    }
}

impl FromStr for Ranges {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let range = |part: &str| match part.split_once('-') {
            Some((low, high)) => Ok(low.parse()?..=high.parse()?),
            None => part.parse().map(|position| position..=position),
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self)
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
