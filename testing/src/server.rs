//! Servers that the product talks to, each as a process of its own: written in Python, so nothing of the product is in them.

mod mail;
mod payment_provider;
mod upstream;
mod webhook;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use mail::{Mail, MailServer, Protection};
pub use payment_provider::{Payment, PaymentProviderProcess, PaymentRequest, Performed};
pub use upstream::{
    ClosedBy, UpstreamBehaviour, UpstreamConnection, UpstreamEffect, UpstreamProcess,
    UpstreamRequest,
};
pub use webhook::{WebhookCall, WebhookReceiver};

/// A running server. Dropping it kills it; it also ends by itself with the process that started it.
#[derive(Debug)]
struct Server {
    script: &'static str,
    settings: Value,
    dir: PathBuf,
    port: u16,
    child: Child,
}

impl Server {
    /// Starts `testing/python/SCRIPT` on a free port, with its files in `dir`.
    fn start(script: &'static str, dir: &Path, settings: Value) -> Server {
        let (child, port) = spawn(script, dir, 0, &settings);
        Server {
            script,
            settings,
            dir: dir.to_owned(),
            port,
            child,
        }
    }

    /// Kills it with SIGKILL; its port refuses from then on.
    fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it once more at the same port and with the same files.
    fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.script, &self.dir, self.port, &self.settings).0;
    }

    /// The certificate (PEM) that its own is issued by.
    fn authority(&self) -> Vec<u8> {
        std::fs::read(self.dir.join("authority.pem")).expect("the server speaks TLS")
    }

    /// The values of one of its files, one a line.
    fn lines<T: DeserializeOwned>(&self, file: &str) -> Vec<T> {
        let text = std::fs::read_to_string(self.dir.join(file)).expect("made when it started");
        // The last one may be in the middle of being written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let value = |line| serde_json::from_str(line).expect("one JSON value a line");
        whole.lines().map(value).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(script: &str, dir: &Path, port: u16, settings: &Value) -> (Child, u16) {
    let mut settings = settings.clone();
    settings["dir"] = json!(dir);
    settings["port"] = json!(port);
    let mut child = Command::new(interpreter())
        // Nothing is written beside the sources.
        .arg("-B")
        .arg(root().join("testing/python").join(script))
        .arg(settings.to_string())
        // Its end tells it of ours.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start a server of the tests");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("a pipe is readable");
    let port = line
        .trim_end()
        .strip_prefix("ready ")
        .and_then(|port| port.parse().ok());
    let port = port.unwrap_or_else(|| panic!("{script} said `{line}` instead of its port"));
    (child, port)
}

fn interpreter() -> &'static Path {
    // Looking for it takes longer than a server needs to start.
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(find_interpreter)
}

fn find_interpreter() -> PathBuf {
    let output = Command::new(root().join("scripts/servers-python"))
        .stderr(Stdio::inherit())
        .output()
        .expect("run scripts/servers-python");
    assert!(
        output.status.success(),
        "the servers of the tests cannot be started: run `make test`, or `scripts/install-engines --kafka` once"
    );
    let path = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(path.trim_end())
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
