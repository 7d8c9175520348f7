//! Tables as `kubectl get` prints them: columns three spaces apart, headings in upper case, no lines, no wrapping.

use super::escape;

/// Spaces between a column's widest cell and the next column.
const PADDING: usize = 3;
/// The least width of a column, padding included; kubectl's tables have it.
const MIN_WIDTH: usize = 6;

/// A table that is being filled.
///
/// ```
/// use kubectl_cocalc::output::table::Table;
///
/// let mut table = Table::new(["id", "title"]);
/// table.row(["f3d76abf", "Lab NFS"]);
/// table.row(["77aa10b4", ""]);
/// assert_eq!(table.to_string(), "ID         TITLE\nf3d76abf   Lab NFS\n77aa10b4\n");
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    show_headings: bool,
}

impl Table {
    /// A table with these headings, which are printed in upper case.
    pub fn new<S: AsRef<str>>(headings: impl IntoIterator<Item = S>) -> Self {
        Self {
            headings: headings
                .into_iter()
                .map(|heading| escape::line(heading.as_ref()).to_uppercase())
                .collect(),
            rows: Vec::new(),
            show_headings: true,
        }
    }

    /// Leaves the headings out (`--no-headers`).
    #[must_use]
    pub fn without_headings(mut self) -> Self {
        self.show_headings = false;
        self
    }

    /// Adds a row. Cells are escaped and stay on one line. There may be fewer or more of them than headings.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let row = cells
            .into_iter()
            .map(|cell| escape::line(cell.as_ref()).into_owned())
            .collect();
        self.rows.push(row);
    }

    /// The table with its last column folded, so that it fits the terminal, if that leaves the column room.
    pub fn within(&self, width: Option<usize>) -> String {
        /// Columns that a folded column needs at least.
        const LEAST: usize = 24;
        let text = self.to_string();
        let Some(width) = width else { return text };
        let columns = self.headings.len().max(1);
        let before = Self {
            headings: self.headings.iter().take(columns - 1).cloned().collect(),
            rows: self
                .rows
                .iter()
                .map(|row| row.iter().take(columns - 1).cloned().collect())
                .collect(),
            show_headings: self.show_headings,
        };
        let indent = before.widths().iter().map(|width| width + PADDING).sum::<usize>();
        if indent + LEAST > width {
            return text;
        }
        let lines = text.lines().map(|line| escape::fold(line, width, indent) + "\n");
        lines.collect()
    }

    /// Whether no row has been added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Table {
    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        self.show_headings
            .then_some(&self.headings)
            .into_iter()
            .chain(&self.rows)
    }

    /// The width of each column, without its padding.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for line in self.lines() {
            widths.resize(widths.len().max(line.len()), MIN_WIDTH - PADDING);
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(escape::width(cell));
            }
        }
        widths
    }
}

impl std::fmt::Display for Table {
    /// The whole table, each line with a newline, no line with blanks at its end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths = self.widths();
        for line in self.lines() {
            let mut gap = 0;
            for (width, cell) in widths.iter().zip(line) {
                if !cell.is_empty() {
                    write!(f, "{:gap$}{cell}", "")?;
                    gap = 0;
                }
                gap += width + PADDING - escape::width(cell);
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_is_folded_to_the_terminal() {
        let mut table = Table::new(["value", "why"]);
        table.row([
            "memory",
            "default 1000 + license big 16000, capped by max_upgrades",
        ]);
        assert_eq!(
            table.within(Some(36)),
            "VALUE    WHY\nmemory   default 1000 + license big\n         16000, capped by\n         max_upgrades\n"
        );
        assert_eq!(table.within(None), table.to_string());
        assert_eq!(table.within(Some(20)), table.to_string(), "no room is left");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_plus_three() {
        let mut table = Table::new(["Name", "a", "last used"]);
        table.row(["a-long-name", "b", "never"]);
        table.row(["x", "", "2026-11-24"]);
        assert_eq!(
            table.to_string(),
            "NAME          A     LAST USED\n\
             a-long-name   b     never\n\
             x                   2026-11-24\n"
        );
    }

    #[test]
    fn a_narrow_column_takes_six_columns_as_kubectls_do() {
        let mut table = Table::new(["a", "b"]);
        table.row(["1", "2"]);
        assert_eq!(table.to_string(), "A     B\n1     2\n");
    }

    #[test]
    fn a_hostile_cell_stays_one_cell() {
        let mut table = Table::new(["title", "id"]);
        table.row(["\u{1b}[2J\nFAKE   ROW\t\u{202e}", "1"]);
        assert_eq!(
            table.to_string(),
            "TITLE                       ID\n^[[2J\\nFAKE   ROW\\t\\u202e   1\n"
        );
    }

    #[test]
    fn wide_characters_keep_the_columns_straight() {
        let mut table = Table::new(["title", "id"]);
        table.row(["日本語", "1"]);
        table.row(["abcdef", "2"]);
        assert_eq!(table.to_string(), "TITLE    ID\n日本語   1\nabcdef   2\n");
    }

    #[test]
    fn rows_of_any_length_are_printed() {
        let mut table = Table::new(["a", "b"]);
        table.row(["1"]);
        table.row(["1", "2", "3"]);
        assert_eq!(table.to_string(), "A     B\n1\n1     2     3\n");
    }

    #[test]
    fn headings_can_be_left_out_and_do_not_widen_columns_then() {
        let mut table = Table::new(["a long heading", "b"]).without_headings();
        assert!(table.is_empty());
        table.row(["1", "2"]);
        assert_eq!(table.to_string(), "1     2\n");
    }
}
