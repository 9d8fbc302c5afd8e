//! A TCP proxy before a server, whose connections are cut while the server's side goes on.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How long the server's side of a cut connection stays open. The server must not notice at once, as it would not on a
/// network that lost its client; and not keep more connections than it allows.
const HELD_AFTER_CUT: Duration = Duration::from_secs(2);

/// What is read at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// A proxy on a port of its own. Dropping it cuts everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    control: Arc<Control>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Control {
    /// Counts up at each cut.
    cuts: watch::Sender<u64>,
    /// What the next answer that is not delivered holds.
    swallow: Mutex<Option<&'static [u8]>>,
    /// Answers that were not delivered.
    swallowed: watch::Sender<u64>,
}

impl Proxy {
    /// A proxy before `127.0.0.1:port`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn before(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("just bound");
        let control = Arc::new(Control::default());
        let accepting = tokio::spawn(accept(listener, port, control.clone()));
        Proxy {
            address,
            control,
            accepting,
        }
    }

    /// Where clients connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts every connection between client and proxy, wherever it is.
    pub fn cut(&self) {
        self.control.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts the next connection on which the server answers with `holding`, in place of delivering the answer.
    pub fn swallow(&self, holding: &'static [u8]) {
        *self.control.swallow.lock().expect("no panic while held") = Some(holding);
    }

    /// How many answers were not delivered.
    pub fn swallowed(&self) -> u64 {
        *self.control.swallowed.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, control: Arc<Control>) {
    // Ends with this task.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        connections.spawn(relay(client, port, control.clone()));
    }
}

async fn relay(client: TcpStream, port: u16, control: Arc<Control>) {
    let mut cuts = control.cuts.subscribe();
    // A server that is down is a connection that ends.
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_cut = tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => false,
        swallowed = deliver(&mut from_server, &mut to_client, &control) => swallowed.unwrap_or(false),
        _ = cuts.changed() => true,
    };
    drop((from_client, to_client));
    if is_cut {
        tokio::time::sleep(HELD_AFTER_CUT).await;
    }
}

/// Delivers answers until the server ends, or until one is to be swallowed: true.
async fn deliver(
    server: &mut OwnedReadHalf,
    client: &mut OwnedWriteHalf,
    control: &Control,
) -> io::Result<bool> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = server.read(&mut chunk).await?;
        if read == 0 {
            return Ok(false);
        }
        if control.takes(&chunk[..read]) {
            return Ok(true);
        }
        client.write_all(&chunk[..read]).await?;
    }
}

impl Control {
    fn takes(&self, chunk: &[u8]) -> bool {
        let mut swallow = self.swallow.lock().expect("no panic while held");
        let holds = |wanted: &[u8]| chunk.windows(wanted.len()).any(|window| window == wanted);
        let taken = swallow.take_if(|wanted| holds(wanted)).is_some();
        if taken {
            self.swallowed.send_modify(|swallowed| *swallowed += 1);
        }
        taken
    }
}
