//! What holds for every read model in tables, and how lists of orders and deliveries are read.

use chrono::{DateTime, Utc};
use read_models::deliveries::{self, Delivery, SeenBy};
use read_models::orders::{self, Filter, OrderPart, Row, SagaPart, Status};
use read_models::tables::Model;
use serde_json::json;
use sqlx::PgPool;

use crate::seed::euros;

async fn create(pool: &PgPool, model: &Model, generation: i32) {
    let mut connection = pool.acquire().await.unwrap();
    model
        .create_generation(&mut connection, generation)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_column_says_what_it_holds_and_generations_come_and_go_whole() {
    let database = testing::database().await;
    let pool = &database.pool;
    for model in read_models::IN_TABLES {
        assert!(!model.has_generation(pool, 1).await.unwrap());
        // Twice: a worker that was killed in between starts again.
        create(pool, model, 1).await;
        create(pool, model, 1).await;
        assert!(model.has_generation(pool, 1).await.unwrap());
        let silent: Vec<String> = sqlx::query_scalar(
            "select c.relname || '.' || a.attname
             from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relnamespace = to_regnamespace($1) and c.relkind = 'r' and a.attnum > 0
               and (col_description(c.oid, a.attnum) is null
                    or obj_description(c.oid, 'pg_class') is null)",
        )
        .bind(format!("{}_1", model.name))
        .fetch_all(pool)
        .await
        .unwrap();
        assert_eq!(silent, Vec::<String>::new(), "{}", model.name);
        let mut connection = pool.acquire().await.unwrap();
        create(pool, model, 2).await;
        let compared = model.compare(&mut connection, 1, 2).await.unwrap();
        assert!(compared.is_empty(), "{compared:?}");
        model.drop_generation(&mut *connection, 1).await.unwrap();
        assert!(!model.has_generation(pool, 1).await.unwrap());
        assert!(model.has_generation(pool, 2).await.unwrap());
    }
}

#[tokio::test]
async fn a_generation_without_one_of_its_tables_is_not_there() {
    let database = testing::database().await;
    let pool = &database.pool;
    let model = read_models::IN_TABLES
        .iter()
        .max_by_key(|model| model.tables.len())
        .unwrap();
    create(pool, model, 1).await;
    let last = model.tables.last().unwrap().name;
    let drop = format!("drop table {}_1.{last}", model.name);
    sqlx::query(&drop).execute(pool).await.unwrap();
    assert!(!model.has_generation(pool, 1).await.unwrap());
}

fn order(number: u32, customer: &str, stage: Status) -> Row {
    Row {
        id: format!("o-{number:06}"),
        order: Some(OrderPart {
            version: 1,
            customer_id: customer.to_owned(),
            store_id: format!("store-{}", number % 7),
            stage,
            reason: None,
            items: Vec::new(),
            total: euros(300),
            payment_id: format!("p-{number:06}"),
            placed_at: DateTime::UNIX_EPOCH,
            ended_at: None,
            returned_at: None,
        }),
        ..Row::default()
    }
}

/// The plan of a query that runs as the one that is given here would.
async fn plan(pool: &PgPool, query: &str) -> String {
    let lines: Vec<String> = sqlx::query_scalar(&format!("explain {query}"))
        .fetch_all(pool)
        .await
        .unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn lists_of_orders_read_what_they_show_and_no_more() {
    let database = testing::database().await;
    let pool = &database.pool;
    create(pool, &orders::MODEL, 1).await;
    let rows: Vec<Row> = (0..5_000)
        .map(|number| order(number, &format!("u-{}", number % 100), Status::Completed))
        .collect();
    orders::upsert(pool, 1, &rows).await.unwrap();
    let mut halted = order(17, "u-17", Status::Paid);
    halted.saga = Some(SagaPart {
        version: 3,
        parked: true,
    });
    orders::upsert(pool, 1, std::slice::from_ref(&halted))
        .await
        .unwrap();
    sqlx::query("analyze orders_1.orders")
        .execute(pool)
        .await
        .unwrap();

    let filter = Filter {
        status: Some(Status::Parked),
        ..Filter::default()
    };
    let parked = orders::list(pool, 1, filter, None, 10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(
        (&*parked[0].id, parked[0].status),
        ("o-000017", Status::Parked)
    );
    let own = Filter {
        customer_id: Some("u-42"),
        ..Filter::default()
    };
    let newest = orders::list(pool, 1, own, None, 2).await.unwrap();
    let ids = newest.iter().map(|order| &*order.id).collect::<Vec<_>>();
    assert_eq!(ids, ["o-004942", "o-004842"]);
    let next = orders::list(pool, 1, own, Some(ids[1]), 1).await.unwrap();
    assert_eq!(next[0].id, "o-004742");

    for (condition, index) in [
        ("customer_id = 'u-42'", "orders_customer"),
        ("status = 'parked'", "orders_status"),
    ] {
        let query = format!(
            "select * from orders_1.orders where order_version is not null and {condition}
             and id < 'o-004800' order by id desc limit 50"
        );
        let plan = plan(pool, &query).await;
        assert!(plan.contains(index), "{plan}");
    }
}

#[tokio::test]
async fn a_row_of_parts_is_read_as_it_was_written() {
    let database = testing::database().await;
    let pool = &database.pool;
    create(pool, &orders::MODEL, 1).await;
    let lone = Row {
        id: "o-1".to_owned(),
        saga: Some(SagaPart {
            version: 2,
            parked: true,
        }),
        ..Row::default()
    };
    let whole = Row {
        saga: lone.saga.clone(),
        ..order(2, "u-1", Status::Reserved)
    };
    orders::upsert(pool, 1, &[lone.clone(), whole.clone()])
        .await
        .unwrap();
    orders::upsert(pool, 1, &[]).await.unwrap();
    let ids = [lone.id.clone(), whole.id.clone(), "o-9".to_owned()];
    let loaded = orders::load(pool, 1, &ids).await.unwrap();
    assert_eq!(loaded.len(), 2);
    assert_eq!((&loaded[&lone.id], &loaded[&whole.id]), (&lone, &whole));
    let listed = orders::list(pool, 1, Filter::default(), None, 9).await;
    assert_eq!(listed.unwrap().len(), 1, "of one nothing is told yet");
    assert_eq!(orders::by_id(pool, 1, "o-1").await.unwrap(), None);
}

fn delivery(id: &str, customer: &str) -> Delivery {
    let address = json!({
        "label": null, "recipient": null, "lines": ["Dorset Street 1"], "postal_code": null,
        "city": "London", "country": "GB", "note": null,
    });
    let at: DateTime<Utc> = DateTime::UNIX_EPOCH;
    Delivery {
        id: id.to_owned(),
        order_id: "o-1".to_owned(),
        customer_id: Some(customer.to_owned()),
        store_id: None,
        status: deliveries::Status::Scheduled,
        slot: Some(at),
        courier_id: None,
        reason: None,
        address: Some(serde_json::from_value(address).unwrap()),
        attempts: 0,
        created_at: at,
        updated_at: at,
        ended_at: None,
        version: 1,
    }
}

#[tokio::test]
async fn addresses_are_taken_out_of_the_rows_of_whom_they_are_about() {
    let database = testing::database().await;
    let pool = &database.pool;
    let rows = [delivery("d-1", "u-ada"), delivery("d-2", "u-bob")];
    for generation in [1, 2, 10] {
        create(pool, &deliveries::MODEL, generation).await;
        deliveries::upsert(pool, generation, &rows).await.unwrap();
    }
    let erased = ["u-ada".to_owned()];
    let mut connection = pool.acquire().await.unwrap();
    deliveries::blank_elsewhere(&mut connection, 2, &erased)
        .await
        .unwrap();
    let addressed = async |generation| {
        let filter = deliveries::Filter {
            seen_by: SeenBy::All,
            ..deliveries::Filter::default()
        };
        let rows = deliveries::list(pool, generation, filter, None, 9).await;
        let rows = rows.unwrap().into_iter();
        let kept = rows.filter(|row| row.address.is_some());
        kept.map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(addressed(1).await, ["d-2"]);
    assert_eq!(addressed(2).await, ["d-2", "d-1"]);
    assert_eq!(addressed(10).await, ["d-2"]);
    deliveries::blank(pool, 2, &erased).await.unwrap();
    assert_eq!(addressed(2).await, ["d-2"]);
}
