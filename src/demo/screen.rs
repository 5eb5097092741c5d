//! What the demo shows: titles, sentences, statements, tables, and that it
//! still waits. Colour and redrawn lines only where a person sits at a
//! terminal; plain lines everywhere else.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

/// Lines of text end here.
const WIDTH: usize = 76;
/// Off a terminal every sign of life is a line for good: these are enough.
const SIGNS_EVERY: u64 = 5;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";
/// To the start of the line, which is emptied.
const WIPE: &str = "\r\x1b[2K";

/// Standard output.
pub(crate) struct Screen {
    out: Stdout,
    terminal: bool,
    color: bool,
    /// When the last sign of life was given in this wait, in its seconds.
    sign: Option<u64>,
}

impl Screen {
    /// With colour, if that is wanted and there is a terminal.
    pub(crate) fn new(color: bool) -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        Self {
            out,
            terminal,
            color: color && terminal,
            sign: None,
        }
    }

    /// Opens a part of the story.
    pub(crate) fn title(&mut self, title: &str) -> io::Result<()> {
        let title = self.styled(BOLD, title);
        writeln!(self.out, "\n\n{title}")
    }

    /// Tells something, in lines of a good length.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out)?;
        for line in wrapped(text) {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    /// Shows what is run, word by word.
    pub(crate) fn run(&mut self, what: &str) -> io::Result<()> {
        writeln!(self.out)?;
        self.aside(what)
    }

    /// Adds to what was just shown.
    pub(crate) fn aside(&mut self, text: &str) -> io::Result<()> {
        for line in text.trim_end().lines() {
            if line.is_empty() {
                writeln!(self.out)?;
                continue;
            }
            let line = self.styled(DIM, line);
            writeln!(self.out, "    {line}")?;
        }
        Ok(())
    }

    /// Shows rows below a caption and a header; numbers stand at the right.
    pub(crate) fn table(
        &mut self,
        caption: &str,
        header: &[&str],
        rows: &[Vec<String>],
    ) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::ASCII_FULL_CONDENSED);
        table.set_header(header.iter().copied());
        table.add_rows(rows.iter().cloned());
        for (index, column) in table.column_iter_mut().enumerate() {
            let mut cells = rows.iter().filter_map(|row| row.get(index));
            if cells.all(|cell| is_quantity(cell)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(self.out, "\n    {caption}")?;
        for line in table.lines() {
            writeln!(self.out, "    {line}")?;
        }
        Ok(())
    }

    /// Says how something turned out.
    pub(crate) fn outcome(&mut self, good: bool, text: &str) -> io::Result<()> {
        let text = self.styled(if good { GREEN } else { RED }, text);
        writeln!(self.out, "\n    {text}")
    }

    /// Shows that it still waits, and for what.
    pub(crate) fn still_waiting(&mut self, since: Duration, text: &str) -> io::Result<()> {
        let seconds = since.as_secs();
        let due = self.sign.is_none_or(|last| {
            let pause = if self.terminal { 1 } else { SIGNS_EVERY };
            seconds >= last + pause
        });
        if !due {
            return Ok(());
        }
        self.sign = Some(seconds);
        let text = self.styled(DIM, &format!("… {seconds} s: {text}"));
        if self.terminal {
            write!(self.out, "{WIPE}    {text}")?;
            self.out.flush()
        } else {
            writeln!(self.out, "    {text}")
        }
    }

    /// Takes the sign of life away.
    pub(crate) fn waited(&mut self) -> io::Result<()> {
        let shown = self.sign.take().is_some();
        if shown && self.terminal {
            write!(self.out, "{WIPE}")?;
            self.out.flush()?;
        }
        Ok(())
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.color {
            format!("{style}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }
}

/// Contract numbers are no quantities: they begin with zeros.
fn is_quantity(cell: &str) -> bool {
    let digits = cell.trim_start_matches('-');
    let padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    !padded && cell.parse::<f64>().is_ok()
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A count as people write it: 2,000.
pub(crate) fn thousands(count: impl Display) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration as people read it: 40 ms, or 1.3 s.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words_and_never_lost() {
        let text = "word ".repeat(40);

        let lines = wrapped(&text);

        assert!(lines.iter().all(|line| line.len() <= WIDTH));
        assert_eq!(lines.join(" "), text.trim_end());
    }

    #[test]
    fn counts_are_grouped_and_contract_numbers_stay_at_the_left() {
        let grouped = [1, 999, 1_000, 1_234_567].map(thousands);

        assert_eq!(grouped, ["1", "999", "1,000", "1,234,567"]);
        assert!(["0", "-1", "0.50", "562.50"].into_iter().all(is_quantity));
        assert!(!["00000101", "small", ""].into_iter().any(is_quantity));
    }
}
