//! Writes tables with aligned columns.

use std::io::{self, Write};

use anstyle::Style;

/// A column's title and alignment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
}

pub(crate) const fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

pub(crate) const fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

/// A text and its style. The text must not contain escape sequences.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) style: Style,
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.to_string(), style: Style::new() }
    }
}

impl Cell {
    pub(crate) fn styled(text: &str, style: Style) -> Self {
        Self { text: text.to_owned(), style }
    }
}

/// Rows under titles.
#[derive(Clone, Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// Writes the table, with each line cut to `width` characters.
    pub(crate) fn write(&self, out: &mut impl Write, titles: bool, width: usize) -> io::Result<()> {
        let bold = Style::new().bold();
        let titles = titles.then(|| self.columns.map(|column| Cell::styled(column.title, bold)));
        let lines: Vec<_> = titles.iter().chain(&self.rows).collect();
        let widest =
            |n: usize| lines.iter().map(|line| line[n].text.chars().count()).max().unwrap_or(0);
        let widths: [usize; N] = std::array::from_fn(widest);
        for line in &lines {
            let mut left = width;
            // A line has no spaces after its last text.
            let filled =
                line.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
            for (n, (column, cell)) in self.columns.iter().zip(line.iter()).enumerate().take(filled)
            {
                let space = usize::from(n > 0);
                let text = match column.right {
                    true => format!("{:space$}{:>width$}", "", cell.text, width = widths[n]),
                    false if n + 1 == filled => format!("{:space$}{}", "", cell.text),
                    false => format!("{:space$}{:<width$}", "", cell.text, width = widths[n]),
                };
                let text: String = text.chars().take(left).collect();
                left -= text.chars().count();
                write!(out, "{}{text}{:#}", cell.style, cell.style)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_with_their_titles_and_lines_are_cut() {
        let mut table = Table::new([left("NAME"), right("PID"), left("WHY")]);
        table.row(["a".into(), 12345.into(), "long text".into()]);
        table.row(["conveyor".into(), 1.into(), "".into()]);
        let written = |titles, width| {
            let mut bytes = Vec::new();
            table
                .write(&mut anstream::StripStream::new(&mut bytes), titles, width)
                .expect("memory");
            String::from_utf8(bytes).expect("text")
        };
        assert_eq!(
            written(true, 80),
            "NAME       PID WHY\na        12345 long text\nconveyor     1\n"
        );
        assert_eq!(written(false, 10), "a        1\nconveyor  \n");
    }
}
