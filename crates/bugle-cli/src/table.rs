//! Tables for people: columns aligned, numbers to the right.

use std::fmt;

use console::{Alignment, measure_text_width, pad_str, style};

/// A table as it is filled.
pub(crate) struct Table {
    head: Vec<(&'static str, Alignment)>,
    rows: Vec<Vec<String>>,
    /// How many spaces between columns.
    gap: usize,
}

impl Table {
    /// Columns by their titles; those that begin with `#` hold numbers, and go to the right.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_prefix('#') {
            Some(title) => (title, Alignment::Right),
            None => (*title, Alignment::Left),
        };
        Self { head: titles.iter().map(column).collect(), rows: Vec::new(), gap: 2 }
    }

    /// How many spaces there are between columns. Default 2.
    pub(crate) fn gap(mut self, spaces: usize) -> Self {
        self.gap = spaces;
        self
    }

    /// Adds a row. Cells may be styled.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn width(&self, column: usize, title: &str) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| measure_text_width(cell)).chain([title.len()]).max().unwrap_or_default()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<_> =
            self.head.iter().enumerate().map(|(at, (title, _))| self.width(at, title)).collect();
        let line = |cells: &mut dyn Iterator<Item = String>| {
            let padded =
                cells.zip(self.head.iter().zip(&widths)).map(|(cell, ((_, alignment), width))| {
                    pad_str(&cell, *width, *alignment, None).into_owned()
                });
            padded.collect::<Vec<_>>().join(&" ".repeat(self.gap)).trim_end().to_owned()
        };
        let titles = line(&mut self.head.iter().map(|(title, _)| (*title).to_owned()));
        write!(f, "{}", style(titles).dim())?;
        for row in &self.rows {
            write!(f, "\n{}", line(&mut row.iter().cloned()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["emitter", "#delivered"]);
        table.row(["a".to_owned(), "1,000".to_owned()]);
        table.row(["a-longer-one".to_owned(), "7".to_owned()]);
        let plain = console::strip_ansi_codes(&table.to_string()).into_owned();
        assert_eq!(
            plain,
            "emitter       delivered\na                 1,000\na-longer-one          7"
        );
    }
}
