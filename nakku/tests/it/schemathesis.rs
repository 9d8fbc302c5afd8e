//! What a stranger makes of the OpenAPI document: schemathesis asks each operation what is allowed and what is not, as
//! nobody, as a customer and as the administrator, and holds the answers against the document.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::api::Api;
use crate::process::{DataDirectory, Settings, text};

const ADMINISTRATOR: &str = "admin@nakku.local";
const CUSTOMER: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery";
/// Of one caller, on two busy cores.
const RUN_MAX: Duration = Duration::from_secs(400);
/// Drawn bodies and parameters of an operation, beside those that its limits suggest: some fifty each.
const EXAMPLES: &str = "3";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance,negative_data_rejection,\
    unsupported_method,allow_header_conformance";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The interpreter that has it.
async fn interpreter() -> String {
    let script = root().join("scripts/schemathesis");
    let output = Command::new(script).output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// Asks everything as the holder of this token; what it said.
async fn run(who: &str, url: &str, token: Option<&str>) -> String {
    let tests = root().join("nakku/tests");
    let work = tempfile::tempdir().unwrap();
    let mut command = Command::new(interpreter().await);
    command
        .args(["-m", "schemathesis.cli", "--no-color", "--config-file"])
        .arg(tests.join("schemathesis.toml"))
        .args(["run", &format!("{url}/openapi.json")])
        .args(["--phases", "coverage,fuzzing", "--max-examples", EXAMPLES])
        .args(["--checks", CHECKS])
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", &tests)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(work.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    let output = tokio::time::timeout(RUN_MAX, command.output())
        .await
        .unwrap_or_else(|_| panic!("schemathesis as {who} did not end within {RUN_MAX:?}"))
        .unwrap();
    let said = text(&output.stdout);
    assert!(
        output.status.success(),
        "as {who}: {said}\n{}",
        text(&output.stderr)
    );
    said
}

/// The first number in the line of the summary that has these words.
fn counted(said: &str, line: &str) -> usize {
    let found = said.lines().find(|said| said.contains(line));
    let found = found.unwrap_or_else(|| panic!("no `{line}` in {said}"));
    let digits: String = found
        .chars()
        .skip_while(|character| !character.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

fn operations(document: &Value) -> usize {
    let items = document["paths"].as_object().unwrap().values();
    let known = ["get", "put", "post", "patch", "delete"];
    items
        .flat_map(|item| known.iter().filter(|method| item.get(**method).is_some()))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_documented_for_anybody_and_the_server_never_fails() {
    let directory = DataDirectory::new();
    let settings = Settings::default()
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", PASSWORD);
    let mut up = settings.start("up --port 0");
    let url = up.ready().await;
    let visitor = Api::new(&url);
    let body = json!({"email": CUSTOMER, "name": "Ada", "password": PASSWORD});
    let registered = visitor
        .post("/users/register", &[], &body)
        .await
        .expect(201);
    let admin = visitor.logged_in(ADMINISTRATOR, PASSWORD).await;
    let customer = visitor.logged_in(CUSTOMER, PASSWORD).await;
    let position = registered.position().to_owned();
    let seen = [("nakku-min-position", position.as_str())];
    customer.get("/users/me", &seen).await.expect(200);

    let (nobody, as_customer, as_admin) = tokio::join!(
        run("nobody", &url, None),
        run("a customer", &url, customer.token()),
        run("the administrator", &url, admin.token()),
    );
    let document = visitor.get_root("/openapi.json").await.expect(200);
    let operations = operations(&document.body);
    for (who, said) in [
        ("nobody", nobody),
        ("a customer", as_customer),
        ("the administrator", as_admin),
    ] {
        assert_eq!(counted(&said, "Tested:"), operations, "{said}");
        let cases = counted(&said, " generated, ");
        assert!(cases > operations * 10, "{said}");
        println!("schemathesis as {who}: {operations} operations, {cases} cases");
    }
    visitor.get_root("/health/ready").await.expect(200);
    up.stop(SIGTERM).await;
}
