//! An upstream in another process, with every fault that a client or a gateway has to live with.

mod behaviour;
mod record;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Server;

pub use behaviour::UpstreamBehaviour;
use behaviour::millis;
pub use record::{ClosedBy, UpstreamConnection, UpstreamEffect, UpstreamRequest};

/// It answers its control port at once; more passes only while it is stopped.
const CONTROL_MAX: Duration = Duration::from_secs(10);
/// The kernel stops a process in the next instant.
const STOP_MAX: Duration = Duration::from_secs(10);

/// An HTTP/1.1 server that does with requests what its [`UpstreamBehaviour`] says, which can be changed while it runs. The
/// table is at the head of `testing/python/upstream.py`. Dropping it kills it.
#[derive(Debug)]
pub struct UpstreamProcess {
    server: Server,
}

#[derive(Deserialize)]
struct State {
    open: usize,
    listening: usize,
}

impl UpstreamProcess {
    /// Starts one with its files in `dir`: those of an earlier one there are taken over.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(dir: &Path, behaviour: &UpstreamBehaviour) -> Self {
        let settings = json!({"behaviour": behaviour.0});
        Self {
            server: Server::start("upstream.py", dir, settings),
        }
    }

    /// Its address, as `http://127.0.0.1:4711`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Its port on 127.0.0.1, the same after a restart.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Behaves so from now on, towards all requests whose head has not come yet.
    ///
    /// # Panics
    /// When it does not answer: it is paused.
    pub fn behave(&mut self, behaviour: &UpstreamBehaviour) {
        self.change("behaviour", &behaviour.0);
    }

    /// Closes connections that have been without a request for so long, also those that are so already.
    ///
    /// # Panics
    /// When it does not answer: it is paused.
    pub fn close_idle_after(&mut self, idle: Option<Duration>) {
        self.change("idle_ms", &json!(idle.map(millis)));
    }

    /// Whether it takes connections. If it does not, connecting hangs; what is open goes on.
    ///
    /// # Panics
    /// When it does not answer: it is paused. When the kernel takes connections all the same.
    pub fn accept(&mut self, accepting: bool) {
        self.change("accepting", &json!(accepting));
    }

    /// Whether a second POST with a key has no effect; it has none at first.
    ///
    /// # Panics
    /// When it does not answer: it is paused.
    pub fn honour_keys(&mut self, honours: bool) {
        self.change("honours_keys", &json!(honours));
    }

    /// How many connections are open now.
    ///
    /// # Panics
    /// When it does not answer: it is paused or killed.
    pub fn open(&self) -> usize {
        self.control(&json!({})).open
    }

    /// How many clients listen to events now.
    ///
    /// # Panics
    /// When it does not answer: it is paused or killed.
    pub fn listening(&self) -> usize {
        self.control(&json!({})).listening
    }

    /// All requests that ever came whole, in order.
    ///
    /// # Panics
    /// When its file is damaged.
    pub fn requests(&self) -> Vec<UpstreamRequest> {
        self.server.lines("requests.jsonl")
    }

    /// All effects that it ever had, in order, without the repeated ones.
    ///
    /// # Panics
    /// When its file is damaged.
    pub fn effects(&self) -> Vec<UpstreamEffect> {
        let mut effects = self.effects_and_repetitions();
        effects.retain(|effect| !effect.repeated);
        effects
    }

    /// All POSTs that had or would have had an effect, in order.
    ///
    /// # Panics
    /// When its file is damaged.
    pub fn effects_and_repetitions(&self) -> Vec<UpstreamEffect> {
        self.server.lines("effects.jsonl")
    }

    /// All connections that it ever took, in order.
    ///
    /// # Panics
    /// When its file is damaged.
    pub fn connections(&self) -> Vec<UpstreamConnection> {
        record::connections(self.server.lines("connections.jsonl"))
    }

    /// kill -9. Its port refuses from then on; what it did stays in its files.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again, at the same port, with the same files and the settings that it had last.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn restart(&mut self) {
        self.server.restart();
    }

    /// SIGSTOP: the kernel takes connections and bytes, and nobody answers.
    ///
    /// # Panics
    /// When it is killed.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let end = Instant::now() + STOP_MAX;
        while !self.is_stopped() {
            assert!(Instant::now() < end, "not stopped within {STOP_MAX:?}");
            std::thread::yield_now();
        }
    }

    /// SIGCONT.
    ///
    /// # Panics
    /// When it is killed.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.server.child.id();
        let id = Pid::from_raw(i32::try_from(id).expect("process ids are small"));
        kill(id, signal).expect("a child can be signalled until it is killed");
    }

    fn is_stopped(&self) -> bool {
        let path = format!("/proc/{}/stat", self.server.child.id());
        let stat = std::fs::read_to_string(path).expect("it is not reaped");
        // The state follows the name, which is in parentheses.
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('T'))
    }

    fn change(&mut self, setting: &str, value: &Value) {
        self.server.settings[setting] = value.clone();
        let is_killed = matches!(self.server.child.try_wait(), Ok(Some(_)));
        if !is_killed {
            self.control(&json!({setting: value}));
        }
    }

    fn control(&self, change: &Value) -> State {
        let port = std::fs::read_to_string(self.server.dir.join("control")).expect("made at start");
        let port: u16 = port.parse().expect("a port");
        let mut stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the upstream is alive");
        stream
            .set_read_timeout(Some(CONTROL_MAX))
            .expect("a socket has time-outs");
        stream
            .write_all(format!("{change}\n").as_bytes())
            .expect("the upstream is alive");
        let mut answer = String::new();
        BufReader::new(stream)
            .read_line(&mut answer)
            .expect("the upstream is not paused");
        serde_json::from_str(&answer)
            .unwrap_or_else(|_| panic!("the upstream refuses {change}: {answer}"))
    }
}
