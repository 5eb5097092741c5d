//! A private Redis.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::process::{self, Process, Program};
use super::{Error, programs};

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// How a private Redis is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where its directory is made; the system's place for temporary files
    /// unless given.
    pub parent: Option<PathBuf>,
    /// Whether it speaks TLS, and nothing else.
    pub tls: bool,
    /// Parameters of `redis.conf`, as name and value.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// Adds a parameter of `redis.conf`, such as `maxmemory`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// TLS with a certificate that it signed itself, as Heroku's have.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    fn arguments(&self, directory: &Path) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: &str| {
            arguments.extend([format!("--{name}"), value.to_owned()]);
        };
        add("bind", "127.0.0.1");
        add("save", "");
        // What was answered is in the kernel's hands, so a killed server has it
        // when it comes back; only a crash of the machine could take it.
        add("appendonly", "yes");
        add("appendfsync", "no");
        if self.tls {
            add("port", "0");
            add("tls-cert-file", &path(directory, CERTIFICATE));
            add("tls-key-file", &path(directory, KEY));
            add("tls-auth-clients", "no");
        }
        for (name, value) in &self.settings {
            add(name, value);
        }
        // The watchdog puts the port behind it.
        let port = if self.tls { "--tls-port" } else { "--port" };
        arguments.push(port.to_owned());
        arguments
    }
}

/// A private Redis, gone when this value is.
pub struct Redis {
    process: Process,
    scheme: &'static str,
}

impl Redis {
    /// Starts an empty server on a free port.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let program = programs::find("redis-server")?;
        let directory = process::directory(options.parent.as_deref(), None)?;
        if options.tls {
            make_certificate(directory.path())?;
        }
        let program = Program {
            path: program,
            arguments: options.arguments(directory.path()),
            user: None,
            end: Signal::SIGKILL,
            ready: is_ready,
        };
        let process = Process::start(directory, program).await?;
        let scheme = if options.tls { "rediss" } else { "redis" };
        Ok(Self { process, scheme })
    }

    /// Its URL, `rediss` if it speaks TLS.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port())
    }

    /// The port that it listens on, and will listen on after a restart.
    pub fn port(&self) -> u16 {
        self.process.port()
    }

    /// The server's process, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.process.living().map(Pid::as_raw)
    }

    /// Where its data and its log are.
    pub fn directory(&self) -> &Path {
        self.process.directory()
    }

    /// Stops it as an administrator would.
    pub async fn stop(&self) -> Result<(), Error> {
        self.process.end(Signal::SIGTERM).await
    }

    /// Kills it at once.
    pub async fn kill(&self) -> Result<(), Error> {
        self.process.kill().await
    }

    /// Starts it again on the same port with what it held; stops it first if it
    /// runs.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await?;
        self.process.start_again().await
    }

    /// As [`Redis::restart`], but everything that it held is lost, as with a
    /// server that keeps nothing on disk.
    pub async fn restart_empty(&mut self) -> Result<(), Error> {
        self.stop().await?;
        let log = self.process.directory().join("appendonlydir");
        if log.exists() {
            fs::remove_dir_all(&log).map_err(Error::io("remove", &log))?;
        }
        self.process.start_again().await
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.process.signal_all(Signal::SIGSTOP);
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.process.signal_all(Signal::SIGCONT);
    }
}

/// Makes a key and a certificate for the loopback address, signed by itself.
fn make_certificate(directory: &Path) -> Result<(), Error> {
    let program = programs::find("openssl")?;
    let output = process::command(&program, None)
        .args(["req", "-x509", "-nodes", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=127.0.0.1", "-days", "2"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", &path(directory, KEY)])
        .args(["-out", &path(directory, CERTIFICATE)])
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io("run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Certificate {
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn path(directory: &Path, file: &str) -> String {
    directory.join(file).display().to_string()
}

/// Redis says so in its log once the port is open and its data are loaded.
fn is_ready(directory: &Path, _pid: Pid) -> bool {
    fs::read_to_string(directory.join("log"))
        .is_ok_and(|log| log.contains("Ready to accept connections"))
}
