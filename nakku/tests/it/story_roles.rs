//! The same story over Kafka: every role a process of its own, beside a real PostgreSQL and a real broker.

use std::time::Duration;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use testing::{Database, until};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::process::{DataDirectory, Nakku, Settings, text};

const ADMINISTRATOR: &str = "boss@example.org";
const PASSWORD: &str = "correct horse battery";
/// From a command to its record on the topic, on a busy machine.
const PUBLISHED_MAX: Duration = Duration::from_secs(30);
/// Of `kcat`, which ends by itself at the end of the topic.
const KCAT_MAX: Duration = Duration::from_secs(30);

/// What every record carries.
const HEADERS: [&str; 13] = [
    "ce_specversion=1.0",
    "ce_id=",
    "ce_source=/nakku/product",
    "ce_type=product.created",
    "ce_subject=",
    "ce_time=",
    "content-type=application/json",
    "ce_log=main",
    "ce_position=",
    "ce_sequence=1",
    "ce_streamtype=product",
    "ce_eventversion=1.0",
    "ce_epoch=",
];

struct Installation {
    _database: Database,
    _directory: DataDirectory,
    topic_prefix: String,
    settings: Settings,
}

impl Installation {
    async fn new() -> Installation {
        let database = testing::empty_database().await;
        let directory = DataDirectory::new();
        let topic_prefix = testing::topic_prefix();
        let settings = Settings::default()
            .with("DATABASE_URL", &database.url)
            .with("KAFKA_BROKERS", testing::kafka_brokers())
            .with("NAKKU_TOPIC_PREFIX", &topic_prefix)
            .with("NAKKU_TOPIC_PARTITIONS", "3")
            .with("NAKKU_DATA_DIR", directory.path())
            .with("NAKKU_ADMIN_PASSWORD", PASSWORD);
        Installation {
            _database: database,
            _directory: directory,
            topic_prefix,
            settings,
        }
    }

    fn role(&self, name: &str) -> Nakku {
        self.settings.start(&format!("{name} --listen 127.0.0.1:0"))
    }
}

/// The roles, each running.
struct Roles {
    command: (Nakku, Api),
    query: (Nakku, Api),
    admin: (Nakku, Api),
    relay: (Nakku, Api),
    project: (Nakku, Api),
}

impl Roles {
    async fn start(installation: &Installation) -> Roles {
        let mut started = ["command-api", "query-api", "admin-api", "relay", "project"]
            .map(|name| installation.role(name));
        let mut urls = Vec::new();
        for role in &mut started {
            urls.push(Api::new(&role.ready().await));
        }
        let mut roles = started.into_iter().zip(urls);
        let mut next = || roles.next().unwrap();
        Roles {
            command: next(),
            query: next(),
            admin: next(),
            relay: next(),
            project: next(),
        }
    }

