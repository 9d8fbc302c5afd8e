//! Roles as processes of their own: this program, started once more.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_client::ServiceUrl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use uuid::Uuid;

/// Several start at once, in an unoptimised build on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);
/// A drain and what a role writes down at its end.
const STOP_MAX: Duration = Duration::from_secs(30);

/// What a role prints when it answers.
const READY: &str = "ready ";
/// Where it listens: on a port that the system chooses.
const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];
/// What of the environment reaches it: settings of the caller's own would change what is measured.
const INHERITED: [&str; 2] = ["PATH", "HOME"];

/// Settings of a role, by their variables.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings(Vec<(String, OsString)>);

/// A running role; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    role: String,
    child: Child,
    url: ServiceUrl,
}

impl Settings {
    pub(super) fn with(&self, variable: impl Into<String>, value: impl Into<OsString>) -> Self {
        let mut settings = self.clone();
        settings.0.push((variable.into(), value.into()));
        settings
    }
}

impl Process {
    /// Starts a role and waits until it answers. What it logs goes into a file in `logs`.
    pub(super) async fn start(
        arguments: &[&str],
        settings: &Settings,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let role = arguments.first().copied().unwrap_or_default().to_owned();
        let log = logs.join(format!("{role}-{}.log", Uuid::now_v7().simple()));
        let file = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let program = std::env::current_exe().context("find this program")?;
        let inherited = INHERITED
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(program)
            .args(arguments)
            .args(LISTEN)
            .env_clear()
            .envs(inherited)
            .envs(settings.0.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {role}"))?;
        let stdout = child.stdout.take().context("its output is not piped")?;
        let lines = BufReader::new(stdout).lines();
        let url = timeout(START_MAX, ready(lines))
            .await
            .map_err(|_| anyhow!("not within {START_MAX:?}"))
            .flatten()
            .with_context(|| format!("{role} does not get ready{}", last_line(&log)))?;
        Ok(Self { role, child, url })
    }

    pub(super) fn url(&self) -> &ServiceUrl {
        &self.url
    }

    /// Kills it without a word, and waits until it is gone.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        let role = &self.role;
        let killed = self.child.kill().await;
        killed.with_context(|| format!("kill {role}"))
    }

    /// Ends it in order.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let role = &self.role;
        let Some(id) = self.child.id() else {
            return Ok(());
        };
        kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM)
            .with_context(|| format!("end {role}"))?;
        match timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => bail!("{role} ended with {status}"),
            Ok(Err(error)) => Err(error).with_context(|| format!("wait for {role}")),
            Err(_) => bail!("{role} did not end within {STOP_MAX:?}"),
        }
    }
}

/// The address in the line that says that it answers.
async fn ready(mut lines: Lines<BufReader<ChildStdout>>) -> anyhow::Result<ServiceUrl> {
    while let Some(line) = lines.next_line().await? {
        let Some(url) = line.strip_prefix(READY) else {
            continue;
        };
        let url = url.trim().parse()?;
        // A pipe that nobody reads would be closed, or full in the end.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Ok(url);
    }
    bail!("it ended")
}

fn last_line(log: &PathBuf) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last().map(|line| format!(": {line}"));
    last.unwrap_or_default()
}
