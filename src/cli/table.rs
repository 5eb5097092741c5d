//! Rows of text: a table for a person at a terminal, one line a row with tabs
//! between for a program behind a pipe, or CSV (RFC 4180).

use std::io::{self, IsTerminal as _, Write};

/// The names of the columns, and the rows.
pub(super) struct Table {
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    /// Prints it as whoever reads it wants it.
    pub(super) fn print(&self) -> io::Result<()> {
        let mut out = io::stdout();
        if out.is_terminal() {
            self.aligned(&mut out)
        } else {
            self.plain(&mut out)
        }
    }

    /// For a person: each line with something behind it that is not text of
    /// somebody else's. The first is the header's.
    pub(super) fn print_before(&self, ends: &[String]) -> io::Result<()> {
        let mut out = io::stdout();
        for (line, end) in self.padded().iter().zip(ends) {
            writeln!(out, "{line}  {end}")?;
        }
        Ok(())
    }

    /// Prints it as CSV.
    pub(super) fn print_csv(&self) -> io::Result<()> {
        self.csv(&mut io::stdout())
    }

    fn aligned(&self, out: &mut impl Write) -> io::Result<()> {
        for line in self.padded() {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Lines of one width.
    fn padded(&self) -> Vec<String> {
        let rows: Vec<Vec<String>> = self.lines().collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..self.columns.len()).filter_map(width).collect();
        let padded = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            cells.join("  ")
        };
        rows.iter().map(padded).collect()
    }

    fn plain(&self, out: &mut impl Write) -> io::Result<()> {
        for row in self.lines() {
            writeln!(out, "{}", row.join("\t"))?;
        }
        Ok(())
    }

    fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        let header = self.columns.iter().map(|column| (*column).to_owned());
        for row in std::iter::once(header.collect()).chain(self.rows.iter().cloned()) {
            let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
            write!(out, "{}\r\n", cells.join(","))?;
        }
        Ok(())
    }

    /// The header and the rows. A line break or an escape sequence in somebody's
    /// words would tear the table, or the terminal.
    fn lines(&self) -> impl Iterator<Item = Vec<String>> {
        let header = self.columns.iter().map(|column| column.to_uppercase());
        let tame = |cell: &String| cell.replace(char::is_control, " ");
        let rows = self
            .rows
            .iter()
            .map(move |row| row.iter().map(tame).collect());
        std::iter::once(header.collect()).chain(rows)
    }
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(print: impl Fn(&Table, &mut Vec<u8>) -> io::Result<()>) -> String {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = Table {
            columns: &["ad", "said"],
            rows: vec![row(["1", "a \"b\", c"]), row(["200", "x\n\u{1b}[31m\ty"])],
        };
        let mut out = Vec::new();
        print(&table, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_is_a_line_whatever_is_in_it() {
        assert_eq!(
            text(Table::aligned),
            "AD   SAID\n1    a \"b\", c\n200  x  [31m y\n"
        );
        assert_eq!(
            text(Table::plain),
            "AD\tSAID\n1\ta \"b\", c\n200\tx  [31m y\n"
        );
    }

    #[test]
    fn csv_keeps_every_character() {
        assert_eq!(
            text(Table::csv),
            "ad,said\r\n1,\"a \"\"b\"\", c\"\r\n200,\"x\n\u{1b}[31m\ty\"\r\n"
        );
    }
}
