//! What people see who do not have this program: Kafka through kcat and the CloudEvents SDK of PyPI, the database
//! through psql.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use nakku::topics::TOPICS;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use testing::until;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::api::Api;
use crate::process::{DataDirectory, Settings, text};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery";
/// Of the seed's two thousand events, on a busy machine.
const PUBLISHED_MAX: Duration = Duration::from_secs(60);
/// Of a program that reads a few thousand records, or prints a table.
const TOOL_MAX: Duration = Duration::from_secs(60);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Runs a program to its end.
async fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{command:?}: {error}; scripts/install-engines --kafka installs it")
        });
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writing = tokio::spawn(async move {
        // One that has seen enough closes its end.
        let _ = stdin.write_all(input.as_bytes()).await;
    });
    let output = tokio::time::timeout(TOOL_MAX, child.wait_with_output())
        .await
        .expect("the program ends")
        .unwrap();
    writing.await.unwrap();
    output
}

/// What a program that succeeds prints.
async fn printed(command: &mut Command, input: &str) -> String {
    let output = run(command, input).await;
    assert!(
        output.status.success(),
        "{command:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Every record of a topic, each a JSON envelope on a line.
async fn kcat(topic: &str) -> String {
    let brokers = testing::kafka_brokers();
    let mut kcat = Command::new("kcat");
    kcat.args([
        "-b",
        &brokers,
        "-C",
        "-t",
        topic,
        "-o",
        "beginning",
        "-e",
        "-q",
        "-J",
    ]);
    printed(&mut kcat, "").await
}

/// What the SDK found in such lines.
#[derive(Debug, Deserialize, PartialEq)]
struct Found {
    records: i64,
    positions: i64,
    types: BTreeMap<String, i64>,
}

async fn sdk() -> Command {
    let script = root().join("scripts/cloudevents-python");
    let python = printed(&mut Command::new(script), "").await;
    let mut command = Command::new(python.trim());
    command.arg(root().join("nakku/tests/read_cloudevents.py"));
    command
}

/// The same from the log.
async fn logged(pool: &PgPool, upto: i64) -> Found {
    let (records, positions) =
        sqlx::query_as("select count(*), max(position) from events where position <= $1")
            .bind(upto)
            .fetch_one(pool)
            .await
            .unwrap();
    let types: Vec<(String, i64)> = sqlx::query_as(
        "select event_type || ' ' || event_version, count(*) from events where position <= $1 group by 1",
    )
    .bind(upto)
    .fetch_all(pool)
    .await
    .unwrap();
    Found {
        records,
        positions,
        types: types.into_iter().collect(),
    }
}

/// Whatever can be done today, once, beside what the seed has done.
async fn do_everything(visitor: &Api) {
    let admin = visitor.logged_in(ADMINISTRATOR, PASSWORD).await;
    let details = json!({"sku": "TEA-OOLONG", "name": "Night Train Oolong “Nº 7”", "description": "a\n\"b\"\\",
        "price": {"amount_minor": 799, "currency": "EUR"}});
    let created = admin.post("/products", &[], &details).await.expect(201);
    let product = format!("/products/{}", created.body["id"].as_str().unwrap());
    let price = json!({"price": {"amount_minor": 899, "currency": "EUR"}});
    for (path, body) in [
        (format!("{product}/change-price"), price),
        (
            format!("{product}/update-details"),
            json!({"name": "Oolong"}),
        ),
        (format!("{product}/discontinue"), json!({})),
    ] {
        admin.post(&path, &[], &body).await.expect(200);
    }
    for (number, step, body) in [
        (1, "receive", json!({"quantity": 12})),
        (2, "adjust", json!({"delta": -12, "reason": "water damage"})),
    ] {
        let path = format!("/inventory/store-1/TEA-OOLONG/{step}");
        let key = format!("tea-{number}");
        let traced = [
            ("idempotency-key", key.as_str()),
            (
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
        ];
        let answer = admin.post(&path, &traced, &body).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
    let goods = json!({"quantity": 1});
    let key = [("idempotency-key", "goods")];
    admin
        .post("/inventory/store-1/AB-BEE-001/receive", &key, &goods)
        .await
        .expect(200);
    let order = json!({"store_id": "store-1", "items": [{"sku": "AB-BEE-001", "quantity": 1}],
        "payment": {"token": "tok_ok"}});
    let placed = admin
        .post(
            "/orders",
            &[("idempotency-key", "order"), ("prefer", "wait=20")],
            &order,
        )
        .await
        .expect(201);
    assert_eq!(placed.body["status"], "completed", "{}", placed.body);
    let ada = json!({"email": "ada@example.org", "name": "Ada", "password": PASSWORD, "phone": "+4917012345678"});
    let registered = visitor.post("/users/register", &[], &ada).await.expect(201);
    let user = format!("/users/{}", registered.body["id"].as_str().unwrap());
    let ada = visitor.logged_in("ada@example.org", PASSWORD).await;
    for (caller, step, body) in [
        (&admin, "assign-role", json!({"role": "staff"})),
        (&ada, "update-profile", json!({"name": "Ada L."})),
        (&ada, "deactivate", json!({})),
    ] {
        caller
            .post(&format!("{user}/{step}"), &[], &body)
            .await
            .expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_and_the_cloudevents_sdk_read_every_record_of_every_topic() {
    let database = testing::empty_database().await;
    let directory = DataDirectory::new();
    let prefix = testing::topic_prefix();
    let settings = Settings::default()
        .with("DATABASE_URL", &database.url)
        .with("KAFKA_BROKERS", testing::kafka_brokers())
        .with("NAKKU_TOPIC_PREFIX", &prefix)
        .with("NAKKU_TOPIC_PARTITIONS", "3")
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", PASSWORD);
    let mut up = settings.start("up --port 0");
    do_everything(&Api::new(&up.ready().await)).await;
    until("everything is published", PUBLISHED_MAX, async || {
        let status = settings.succeed("outbox --output json").await;
        let status: Value = serde_json::from_str(&status).unwrap();
        status["pending"] == 0 && status["head"].as_i64() > Some(2_000)
    })
    .await;
    up.stop(nix::sys::signal::Signal::SIGTERM).await;
    // Who is told of what happened is told until the end: what comes after the relay's is published by the next one.
    let status = settings.succeed("outbox --output json").await;
    let status: Value = serde_json::from_str(&status).unwrap();
    let published = status["published"].as_i64().unwrap();

    let mut records = String::new();
    let topics: BTreeSet<&str> = TOPICS.map(|(_, topic)| topic).into();
    for topic in topics {
        records.push_str(&kcat(&format!("{prefix}{topic}")).await);
    }
    let found: Found = serde_json::from_str(&printed(&mut sdk().await, &records).await).unwrap();
    assert_eq!(found, logged(&database.pool, published).await);
    assert!(
        found.types.contains_key("delivery.scheduled 1.0"),
        "{found:?}"
    );
    assert_eq!(found.records, found.positions, "each position once");
    for event in [
        "inventory.adjusted 2.0",
        "product.discontinued 1.0",
        "user.deactivated 1.0",
    ] {
        assert!(found.types.contains_key(event), "no {event} in {found:?}");
    }
    what_is_wrong_is_told(&records).await;
}

/// A reader that takes everything would have proved nothing.
async fn what_is_wrong_is_told(records: &str) {
    let envelope: Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    let (type_name, key) = (
        header(&envelope, "ce_type"),
        envelope["key"].as_str().unwrap(),
    );
    let changed = |from: &str, to: &str| {
        let line = envelope.to_string();
        assert!(line.contains(from), "{from} in {line}");
        line.replace(from, to)
    };
    for (line, why) in [
        (changed("\"ce_id\"", "\"ce_idea\""), "ce_id"),
        (changed("\"ce_time\",\"2", "\"ce_time\",\"x2"), "Error"),
        (
            changed("\"ce_specversion\",\"1.0\"", "\"ce_specversion\",\"2.0\""),
            "specversion",
        ),
        (changed("\"ce_position\"", "\"ce_place\""), "position"),
        (
            changed("\"ce_eventversion\"", "\"ce_event-version\""),
            "event-version",
        ),
        (
            changed(
                &format!("\"ce_type\",\"{type_name}\""),
                "\"ce_type\",\"product.other\"",
            ),
            "different types",
        ),
        (
            changed(&format!("\"key\":\"{key}\""), "\"key\":\"product-other\""),
            "key",
        ),
        (changed("\"payload\":\"{", "\"payload\":\"[{"), "JSON"),
    ] {
        let output = run(&mut sdk().await, &line).await;
        let told = text(&output.stderr);
        assert!(
            !output.status.success() && told.contains(why),
            "{why}: {told}"
        );
    }
    let twice = format!("{envelope}\n{envelope}\n");
    assert!(!run(&mut sdk().await, &twice).await.status.success());
}

fn header(envelope: &Value, name: &str) -> String {
    let headers = envelope["headers"].as_array().unwrap();
    let at = headers.iter().position(|header| header == name).unwrap();
    headers[at + 1].as_str().unwrap().to_owned()
}

/// Tables and columns without a comment, but for those of the migration tool.
const UNEXPLAINED: &str = "
    select c.oid::regclass::text || coalesce('.' || a.attname, '')
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    cross join lateral (
      select 0 as attnum, null as attname
      union all
      select a.attnum, a.attname from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ) a
    where c.relkind in ('r', 'p', 'v', 'm') and n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
      and c.relname <> '_sqlx_migrations'
      and coalesce(case when a.attnum = 0 then obj_description(c.oid, 'pg_class')
                        else col_description(c.oid, a.attnum) end, '') = ''
    order by 1";

#[tokio::test(flavor = "multi_thread")]
async fn psql_says_what_every_table_and_column_holds() {
    let database = testing::database().await;
    let directory = DataDirectory::new();
    let settings = Settings::default()
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_DATA_DIR", directory.path());
    settings.succeed("create-admin admin@example.org").await;
    settings.succeed("replay products stock users").await;
    let unexplained = || async {
        sqlx::query_scalar::<_, String>(UNEXPLAINED)
            .fetch_all(&database.pool)
            .await
            .unwrap()
    };
    assert_eq!(unexplained().await, Vec::<String>::new());

    let binaries = printed(
        &mut Command::new(root().join("scripts/postgres-binaries")),
        "",
    )
    .await;
    let mut psql = Command::new(Path::new(binaries.trim()).join("psql"));
    // What stands behind it is for another client.
    let url = database.url.split('?').next().unwrap();
    psql.args(["--no-psqlrc", "--dbname", url]);
    let shown = printed(
        &mut psql,
        "\\dt+ *.(events|stock)\n\\d+ events\n\\d+ stock_*.stock\n\\d+ snapshots\n",
    )
    .await;
    for comment in [
        "The log. Only append() writes here",
        "Place in the log, from 1, without a hole.",
        "A generation of the read model stock",
        "Those among them that are promised to orders.",
        "The folded state.",
    ] {
        assert!(shown.contains(comment), "no `{comment}` in\n{shown}");
    }

    sqlx::query("create table later (known int, forgotten int)")
        .execute(&database.pool)
        .await
        .unwrap();
    sqlx::query("comment on column later.known is 'Something.'")
        .execute(&database.pool)
        .await
        .unwrap();
    assert_eq!(unexplained().await, ["later", "later.forgotten"]);
}