    fn apis(&self) -> [(&'static str, &Api); 5] {
        [
            ("command-api", &self.command.1),
            ("query-api", &self.query.1),
            ("admin-api", &self.admin.1),
            ("relay", &self.relay.1),
            ("project", &self.project.1),
        ]
    }

    /// Each ends in order by itself.
    async fn stop(mut self) {
        for (role, _) in [
            &mut self.command,
            &mut self.query,
            &mut self.admin,
            &mut self.relay,
            &mut self.project,
        ] {
            role.stop(SIGTERM).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_in_processes_of_their_own_walk_the_story_over_kafka() {
    let installation = Installation::new().await;
    let settings = &installation.settings;
    settings.succeed("migrate").await;
    let topics = settings.succeed("topics").await;
    assert_eq!(topics.lines().count(), 8, "{topics}");
    assert!(
        topics.contains("product-events created, 3 partitions"),
        "{topics}"
    );
    settings
        .succeed(&format!("create-admin {ADMINISTRATOR}"))
        .await;

    let roles = Roles::start(&installation).await;
    each_has_health_and_metrics(&roles).await;
    let admin = roles.command.1.logged_in(ADMINISTRATOR, PASSWORD).await;
    let product = command_then_search(&roles, &admin).await;
    stock_then_search(&roles, &admin).await;
    everything_is_published(&installation, &product).await;
    operators_see_it(&admin.at_role(&roles.admin), &product).await;
    a_replay_disturbs_nobody(settings, &roles.query.1).await;

    let verified = settings.succeed("verify").await;
    assert!(verified.ends_with("all is well\n"), "{verified}");
    roles.stop().await;
}

impl Api {
    fn at_role(&self, role: &(Nakku, Api)) -> Api {
        self.at(role.1.url())
    }
}

async fn each_has_health_and_metrics(roles: &Roles) {
    for (name, api) in roles.apis() {
        api.get_root("/health/live").await.expect(200);
        let health = api.get_root("/health/ready").await.expect(200);
        let checks = health.body["checks"].to_string();
        assert!(checks.contains("postgres"), "{name}: {checks}");
        let follows_kafka = ["relay", "project"].contains(&name);
        assert_eq!(checks.contains("kafka"), follows_kafka, "{name}: {checks}");
        let version = api.get_root("/version").await.expect(200);
        assert_eq!(version.body["role"], name);
        let metrics = api.get_root("/metrics").await.expect(200);
        assert!(metrics.body.as_str().unwrap().contains("nakku_build_info"));
    }
}

async fn command_then_search(roles: &Roles, admin: &Api) -> String {
    let body = json!({
        "sku": "TEA-OOLONG", "name": "Night Train Oolong",
        "price": {"amount_minor": 799, "currency": "EUR"},
    });
    let key = [("idempotency-key", "first-oolong")];
    let created = admin.post("/products", &key, &body).await.expect(201);
    let min_position = [
        ("nakku-min-position", created.position()),
        ("prefer", "wait=10"),
    ];
    let found = roles.query.1.get("/search?q=oolon", &min_position).await;
    assert_eq!(found.expect(200).skus(), ["TEA-OOLONG"]);
    created.body["id"].as_str().unwrap().to_owned()
}

async fn stock_then_search(roles: &Roles, admin: &Api) {
    let key = [("idempotency-key", "delivery-1")];
    let received = admin
        .post(
            "/inventory/store-1/TEA-OOLONG/receive",
            &key,
            &json!({"quantity": 5}),
        )
        .await
        .expect(201);
    let min_position = [
        ("nakku-min-position", received.position()),
        ("prefer", "wait=10"),
    ];
    let query = &roles.query.1;
    let found = query
        .get("/search?q=oolong&in_stock_at=store-1", &min_position)
        .await
        .expect(200);
    assert_eq!(found.skus(), ["TEA-OOLONG"]);
    let stock = query
        .get("/inventory/store-1/TEA-OOLONG", &min_position)
        .await
        .expect(200);
    assert_eq!(stock.body["available"], 5);
    // A token of command-api is good here: the keys file is the same.
    let me = admin.at_role(&roles.query).get("/users/me", &[]).await;
    assert_eq!(me.expect(200).body["role"], "admin");
}

/// The records are there as the contract says, for anybody who reads Kafka.
async fn everything_is_published(installation: &Installation, product: &str) {
    let settings = &installation.settings;
    until("everything is published", PUBLISHED_MAX, async || {
        let status: Value =
            serde_json::from_str(&settings.succeed("outbox --output json").await).unwrap();
        status["pending"] == 0 && status["head"].as_i64() > Some(0)
    })
    .await;
    let topic = format!("{}product-events", installation.topic_prefix);
    let records = kcat(&topic).await;
    let record = records
        .lines()
        .find(|line| line.starts_with(&format!("product-{product}|")))
        .unwrap_or_else(|| panic!("no record of {product} in\n{records}"));
    for header in HEADERS {
        assert!(record.contains(header), "no {header} in {record}");
    }
    assert!(record.contains("ce_correlationid="), "{record}");
    assert!(record.contains(r#""type":"product.created""#), "{record}");
    assert!(records.contains("sku-TEA-OOLONG|"), "{records}");
}

/// Key, headers and value of each record of a topic, a line each.
pub async fn kcat(topic: &str) -> String {
    let brokers = testing::kafka_brokers();
    let reading = Command::new("kcat")
        .args(["-b", &brokers, "-C", "-t", topic])
        .args(["-o", "beginning", "-e", "-q", "-f", "%k|%h|%s\n"])
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(KCAT_MAX, reading)
        .await
        .expect("kcat ends at the end of the topic")
        .expect("kcat is missing: run scripts/install-engines --kafka");
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

async fn operators_see_it(admin: &Api, product: &str) {
    let path = format!("/admin/streams/product/{product}");
    let stream = admin.get(&path, &[]).await.expect(200);
    assert!(stream.body.to_string().contains("product.created"));
    let outbox = admin.get("/admin/outbox", &[]).await.expect(200);
    assert_eq!(outbox.body["pending"], 0);
}

async fn a_replay_disturbs_nobody(settings: &Settings, visitor: &Api) {
    let over = CancellationToken::new();
    let asking = {
        let (visitor, over) = (visitor.clone(), over.clone());
        tokio::spawn(async move {
            let (mut asked, mut position) = (0, 0);
            while !over.is_cancelled() {
                let answer = visitor.get("/search?q=oolong", &[]).await.expect(200);
                assert_eq!(answer.skus(), ["TEA-OOLONG"]);
                let now = answer.body["position"].as_i64().unwrap();
                assert!(now >= position, "from {position} back to {now}");
                (asked, position) = (asked + 1, now);
            }
            asked
        })
    };
    let replayed = settings.succeed("replay --all --output json").await;
    for line in replayed.lines() {
        let replay: Value = serde_json::from_str(line).unwrap();
        assert_eq!(replay["state"], "switched", "{line}");
        assert_eq!(replay["differences"]["count"], 0, "{line}");
    }
    over.cancel();
    assert!(asking.await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_roles_in_one_process_follow_kafka_where_it_is_set() {
    let installation = Installation::new().await;
    let mut up = installation.settings.start("up --port 0 --no-seed");
    let visitor = Api::new(&up.ready().await);
    let health = visitor.get_root("/health/ready").await.expect(200);
    let checks = health.body["checks"].to_string();
    assert!(
        checks.contains("kafka") && checks.contains("relay"),
        "{checks}"
    );

    let admin = visitor.logged_in("admin@nakku.local", PASSWORD).await;
    let body = json!({
        "sku": "TEA-OOLONG", "name": "Night Train Oolong",
        "price": {"amount_minor": 799, "currency": "EUR"},
    });
    let created = admin.post("/products", &[], &body).await.expect(201);
    let min_position = [
        ("nakku-min-position", created.position()),
        ("prefer", "wait=10"),
    ];
    let found = visitor.get("/search?q=oolon", &min_position).await;
    assert_eq!(found.expect(200).skus(), ["TEA-OOLONG"]);
    let product = created.body["id"].as_str().unwrap();
    everything_is_published(&installation, product).await;
    up.stop(SIGTERM).await;
}
