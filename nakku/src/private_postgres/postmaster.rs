//! The server as a process: found through its `postmaster.pid`, told to end by signals.

use std::fs;
use std::path::Path;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::binaries::is_server_name;

/// Lines of `postmaster.pid`, counted from 0.
const PID_LINE: usize = 0;
const STATUS_LINE: usize = 7;

/// The server that runs on this cluster, whoever started it.
///
/// The file alone is no proof: after a crash another process may have got its number.
pub(super) fn running(data: impl AsRef<Path>) -> Option<u32> {
    let text = fs::read_to_string(data.as_ref().join("postmaster.pid")).ok()?;
    let pid = text.lines().nth(PID_LINE)?.trim().parse().ok()?;
    is_of(data, pid).then_some(pid)
}

/// Whether the server with this number accepts connections by its own word.
pub(super) fn is_ready(data: impl AsRef<Path>, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(data.as_ref().join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines();
    let is_its_file = lines
        .nth(PID_LINE)
        .and_then(|line| line.trim().parse().ok())
        == Some(pid);
    is_its_file && lines.nth(STATUS_LINE - PID_LINE - 1).map(str::trim) == Some("ready")
}

/// Whether process `pid` is a living server process that works in `data`: every one of them does, from its start to its end.
pub(super) fn is_of(data: impl AsRef<Path>, pid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    works_in(&process, data.as_ref())
}

/// Whether any server process, also one without its postmaster, works in `data`.
pub(super) fn any_process_in(data: impl AsRef<Path>) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .any(|entry| works_in(&entry.path(), data.as_ref()))
}

/// A process that has ended but that nobody has waited for has no directory any more, so it does not count.
fn works_in(process: &Path, data: &Path) -> bool {
    let Ok(directory) = fs::read_link(process.join("cwd")) else {
        return false;
    };
    directory == data
        && fs::read_link(process.join("exe"))
            .is_ok_and(|program| program.file_name().is_some_and(is_server_name_of_running))
}

/// A program that an upgrade has replaced under a running server is shown as deleted.
fn is_server_name_of_running(name: &std::ffi::OsStr) -> bool {
    let text = name.to_string_lossy();
    is_server_name(text.trim_end_matches(" (deleted)").as_ref())
}

/// Ends sessions, writes a checkpoint and ends.
pub(super) fn fast_shutdown(pid: u32) {
    send(pid, Signal::SIGINT);
}

/// Ends at once; the next start recovers.
pub(super) fn immediate_shutdown(pid: u32) {
    send(pid, Signal::SIGQUIT);
}

pub(super) fn kill(pid: u32) {
    send(pid, Signal::SIGKILL);
}

/// A process that is gone by now needs no signal; whether it ended is seen by looking.
fn send(pid: u32, signal: Signal) {
    let Ok(pid) = i32::try_from(pid) else {
        return;
    };
    if let Err(error) = signal::kill(Pid::from_raw(pid), signal) {
        tracing::debug!(pid, %signal, %error, "the private server took no signal");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_with_the_number_of_another_process_is_no_server() {
        let data = tempfile::tempdir().unwrap();
        let pid_file = format!("{}\n{}\n", std::process::id(), data.path().display());
        fs::write(data.path().join("postmaster.pid"), pid_file).unwrap();
        assert_eq!(running(data.path()), None);
        assert!(!any_process_in(data.path()));
    }

    #[test]
    fn a_server_is_ready_when_its_file_says_so() {
        let data = tempfile::tempdir().unwrap();
        let file = |status: &str| format!("42\n/data\n1700000000\n5432\n/run\n\n  1 2\n{status}\n");
        fs::write(data.path().join("postmaster.pid"), file("starting")).unwrap();
        assert!(!is_ready(data.path(), 42));
        fs::write(data.path().join("postmaster.pid"), file("ready   ")).unwrap();
        assert!(is_ready(data.path(), 42));
        assert!(!is_ready(data.path(), 43));
    }
}
