//! Verbs on what is not as it should be: dead letters, and read models that differ from the log.

use std::time::Duration;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::Value;
use sqlx::PgPool;
use testing::{Database, until};

use crate::process::{DataDirectory, Settings, text};

const PARKED_MAX: Duration = Duration::from_secs(30);

const ALE: &str = "0198c0de-0000-7000-8000-000000000001";
const BROKEN: &str = "0198c0de-0000-7000-8000-000000000002";

struct Installation {
    database: Database,
    _directory: DataDirectory,
    settings: Settings,
}

impl Installation {
    /// With an administrator, and thereby keys.
    async fn new() -> Installation {
        let database = testing::database().await;
        let directory = DataDirectory::new();
        let settings = Settings::default()
            .with("DATABASE_URL", &database.url)
            .with("NAKKU_DATA_DIR", directory.path());
        settings.succeed("create-admin admin@example.org").await;
        Installation {
            database,
            _directory: directory,
            settings,
        }
    }

    /// A first event of a product, as no command of ours would append it.
    async fn product_created(&self, id: &str, payload: &str) {
        append(&self.database.pool, id, payload).await;
    }

    /// The one value that a verb prints.
    async fn value(&self, line: &str) -> Value {
        let printed = self.settings.succeed(line).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error} in {printed}"))
    }
}

async fn append(pool: &PgPool, id: &str, payload: &str) {
    sqlx::query(
        "select * from append(
           '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
           '{1}', array[gen_random_uuid()], '{product}', array[$1], '{1}', '{product.created}', '{1.0}',
           array[$2], '{\"{}\"}', '{null}', '{null}', '{null}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    )
    .bind(id)
    .bind(payload)
    .execute(pool)
    .await
    .unwrap();
}

fn ale() -> &'static str {
    r#"{"type":"product.created","sku":"ALE","name":"Ale","price":{"amount_minor":499,"currency":"EUR"}}"#
}

fn letters(printed: &str) -> Vec<Value> {
    let lines = printed.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_retried_and_discarded() {
    let installation = Installation::new().await;
    let settings = &installation.settings;
    installation
        .product_created(BROKEN, r#"{"type":"product.created","sku":7}"#)
        .await;
    installation.product_created(ALE, ale()).await;

    // Parked by the role, which does what is asked …
    let mut project = settings.start("project --listen 127.0.0.1:0");
    project.ready().await;
    let list = async || letters(&settings.succeed("dead-letters --output json").await);
    until("both read models have parked it", PARKED_MAX, async || {
        list().await.len() == 2
    })
    .await;
    let parked = list().await;
    let of = |model: &str| {
        let letter = parked.iter().find(|letter| {
            let consumer = letter["consumer"].as_str().unwrap();
            consumer.split('@').next() == Some(model)
        });
        letter.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (products, search) = (of("products"), of("search"));
    let shown = installation
        .value(&format!("dead-letters show {products} --output json"))
        .await;
    assert_eq!(shown["stream_id"], BROKEN);
    assert_eq!(shown["type"], "product.created");
    assert!(shown["error"].is_string(), "{shown}");
    assert_eq!(shown["event"]["payload"]["sku"], 7);

    let retried = settings
        .run(&format!("dead-letters retry {products}"))
        .await;
    assert_eq!(retried.status.code(), Some(1), "it is as broken as before");
    assert!(text(&retried.stdout).contains("is parked"));
    let discard = |id: &str| format!("dead-letters discard {id} --reason broken");
    settings.succeed(&discard(&products)).await;
    project.stop(SIGTERM).await;

    // … and by the verb itself where nobody else is.
    let retried = settings.run(&format!("dead-letters retry {search}")).await;
    assert_eq!(retried.status.code(), Some(1));
    settings.succeed(&discard(&search)).await;
    assert!(list().await.is_empty());
    let again = settings.run(&discard(&search)).await;
    assert!(text(&again.stderr).contains("was discarded before"));
    let discarded = settings.succeed("dead-letters list --discarded").await;
    for told in [products.as_str(), &search, "command line", "broken"] {
        assert!(discarded.contains(told), "{told} in {discarded}");
    }

    let verified = settings.succeed("verify").await;
    assert!(verified.ends_with("all is well\n"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_differs_is_found_and_mended() {
    let installation = Installation::new().await;
    let settings = &installation.settings;
    installation.product_created(ALE, ale()).await;
    settings.succeed("replay --all").await;
    let replay = installation.value("replay products --output json").await;
    assert_eq!(replay["differences"]["count"], 0);

    let live = format!("products_{}", replay["generation"]);
    sqlx::query(&format!("update {live}.products set name = 'Stout'"))
        .execute(&installation.database.pool)
        .await
        .unwrap();
    let verified = settings.run("verify").await;
    assert_eq!(verified.status.code(), Some(1));
    let found = text(&verified.stdout);
    assert!(found.contains(r#"name "Stout", rebuilt "Ale""#), "{found}");
    assert!(
        found.contains("to mend it: `nakku replay products`"),
        "{found}"
    );

    let compared = settings.succeed("replay products --compare-only").await;
    assert!(compared.contains("Stout"), "{compared}");
    let required = settings
        .run("replay products --require-equal --output json")
        .await;
    assert_eq!(required.status.code(), Some(1));
    let required: Value = serde_json::from_slice(&required.stdout).unwrap();
    assert_eq!(required["state"], "failed");

    // Meant to differ: it is switched, and all is well again.
    let mended = installation.value("replay products --output json").await;
    assert_eq!(mended["state"], "switched");
    assert_eq!(mended["differences"]["count"], 1);
    settings.succeed("verify").await;
}
