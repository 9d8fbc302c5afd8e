//! The log: one line a request, for people and for programs, with the ids that the answers bear and nothing that is secret
//! or somebody's.

use std::collections::BTreeMap;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};

use crate::api::{Answer, Api};
use crate::process::{DataDirectory, Settings};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery";
/// Whoever finds one of these in a log has found what does not belong there.
const CANARIES: [&str; 7] = [
    "canary-mail",
    "Canary Lovelace",
    "+49301234567",
    "canary-password-1",
    "canary-words",
    "canary-key",
    PASSWORD,
];

/// A request, and what its line must say.
struct Asked {
    method: &'static str,
    endpoint: &'static str,
    status: u16,
    answer: Answer,
}

impl Asked {
    /// In the header of every answer.
    fn correlation_id(&self) -> &str {
        self.answer.header("nakku-correlation-id")
    }
}

/// What a shop writes while it is asked all kinds of things, and what it was asked.
async fn written(format: &str, level: &str) -> (String, Vec<Asked>, Vec<String>) {
    let directory = DataDirectory::new();
    let settings = Settings::default()
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", PASSWORD)
        .with("NAKKU_LOG_FORMAT", format)
        .with("NAKKU_LOG", level);
    let mut up = settings.start("up --port 0 --no-seed");
    let url = up.ready().await;
    let (asked, secrets) = ask(&Api::new(&url)).await;
    up.stop(SIGTERM).await;
    (up.written().await, asked, secrets)
}

async fn ask(visitor: &Api) -> (Vec<Asked>, Vec<String>) {
    let mut asked = Vec::new();
    let mut keep = |method, endpoint, status, answer: Answer| {
        let answer = answer.expect(status);
        asked.push(Asked {
            method,
            endpoint,
            status,
            answer,
        });
        asked.last().unwrap().answer.body.clone()
    };
    let user = json!({
        "email": "canary-mail@example.org", "name": "Canary Lovelace", "phone": "+49301234567",
        "password": "canary-password-1",
    });
    let key = [("idempotency-key", "canary-key")];
    let registered = visitor.post("/users/register", &key, &user).await;
    let registered = keep("POST", "/api/v1/users/register", 201, registered);
    let wrong = json!({"email": "canary-mail@example.org", "password": "canary-password-1!"});
    let refused = visitor.post("/users/login", &[], &wrong).await;
    keep("POST", "/api/v1/users/login", 401, refused);
    let wrong = json!({"email": "canary-mail", "password": "canary-password-1"});
    let refused = visitor.post("/users/login", &[], &wrong).await;
    keep("POST", "/api/v1/users/login", 422, refused);
    let right = json!({"email": "canary-mail@example.org", "password": "canary-password-1"});
    let session = visitor.post("/users/login", &[], &right).await;
    let session = keep("POST", "/api/v1/users/login", 200, session);
    let ada = visitor
        .logged_in("canary-mail@example.org", "canary-password-1")
        .await;
    let id = registered["id"].as_str().unwrap();
    let position = registered["position"].to_string();
    let seen = [("nakku-min-position", position.as_str())];
    let shown = ada.get(&format!("/users/{id}"), &seen).await;
    keep("GET", "/api/v1/users/{id}", 200, shown);
    let found = ada.get("/search?q=canary-words", &[]).await;
    keep("GET", "/api/v1/search", 200, found);
    let forbidden = ada.get("/admin/outbox", &[]).await;
    keep("GET", "/api/v1/admin/outbox", 403, forbidden);
    let nowhere = ada.get("/canary-words/canary-mail@example.org", &[]).await;
    keep("GET", "unmatched", 404, nowhere);
    let ours = [(
        "nakku-correlation-id",
        "0198c1a0-0000-7000-8000-000000000001",
    )];
    let outbox = visitor.logged_in(ADMINISTRATOR, PASSWORD).await;
    let outbox = outbox.get("/admin/outbox", &ours).await;
    keep("GET", "/api/v1/admin/outbox", 200, outbox);
    visitor.get_root("/health/ready").await.expect(200);

    let secrets =
        ["access_token", "refresh_token"].map(|name| session[name].as_str().unwrap().to_owned());
    (asked, secrets.into_iter().collect())
}

#[track_caller]
fn nothing_secret(log: &str, secrets: &[String]) {
    let canaries = CANARIES
        .iter()
        .copied()
        .chain(secrets.iter().map(String::as_str));
    for canary in canaries {
        let line = log.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary}: {}", line.unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_one_flat_object_a_request() {
    let (log, asked, secrets) = written("json", "info").await;
    nothing_secret(&log, &secrets);
    let mut of_requests: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let members = line.as_object().unwrap();
        for name in ["timestamp", "level", "target", "message"] {
            assert!(line[name].is_string(), "no {name} in {line}");
        }
        let is_flat = members
            .values()
            .all(|value| !value.is_object() && !value.is_array());
        assert!(is_flat, "{line}");
        if line["target"] == "http_server::request" {
            let id = line["correlation_id"].as_str().unwrap().to_owned();
            of_requests.entry(id).or_default().push(line);
        }
    }
    // Two more log-ins, which are not among those asked; health is not logged.
    assert_eq!(of_requests.len(), asked.len() + 2, "{log}");
    for request in &asked {
        let lines = &of_requests[request.correlation_id()];
        let [line] = lines.as_slice() else {
            panic!("not one line: {lines:?}");
        };
        assert_eq!(line["method"], request.method, "{line}");
        assert_eq!(line["endpoint"], request.endpoint, "{line}");
        assert_eq!(line["status"], request.status, "{line}");
        assert_eq!(line["level"], "INFO", "{line}");
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0, "{line}");
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32, "{line}");
        if request.status >= 400 {
            let problem = &request.answer.body;
            assert_eq!(line["trace_id"], problem["trace_id"], "{line}");
            assert_eq!(line["code"], problem["code"], "{line}");
        }
        // Whoever registers or logs in is not known yet.
        let is_known = request.method == "GET";
        assert_eq!(line["user_id"].is_string(), is_known, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_one_line_a_request_and_even_debugging_tells_no_secret() {
    let (log, asked, secrets) = written("text", "debug").await;
    nothing_secret(&log, &secrets);
    for request in &asked {
        let id = format!("correlation_id={}", request.correlation_id());
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(&id) && line.contains("answered"))
            .collect();
        let [line] = lines.as_slice() else {
            panic!("not one line for {}: {lines:?}", request.endpoint);
        };
        let status = format!("status={}", request.status);
        for part in [
            " INFO ",
            request.endpoint,
            &status,
            "trace_id=",
            "duration_ms=",
        ] {
            assert!(line.contains(part), "no {part} in {line}");
        }
        assert!(
            !line.contains('\u{1b}'),
            "colours are for terminals: {line}"
        );
    }
    let probes = log
        .lines()
        .filter(|line| line.contains("endpoint=\"/health/ready\""));
    assert!(probes.clone().count() > 0, "{log}");
    for line in probes {
        assert!(line.contains("DEBUG"), "{line}");
    }
}
