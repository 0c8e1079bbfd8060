//! A daemon with its page, and its log in a file.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::common::{stop, wait_for};

/// The daemon; its page is there.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) page: String,
    log: PathBuf,
}

impl Daemon {
    /// Starts the program with a config that is in that folder; the log goes there, too.
    pub(crate) fn start(program: &str, config: &Path, folder: &Path) -> Self {
        let log = folder.join("log");
        let child = Command::new(program)
            .args(["--config", config.to_str().unwrap(), "run", "--log-level", "info"])
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut daemon = Self { child, log, page: String::new() };
        wait_for("a page", || {
            let text = daemon.logged();
            let rest = text.split_once("status page at `http://").map(|(_, rest)| rest);
            let page = rest.and_then(|rest| rest.split_once('/')).map(|(page, _)| page);
            daemon.page = page.unwrap_or_default().to_owned();
            page.is_some()
        });
        daemon
    }

    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The whole response for a path.
    pub(crate) fn ask(&self, path: &str) -> String {
        ask(&self.page, path)
    }

    /// One of the metrics; zero before it is there.
    pub(crate) fn number(&self, name: &str) -> f64 {
        let metrics = self.ask("/metrics");
        let found = metrics.lines().find_map(|line| line.strip_prefix(name));
        found.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    pub(crate) fn stop(self) {
        stop(self.child);
    }
}

/// The whole response of a page for a path.
pub(crate) fn ask(page: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(page).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {page}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
