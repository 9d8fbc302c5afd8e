//! A gateway in front of one upstream, which plays every service.

use std::time::Duration;

use gateway::Upstreams;
use gateway::routes::{OWN_BUCKETS, STREAMED_ROUTES};
use http_client::{Upstream, UpstreamSettings};
use http_server::token::generate_key;
use http_server::{EdgeConfig, Role, Server, Signer, Verifier, edge};
use tempfile::TempDir;
use testing::{UpstreamBehaviour, UpstreamProcess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What services know each other by.
pub const SERVICE_TOKEN: &str = "a-secret-of-services";
/// A busy machine, and far more than any answer takes.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

pub struct Door {
    pub upstream: UpstreamProcess,
    pub url: String,
    signer: Signer,
    _files: TempDir,
    _server: DropGuard,
}

impl Door {
    pub async fn open(behaviour: UpstreamBehaviour) -> Door {
        let signer = Signer::new("k1", &generate_key()).unwrap();
        let verifier = Verifier::new([signer.public_key().clone()]);
        Door::with(behaviour, signer, |_| verifier).await
    }

    /// `verifier` is made for the client of the user service.
    pub async fn with(
        behaviour: UpstreamBehaviour,
        signer: Signer,
        verifier: impl FnOnce(Upstream) -> Verifier,
    ) -> Door {
        let files = tempfile::tempdir().unwrap();
        let process = UpstreamProcess::start(files.path(), &behaviour);
        let remote = remote(&process.url());
        let config = EdgeConfig {
            verifier: Some(verifier(remote.clone())),
            streamed: STREAMED_ROUTES,
            own_buckets: OWN_BUCKETS,
            ..EdgeConfig::default()
        };
        let router = edge(
            gateway::router(&Upstreams::remote(|_| remote.clone())),
            config,
        );
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", server.local_addr());
        let shutdown = CancellationToken::new();
        tokio::spawn(server.serve(router, shutdown.clone()));
        Door {
            upstream: process,
            url,
            signer,
            _files: files,
            _server: shutdown.drop_guard(),
        }
    }

    pub fn token(&self) -> String {
        let lifetime = Duration::from_secs(60);
        self.signer
            .sign("u1", Role::Admin, lifetime, chrono::Utc::now())
    }

    pub fn client(&self) -> reqwest::Client {
        reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .build()
            .unwrap()
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client().get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let request = self.client().post(format!("{}{path}", self.url));
        request.bearer_auth(self.token())
    }

    /// Sends these bytes and reads until the door closes the connection.
    pub async fn raw(&self, request: &str) -> String {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(ANSWER_MAX, read)
            .await
            .unwrap()
            .unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn remote(url: &str) -> Upstream {
    let settings = UpstreamSettings {
        service_token: Some(SERVICE_TOKEN.to_owned().into()),
        ..UpstreamSettings::default()
    };
    Upstream::new("shop", &[url.parse().unwrap()], settings).unwrap()
}
