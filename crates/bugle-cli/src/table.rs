//! Tables for people: columns aligned, numbers to the right, as wide as the terminal at most.

use std::fmt;

use console::{Alignment, Term, measure_text_width, pad_str, style, truncate_str};

/// The mark that stands where a cell was cut.
const CUT: &str = "…";

/// The narrowest width of a column, before numbers give way too.
const NARROWEST: usize = 4;

/// A table that is filled row by row.
pub(crate) struct Table {
    head: Vec<(&'static str, Alignment)>,
    rows: Vec<Vec<String>>,
    /// The number of spaces between columns.
    gap: usize,
    /// The width that the table may have; `None` cuts nothing.
    most: Option<usize>,
}

impl Table {
    /// Makes a table of columns with these titles; those that begin with `#` hold numbers, and go
    /// to the right. On a terminal it is no wider than that, and elsewhere as wide as its cells.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_prefix('#') {
            Some(title) => (title, Alignment::Right),
            None => (*title, Alignment::Left),
        };
        let most = width_of(&Term::stdout());
        Self { head: titles.iter().map(column).collect(), rows: Vec::new(), gap: 2, most }
    }

    /// Lets the table be as wide as its cells, for a caller that cuts the ends of the lines.
    pub(crate) fn whole(mut self) -> Self {
        self.most = None;
        self
    }

    /// Sets the number of spaces between columns. Default 2.
    pub(crate) fn gap(mut self, spaces: usize) -> Self {
        self.gap = spaces;
        self
    }

    /// Adds a row. Cells may be styled.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The width of each column.
    fn widths(&self) -> Vec<usize> {
        let of_cells = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| measure_text_width(cell)).max().unwrap_or_default()
        };
        let columns = self.head.iter().enumerate().map(|(at, (title, alignment))| {
            let (cells, title) = (of_cells(at), title.chars().count());
            // A number's title may be cut; the number itself would say something else.
            let narrowest = match alignment {
                Alignment::Right => usize::max(cells, NARROWEST),
                _ => NARROWEST,
            };
            (usize::max(cells, title), narrowest)
        });
        let (mut widths, narrowest): (Vec<usize>, Vec<usize>) = columns.unzip();
        if let Some(most) = self.most {
            let gaps = self.gap * widths.len().saturating_sub(1);
            fit(&mut widths, &narrowest, most.saturating_sub(gaps));
        }
        widths
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let cells = cells.iter().zip(self.head.iter().zip(widths));
        let padded = cells.map(|(cell, ((_, alignment), width))| {
            // A line is a row, whatever a stranger's text has in it.
            let cell = cell.replace(['\n', '\r', '\t'], " ");
            pad_str(&cell, *width, *alignment, Some(CUT)).into_owned()
        });
        let line = padded.collect::<Vec<_>>().join(&" ".repeat(self.gap)).trim_end().to_owned();
        match self.most {
            Some(most) => truncate_str(&line, most, CUT).into_owned(),
            None => line,
        }
    }
}

fn width_of(terminal: &Term) -> Option<usize> {
    terminal.size_checked().map(|(_, width)| usize::from(width)).filter(|width| *width > 0)
}

/// Makes columns narrower until they fit: the longest gives way first, and none falls below its
/// narrowest width until all have come to that.
fn fit(widths: &mut [usize], narrowest: &[usize], most: usize) {
    for below in [false, true] {
        while widths.iter().sum::<usize>() > most {
            let least = |at: usize| match below {
                true => 1,
                false => narrowest.get(at).copied().unwrap_or(NARROWEST),
            };
            let columns = widths.iter_mut().enumerate();
            let may_give = columns.filter(|(at, width)| **width > least(*at));
            let Some((_, width)) = may_give.max_by_key(|(_, width)| **width) else { break };
            *width -= 1;
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let titles: Vec<String> = self.head.iter().map(|(title, _)| (*title).to_owned()).collect();
        write!(f, "{}", style(self.line(&titles, &widths)).dim())?;
        for row in &self.rows {
            write!(f, "\n{}", self.line(row, &widths))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(table: &Table) -> String {
        console::strip_ansi_codes(&table.to_string()).into_owned()
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["emitter", "#delivered"]);
        table.most = None;
        table.row(["a".to_owned(), "1,000".to_owned()]);
        table.row(["a-longer-one".to_owned(), "7".to_owned()]);
        assert_eq!(
            shown(&table),
            "emitter       delivered\na                 1,000\na-longer-one          7"
        );
    }

    #[test]
    fn the_longest_column_gives_way_at_every_width() {
        let mut table = Table::new(&["id", "time (UTC)", "emitter", "#try", "result"]);
        let why =
            style("connecting to 192.0.2.7:443: nobody answered, \u{e9}\u{4e16} again\n").red();
        table.row(
            ["1017", "2026-11-22 12:00:00.000", "billing", "3", &why.to_string()]
                .map(str::to_owned),
        );
        table.most = None;
        let whole = shown(&table);
        assert!(whole.contains("\u{4e16} again") && whole.lines().count() == 2, "{whole}");
        for most in 1..=200 {
            table.most = Some(most);
            let text = shown(&table);
            assert_eq!(text.lines().count(), 2, "{text}");
            for line in text.lines() {
                assert!(measure_text_width(line) <= most, "{most}: {line}");
            }
        }
        for (most, kept) in [
            (40, &["1017", "…", "3"][..]),
            (60, &["1017", "billing", "3", "connecting"]),
            (80, &["1017", "2026-11-22 12:00:00.000", "billing", "3", "connecting to 192.0.2.7"]),
            (160, &["1017", "2026-11-22 12:00:00.000", "billing", "3", "\u{4e16} again"]),
        ] {
            table.most = Some(most);
            let text = shown(&table);
            for part in kept {
                assert!(text.contains(part), "{most}: {part}: {text}");
            }
        }
    }

    #[test]
    fn text_gives_way_before_numbers() {
        let mut widths = [30, 9, 20, 12];
        fit(&mut widths, &[4, 9, 4, 12], 41);
        assert_eq!(widths, [10, 9, 10, 12]);
        fit(&mut widths, &[4, 9, 4, 12], 25);
        assert_eq!(widths, [4, 9, 4, 8]);
    }

    #[test]
    fn a_numbers_title_gives_way_and_the_number_does_not() {
        let mut table = Table::new(&["receiver", "#delivered", "#given up", "#attempts"]);
        table.row(["http://a.example/hooks", "1,000", "30", "90"].map(str::to_owned));
        table.most = Some(36);
        assert_eq!(
            shown(&table),
            "receiver  deliver…  given …  attemp…\nhttp://…     1,000       30       90"
        );
    }
}
