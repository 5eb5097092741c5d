//! A way out for log lines that never waits: a bounded buffer, and a thread
//! that empties it at the reader's pace.
//!
//! While the buffer is full new lines are dropped and counted; the count is
//! written as soon as the reader takes lines again. A reader that is gone makes
//! the rest vanish without a word, because there is nobody left to tell.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::line::{self, Form};

/// Lines that may wait for a slow reader: at 4 KiB each never more than 4 MiB.
const BUFFERED: usize = 1024;

/// How long the end of the process waits for a slow reader.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

#[derive(Debug, Clone)]
pub(super) struct Sink {
    messages: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    form: Form,
}

impl Sink {
    pub(super) fn start(out: impl Write + Send + 'static, form: Form) -> io::Result<Self> {
        let (messages, receiver) = sync_channel(BUFFERED);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || pass_on(&receiver, &counter, form, out))?;
        Ok(Self {
            messages,
            dropped,
            form,
        })
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Waits until everything is written, though not for long.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        let mut message = Message::Flush(done);
        let mut waits = 0;
        // A full buffer has no place for the question either.
        while let Err(TrySendError::Full(back)) = self.messages.try_send(message) {
            if waits == 10 {
                return;
            }
            waits += 1;
            thread::sleep(FLUSH_TIMEOUT / 10);
            message = back;
        }
        // No answer in time means that nobody reads.
        written.recv_timeout(FLUSH_TIMEOUT).ok();
    }
}

impl Write for Sink {
    /// Takes one event: `tracing-subscriber` writes each with a single call.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = line::fit(&text, self.form).into_owned();
        if self.messages.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn pass_on(messages: &Receiver<Message>, dropped: &AtomicU64, form: Form, mut out: impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => {
                let lost = dropped.swap(0, Ordering::Relaxed);
                let notice = if lost > 0 {
                    line::lost(lost, form)
                } else {
                    String::new()
                };
                // A closed output has no one to be told of its failure.
                out.write_all(format!("{notice}{line}").as_bytes()).ok();
            }
            Message::Flush(done) => {
                out.flush().ok();
                done.try_send(()).ok();
            }
        }
    }
}
