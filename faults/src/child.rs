//! A role of the log as a process of its own: this crate's binary, told by one JSON argument what to do.

use std::io::Write;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child as TokioChild, ChildStdout, Command};
use tokio::time::timeout;

/// What a process of the tests writes to standard output: one JSON value a line.
#[derive(Debug)]
pub struct Child;

impl Child {
    /// In the child: tells the parent.
    ///
    /// # Panics
    /// When the value is not plain data, or the parent is gone.
    pub fn tell(value: &impl Serialize) {
        let mut line = serde_json::to_string(value).expect("plain data");
        line.push('\n');
        let mut out = std::io::stdout().lock();
        // One write a line: a process that is killed leaves whole lines or nothing.
        out.write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .expect("the parent reads");
    }
}

/// A running process of the tests. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: TokioChild,
    pid: Pid,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts `binary ROLE JSON`, where `binary` is `env!("CARGO_BIN_EXE_faults")` of the tests. What it writes to standard
    /// error goes to the test's own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(binary: impl AsRef<Path>, role: &str, told: &impl Serialize) -> Process {
        let mut child = Command::new(binary.as_ref())
            .arg(role)
            .arg(serde_json::to_string(told).expect("plain data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary of this crate starts");
        let pid = i32::try_from(child.id().expect("just started")).expect("a pid is an i32");
        let stdout = child.stdout.take().expect("piped");
        Process {
            child,
            pid: Pid::from_raw(pid),
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// What it tells next; none once it has ended. Cancel safe.
    ///
    /// # Panics
    /// When it tells something else than expected.
    pub async fn told<T: DeserializeOwned>(&mut self) -> Option<T> {
        let line = self.lines.next_line().await.expect("a pipe is readable")?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("told `{line}`: {error}")))
    }

    /// SIGSTOP: it holds what it holds and does nothing.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGKILL. What it told before can still be read.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits until it is frozen, by whomever.
    ///
    /// # Panics
    /// When it is not within `bound`.
    pub async fn frozen(&self, bound: Duration) {
        testing::until("the process is frozen", bound, async || {
            self.state() == Some('T')
        })
        .await;
    }

    /// Whether it is frozen now, by whomever.
    pub fn is_frozen(&self) -> bool {
        self.state() == Some('T')
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end within `bound`.
    pub async fn ended(&mut self, bound: Duration) -> ExitStatus {
        timeout(bound, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("process {} did not end within {bound:?}", self.pid))
            .expect("a child can be awaited")
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be awaited")
            .is_some()
    }

    /// The kernel's letter: `R`, `S`, `T` for frozen, `Z` …
    fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    fn signal(&self, signal: Signal) {
        // One that has ended already is past being signalled.
        let _ = kill(self.pid, signal);
    }
}
