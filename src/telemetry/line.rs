//! The length of a line. Log routers cut or split long lines, which breaks the
//! form that machines read, so long values are shortened here instead.

use std::borrow::Cow;

/// Below the 10,000 bytes at which Logplex splits a line (Dev Center,
/// "Logging"), and short enough for a person.
const LONGEST: usize = 4096;

/// How lines look, once it is known where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Human { color: bool },
    Logfmt,
    Json,
}

/// The line that says how many are missing before it.
pub(super) fn lost(count: u64, form: Form) -> String {
    match form {
        Form::Human { .. } => format!("WARN log lines dropped log.dropped={count}\n"),
        Form::Logfmt => format!("level=warn message=\"log lines dropped\" log.dropped={count}\n"),
        Form::Json => {
            format!(r#"{{"level":"WARN","message":"log lines dropped","log.dropped":{count}}}"#)
                + "\n"
        }
    }
}

/// Shortens the values of a line that is too long until it fits.
pub(super) fn fit(line: &str, form: Form) -> Cow<'_, str> {
    if line.len() <= LONGEST {
        return Cow::Borrowed(line);
    }
    let mut longest_value = LONGEST / 4;
    while longest_value > 8 {
        let shorter = shorten(line, longest_value);
        if shorter.len() <= LONGEST {
            return Cow::Owned(shorter);
        }
        longest_value /= 2;
    }
    // Hundreds of fields: no value is to blame, and no form survives.
    let reset = if form == (Form::Human { color: true }) {
        "\u{1b}[0m"
    } else {
        ""
    };
    let end = line.floor_char_boundary(LONGEST - 16);
    Cow::Owned(format!("{}…{reset}\n", &line[..end]))
}

/// Cuts every value after `longest` bytes, be it quoted or a bare run between
/// spaces, and marks the cut. JSON and logfmt quote alike.
fn shorten(line: &str, longest: usize) -> String {
    let mut kept = String::with_capacity(LONGEST);
    let mut rest = line;
    let mut quoted = false;
    let mut run = 0;
    while let Some(unit) = first_unit(rest) {
        rest = &rest[unit.len()..];
        let ends_run = unit == "\"" || unit == "\n" || (!quoted && unit == " ");
        if unit == "\"" {
            quoted = !quoted;
        }
        run = if ends_run { 0 } else { run + unit.len() };
        if run <= longest {
            kept.push_str(unit);
        } else if run - unit.len() <= longest {
            kept.push('…');
        }
    }
    kept
}

/// A character, or an escape that must not be torn: `\n`, `\u001b`, `\u{1b}`.
fn first_unit(text: &str) -> Option<&str> {
    let first = text.chars().next()?;
    let length = if text.starts_with("\\u{") {
        text.find('}').map_or(text.len(), |end| end + 1)
    } else if text.starts_with("\\u") {
        text.floor_char_boundary(6)
    } else if first == '\\' {
        1 + text[1..].chars().next().map_or(0, char::len_utf8)
    } else {
        first.len_utf8()
    };
    text.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_line_stays_as_it_is() {
        assert!(matches!(
            fit("level=info\n", Form::Logfmt),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn a_long_json_line_is_still_json_with_all_of_its_fields() {
        let groups = ["x", "é\"\\\u{1b}", "日本"];
        // Every place inside a group comes to lie at the cut once.
        for (group, padding) in groups
            .iter()
            .flat_map(|group| (0..12).map(move |n| (group, n)))
        {
            let text = "-".repeat(padding) + &group.repeat(9000 / group.len());
            let object =
                serde_json::json!({"level": "INFO", "long": text, "short": "kept", "n": 1});

            let line = fit(&format!("{object}\n"), Form::Json).into_owned();

            assert!(line.len() <= LONGEST && line.ends_with('\n'));
            let back: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(back["short"], "kept");
            assert_eq!(back["n"], 1);
            let cut = back["long"].as_str().unwrap().strip_suffix('…').unwrap();
            assert!(text.starts_with(cut) && cut.len() > 400);
        }
    }

    #[test]
    fn long_logfmt_values_are_cut_quoted_or_not() {
        let bare = format!("a={} b=1\n", "x".repeat(5000));
        let quoted = format!("a=\"{}\" b=1\n", "x \\\" ".repeat(2000));

        assert_eq!(
            fit(&bare, Form::Logfmt),
            format!("a={}… b=1\n", "x".repeat(1022))
        );
        let line = fit(&quoted, Form::Logfmt);
        assert!(
            line.ends_with("…\" b=1\n") && line.len() <= LONGEST,
            "{line}"
        );
    }

    #[test]
    fn many_values_are_cut_more_and_too_many_fields_lose_their_tail() {
        let many = ["f=", &"x".repeat(900), " "].concat().repeat(20)
            + "last=1
";
        let too_many = "f=é ".repeat(2000);

        let line = fit(&many, Form::Logfmt);
        assert!(line.len() <= LONGEST && line.ends_with(" last=1\n"));
        let line = fit(&too_many, Form::Human { color: true });
        assert!(line.len() <= LONGEST && line.ends_with("…\u{1b}[0m\n"));
    }
}
