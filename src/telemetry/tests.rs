//! What comes out at the other end, in each form and with each kind of reader.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use thiserror::Error;
use tracing::{debug, info, info_span, subscriber::with_default, warn};

use super::*;

/// Keeps what is written.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes nothing until it is told to.
struct Blocked {
    started: Sender<()>,
    released: Receiver<()>,
    then: Captured,
}

impl Write for Blocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.started.send(()).ok();
        self.released.recv().ok();
        self.then.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Is closed, as a pipe whose reader went away.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

fn log(level: &str) -> Log {
    Log {
        level: level.to_owned(),
        format: LogFormat::Auto,
        color: true,
    }
}

fn written(level: &str, form: Form, events: impl FnOnce()) -> String {
    let captured = Captured::default();
    let sink = Sink::start(captured.clone(), form).unwrap();
    with_default(subscriber(&log(level), sink.clone()), events);
    sink.flush();
    captured.text()
}

#[derive(Debug, Error)]
#[error("{text}")]
struct Failure {
    text: &'static str,
    source: Option<Box<Failure>>,
}

fn failure(texts: &[&'static str]) -> Option<Box<Failure>> {
    let (text, rest) = texts.split_first()?;
    Some(Box::new(Failure {
        text,
        source: failure(rest),
    }))
}

#[test]
fn a_chain_names_every_cause_once() {
    let cases: [(&[&str], &str); 3] = [
        (&["the push was refused"], "the push was refused"),
        (&["a", "b", "c"], "a: b: c"),
        (
            &["sending: timed out", "timed out", "os error 110"],
            "sending: timed out: os error 110",
        ),
    ];
    for (texts, expected) in cases {
        let error = failure(texts).unwrap();

        assert_eq!(Chain(error.as_ref()).to_string(), expected);
    }
}

#[test]
fn every_form_has_the_message_the_fields_and_those_of_the_spans() {
    let event = || {
        let _outer = info_span!("worker", worker.id = "w1").entered();
        let _inner = info_span!("batch", batch.size = 3).entered();
        let error = failure(&["a b", "c\n\"d\""]).unwrap();
        warn!(ad.id = %"42", error = %Chain(error.as_ref()), "retry scheduled");
    };

    assert_eq!(
        written("info", Form::Logfmt, event),
        "level=warn message=\"retry scheduled\" ad.id=42 error=\"a b: c\\n\\\"d\\\"\" \
         worker.id=w1 batch.size=3\n"
    );
    let json: serde_json::Value =
        serde_json::from_str(&written("info", Form::Json, event)).unwrap();
    assert_eq!(json["level"], "WARN");
    assert_eq!(json["message"], "retry scheduled");
    assert_eq!(json["error"], "a b: c\n\"d\"");
    assert_eq!(json["spans"][0]["worker.id"], "w1");
    assert_eq!(json["spans"][1]["batch.size"], 3);
    assert!(json.get("timestamp").is_none());
    let human = written("info", Form::Human { color: false }, event);
    assert!(
        human.contains(" WARN ") && human.contains("retry scheduled ad.id=42"),
        "{human}"
    );
    assert!(!human.contains('\u{1b}'));
    assert!(written("info", Form::Human { color: true }, event).contains('\u{1b}'));
}

#[test]
fn a_bare_level_is_for_this_crate_and_others_only_warn() {
    let events = || {
        debug!("own debug");
        info!("own info");
        info!(target: "sqlx::postgres::notice", "sqlx info");
        warn!(target: "sqlx::query", "sqlx warning");
        tracing::trace!(target: "h2::codec", "h2 trace");
        debug!(target: "h2::codec", "h2 debug");
    };
    let cases: [(&str, &[&str]); 6] = [
        ("info", &["own info", "sqlx warning"]),
        ("debug", &["own debug", "own info", "sqlx warning"]),
        ("info,sqlx=info", &["own info", "sqlx info", "sqlx warning"]),
        ("warn,h2=trace", &["sqlx warning", "h2 debug"]),
        ("h2=off", &["own info", "sqlx warning"]),
        ("off", &[]),
    ];
    for (level, expected) in cases {
        let text = written(level, Form::Logfmt, events);

        let found: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        assert_eq!(found, expected, "{level}");
    }
}

#[test]
fn the_form_follows_the_terminal_unless_it_is_set() {
    let cases = [
        (LogFormat::Auto, true, true, Form::Human { color: true }),
        (LogFormat::Auto, false, true, Form::Human { color: false }),
        (LogFormat::Auto, true, false, Form::Logfmt),
        (LogFormat::Human, true, false, Form::Human { color: false }),
        (LogFormat::Logfmt, true, true, Form::Logfmt),
        (LogFormat::Json, true, true, Form::Json),
    ];
    for (format, color, terminal, expected) in cases {
        let log = Log {
            level: "info".to_owned(),
            format,
            color,
        };

        assert_eq!(
            form(&log, terminal),
            expected,
            "{format:?} {color} {terminal}"
        );
    }
}

#[test]
fn a_reader_that_blocks_costs_lines_and_they_are_counted() {
    const LINES: usize = 3000;
    let captured = Captured::default();
    let (started, has_started) = channel();
    let (release, released) = channel();
    let blocked = Blocked {
        started,
        released,
        then: captured.clone(),
    };
    let sink = Sink::start(blocked, Form::Logfmt).unwrap();

    with_default(subscriber(&log("info"), sink.clone()), || {
        info!("first");
        has_started.recv().unwrap();
        for number in 1..LINES {
            info!(number, "more");
        }
        drop(release);
    });
    sink.flush();

    let text = captured.text();
    let counts = text
        .lines()
        .filter_map(|line| line.split_once("log.dropped=")?.1.parse::<usize>().ok());
    let dropped: usize = counts.sum();
    let passed = text
        .lines()
        .filter(|line| line.starts_with("level=info"))
        .count();
    assert!(dropped > 0, "nothing was dropped");
    assert_eq!(passed + dropped, LINES);
}

#[test]
fn a_reader_that_is_gone_stops_nothing() {
    let sink = Sink::start(Closed, Form::Logfmt).unwrap();

    with_default(subscriber(&log("info"), sink.clone()), || {
        for number in 0..3000 {
            info!(number, "into the void");
        }
    });

    sink.flush();
}

/// Fails to parse, with the text in its error, as careless types do.
#[derive(Debug)]
struct Secret;

impl std::str::FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Err(format!("{text} is not a key"))
    }
}

#[test]
fn a_panic_is_one_line_that_names_the_place_and_no_data() {
    let text = written("info", Form::Logfmt, || {
        panic::set_hook(Box::new(report_panic));
        let failed = panic::catch_unwind(|| {
            "sesame"
                .parse::<Secret>()
                .expect("the key was checked at start");
        });
        drop(panic::take_hook());
        assert!(failed.is_err());
    });

    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("panic.location=src/telemetry/tests.rs:"),
        "{text}"
    );
    assert!(
        text.contains("panic.reason=\"the key was checked at start\""),
        "{text}"
    );
    assert!(!text.contains("sesame"), "{text}");
}
