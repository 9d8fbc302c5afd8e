//! A Kafka broker of a test's own, which it may kill, freeze and stop.

mod acl;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Below the range from which the kernel draws outgoing ports: the port must still be free when the broker comes back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A clean stop syncs what was written; after it the broker is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// The one user of the listener on which the broker asks who is there, and their password.
const USER: &str = "relay";
const PASSWORD: &str = "relay-password";

/// A broker with data of its own, on ports that stay its own. Dropping it kills it and deletes its data.
#[derive(Debug)]
pub struct Broker {
    process: Child,
    folder: TempDir,
    port: u16,
}

impl Broker {
    /// Starts a broker. To be called from the test's own thread: with that thread the broker ends, whatever happens.
    ///
    /// # Panics
    /// When Kafka is not installed or the broker does not come up.
    pub async fn start() -> Broker {
        let folder = tempfile::Builder::new()
            .prefix("nakku-faults-")
            .tempdir()
            .expect("a temporary folder");
        let port = free_port();
        // Whoever comes to the plain listener is an administrator; on the other one there are users with rights.
        let user_port = port + 2;
        let settings = format!(
            "listeners=PLAINTEXT://127.0.0.1:{port},USERS://127.0.0.1:{user_port},CONTROLLER://127.0.0.1:{}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},USERS://127.0.0.1:{user_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,USERS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
",
            port + 1
        );
        std::fs::write(folder.path().join("more.properties"), settings).expect("the folder is new");
        let process = run(folder.path(), port);
        let broker = Broker {
            process,
            folder,
            port,
        };
        broker.ready().await;
        broker
    }

    /// The bootstrap list of an administrator.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The bootstrap list of a user with rights, and the client's settings that name them.
    pub fn address_of_user(&self) -> (String, Vec<(String, String)>) {
        let settings = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", USER),
            ("sasl.password", PASSWORD),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        (
            format!("127.0.0.1:{}", self.port + 2),
            settings.into_iter().map(owned).collect(),
        )
    }

    /// Forbids that user to write to a topic; everything else there stays allowed.
    ///
    /// # Panics
    /// When the broker does not do as asked.
    pub async fn forbid_writing(&self, topic: &str) {
        acl::forbid_writing(&self.address(), USER, topic)
            .await
            .expect("an administrator may");
    }

    /// Takes [`Broker::forbid_writing`] back.
    ///
    /// # Panics
    /// As there.
    pub async fn allow_writing(&self, topic: &str) {
        acl::allow_writing(&self.address(), USER, topic)
            .await
            .expect("an administrator may");
    }

    /// SIGSTOP: connections stay open, and nobody answers.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn kill(&mut self) {
        self.process.kill().await.expect("a child can be killed");
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        match timeout(STOPPED_WITHIN, self.process.wait()).await {
            Ok(ended) => drop(ended.expect("a child can be awaited")),
            Err(_) => self.kill().await,
        }
    }

    /// Starts it again on the data that it had, and waits until it answers.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_again(&mut self) {
        self.process = run(self.folder.path(), self.port);
        self.ready().await;
    }

    async fn ready(&self) {
        let ready = Command::new(script())
            .arg("ready")
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .status()
            .await
            .expect("scripts/kafka runs");
        assert!(ready.success(), "the broker does not come up");
    }

    fn signal(&self, signal: Signal) {
        let Some(pid) = self.process.id() else {
            return;
        };
        let pid = i32::try_from(pid).expect("a pid is an i32");
        // One that has ended already is past being signalled.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// `scripts/kafka` becomes the broker itself: signals go straight to it.
fn run(folder: &Path, port: u16) -> Child {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(script())
        .arg("run")
        .arg(folder)
        .arg(port.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("setpriv runs")
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka")
}

/// Three neighbours: beside the broker's own there are the controller's and that of the users.
fn free_port() -> u16 {
    loop {
        let port = rand::random_range(PORTS);
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (port..port + 3).all(is_free) {
            return port;
        }
    }
}
