//! The real binary as a child process, with bounds on everything and nothing left behind.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testing::until;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// Two busy cores, an unoptimised binary, and a cluster to be made: far more than it takes.
pub const START_MAX: Duration = Duration::from_secs(120);
/// A drain, a checkpoint of PostgreSQL.
pub const STOP_MAX: Duration = Duration::from_secs(60);
/// A verb, with a private server to be started.
pub const VERB_MAX: Duration = Duration::from_secs(120);

const BINARY: &str = env!("CARGO_BIN_EXE_nakku");

/// Settings of a test; nothing else of the environment reaches the program.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, OsString)>);

impl Settings {
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Settings {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(BINARY);
        command.args(line.split_whitespace());
        command.env_clear();
        for inherited in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(inherited) {
                command.env(inherited, value);
            }
        }
        command
            .envs(self.0.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts a role.
    pub fn start(&self, line: &str) -> Nakku {
        Nakku::of(line, &mut self.command(line))
    }

    /// Runs a verb to its end.
    pub async fn run(&self, line: &str) -> Output {
        match timeout(VERB_MAX, self.command(line).output()).await {
            Ok(output) => output.unwrap(),
            Err(_) => panic!("`nakku {line}` did not end within {VERB_MAX:?}"),
        }
    }

    /// Starts a verb that reads this from standard input, which then stays open for as long as the answer is kept.
    pub async fn start_reading(&self, line: &str, input: &[u8]) -> (Nakku, ChildStdin) {
        let mut command = self.command(line);
        let mut nakku = Nakku::of(line, command.stdin(Stdio::piped()));
        let mut stdin = nakku.child.stdin.take().unwrap();
        stdin.write_all(input).await.unwrap();
        stdin.flush().await.unwrap();
        (nakku, stdin)
    }

    /// Runs a verb that must succeed; its standard output.
    pub async fn succeed(&self, line: &str) -> String {
        let output = self.run(line).await;
        assert!(
            output.status.success(),
            "`nakku {line}` ended with {}\n--- stdout\n{}\n--- stderr\n{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The lines that a process has written so far, and whether those are all.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>, Arc<AtomicBool>);

impl Lines {
    fn of(stream: impl AsyncRead + Unpin + Send + 'static) -> Lines {
        let lines = Lines::default();
        let kept = lines.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                kept.0.lock().unwrap().push(line);
            }
            kept.1.store(true, Ordering::Release);
        });
        lines
    }

    fn find(&self, prefix: &str) -> Option<String> {
        let lines = self.0.lock().unwrap();
        let line = lines.iter().find(|line| line.starts_with(prefix));
        line.map(|line| line[prefix.len()..].trim().to_owned())
    }

    fn is_ended(&self) -> bool {
        self.1.load(Ordering::Acquire)
    }

    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

/// A running program; killed when dropped, and what it said is shown where the test fails.
pub struct Nakku {
    line: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Nakku {
    fn of(line: &str, command: &mut Command) -> Nakku {
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Nakku {
            line: line.to_owned(),
            child,
            stdout,
            stderr,
        }
    }

    /// What it has written to standard error so far.
    pub fn complaints(&self) -> String {
        self.stderr.all()
    }

    /// The address in its `ready` line.
    pub async fn ready(&mut self) -> String {
        self.said("ready ").await
    }

    /// The rest of a line of standard output that begins so; waits for it.
    pub async fn said(&mut self, prefix: &str) -> String {
        let what = format!("`nakku {}` says `{prefix}…`", self.line);
        let (stdout, child) = (self.stdout.clone(), &mut self.child);
        until(&what, START_MAX, async || {
            let ended = child.try_wait().unwrap();
            // What it wrote last may still be on its way.
            let is_all = stdout.is_ended();
            let is_said = stdout.find(prefix).is_some();
            if let (Some(status), true) = (ended, is_all) {
                assert!(is_said, "it ended with {status} before {what}");
            }
            is_said
        })
        .await;
        self.stdout.find(prefix).unwrap()
    }

    /// Whether it has said a line that begins so.
    pub fn has_said(&self, prefix: &str) -> bool {
        self.stdout.find(prefix).is_some()
    }

    /// All that it has printed and logged so far.
    pub fn output(&self) -> String {
        [self.stdout.all(), self.stderr.all()].join("\n")
    }

    /// Everything that it has written to standard error; of a program that has ended.
    pub async fn written(&self) -> String {
        let stderr = self.stderr.clone();
        until(
            "its standard error is read to the end",
            STOP_MAX,
            async || stderr.is_ended(),
        )
        .await;
        stderr.all()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().expect("it runs").cast_signed())
    }

    /// The most memory that it had so far.
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
        let peak = peak.unwrap().split_whitespace().nth(1);
        peak.unwrap().parse().unwrap()
    }

    /// How much the most has grown since it was `before`. The kernel counts on each core by itself and sums up loosely: what
    /// has not grown may read as less.
    pub fn peak_growth_kib(&self, before: u64) -> u64 {
        self.peak_kib().saturating_sub(before)
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub async fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.ended().await
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        match timeout(STOP_MAX, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("`nakku {}` did not end within {STOP_MAX:?}", self.line),
        }
    }

    /// Ends it in order, which must be with 0.
    pub async fn stop(&mut self, signal: Signal) {
        let status = self.end(signal).await;
        assert!(
            status.success(),
            "`nakku {}` ended with {status}",
            self.line
        );
    }
}

impl Drop for Nakku {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- `nakku {}`: stdout\n{}\n--- stderr\n{}\n---",
                self.line,
                self.stdout.all(),
                self.stderr.all()
            );
        }
    }
}

/// A data directory, and the private server in it, both gone at the end of the test.
pub struct DataDirectory(TempDir);

impl DataDirectory {
    /// Open to the server's user, where root runs the tests.
    pub fn new() -> DataDirectory {
        let directory = tempfile::Builder::new()
            .prefix("nakku-story-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in("/tmp")
            .unwrap();
        DataDirectory(directory)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The process of the private server, while there is one.
    pub fn server(&self) -> Option<Pid> {
        let file = std::fs::read_to_string(self.pid_file()).ok()?;
        let pid = Pid::from_raw(file.lines().next()?.trim().parse().ok()?);
        kill(pid, None).is_ok().then_some(pid)
    }

    fn pid_file(&self) -> PathBuf {
        self.path().join("postgres/data/postmaster.pid")
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        // An immediate shutdown: the data goes with it.
        let Some(pid) = self.server() else { return };
        let _ = kill(pid, Signal::SIGQUIT);
        let end = std::time::Instant::now() + STOP_MAX;
        while kill(pid, None).is_ok() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
