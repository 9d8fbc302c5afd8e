//! What somebody deletes or cuts off by hand: the next owner builds it anew, and then it is what the log makes of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use projections::ReadModel;
use projections::verify::verify;
use read_models::search::DirectoryId;
use read_models::{leases, status};
use tokio_util::sync::CancellationToken;

use crate::shop::{Shop, until};

/// How a file is damaged.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Deleted,
    Halved,
    Emptied,
}

impl Damage {
    fn inflict(self, path: &Path) {
        let to = match self {
            Self::Deleted => return fs::remove_file(path).unwrap(),
            Self::Halved => fs::metadata(path).unwrap().len() / 2,
            Self::Emptied => 0,
        };
        // Other epochs have the same file by another name: what is cut off is a copy.
        let content = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        fs::write(path, content).unwrap();
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(to)
            .unwrap();
    }
}

async fn filled() -> Shop {
    let shop = Shop::open().await;
    for number in 0..20 {
        let sku = format!("sku-{number}");
        let (id, _) = shop.create_product(&sku, 199).await;
        shop.change_price(&id, 299).await;
        shop.receive(&sku, 3).await;
    }
    shop.register("ada@example.org", "Ada").await;
    for model in ReadModel::ALL {
        shop.bring_up(model).await;
    }
    shop
}

/// Every read model is at the head of the log, without a failure, and equal to a rebuild.
async fn is_whole(shop: &Shop) {
    let head = shop.store.read_head().await.unwrap().position;
    for row in status::list(shop.pool(), None).await.unwrap() {
        if row.state == status::State::Live {
            assert_eq!((row.position, &row.failure), (head, &None), "{row:?}");
        } else {
            assert_eq!(row.state, status::State::Previous, "{row:?}");
        }
    }
    let never = CancellationToken::new();
    let report = verify(&shop.store, shop.data_directory(), "verify", &never)
        .await
        .unwrap();
    assert_eq!(
        (report.findings.len(), report.checked.len()),
        (0, 1 + ReadModel::ALL.len()),
        "{report:?}"
    );
}

async fn index(shop: &Shop) -> PathBuf {
    let consumer = DirectoryId::ensure(shop.data_directory())
        .unwrap()
        .consumer();
    let location = leases::current_location(shop.pool(), &consumer)
        .await
        .unwrap()
        .unwrap();
    shop.data_directory().join(location.location)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    // Locks are not of the commit: their absence is no damage.
    files.retain(|file| file.extension().is_none_or(|it| it != "lock"));
    files.sort();
    files
}

#[tokio::test]
async fn an_index_is_whole_again_after_any_file_of_it_was_deleted_or_cut_off() {
    let shop = filled().await;
    let kinds: Vec<String> = files(&index(&shop).await)
        .iter()
        .map(|file| kind(file))
        .collect();
    for part in ["meta.json", ".managed.json", "store", "term", "idx", "fast"] {
        assert!(kinds.contains(&part.to_owned()), "no {part} in {kinds:?}");
    }
    let mut seen = Vec::new();
    for wanted in kinds {
        if seen.contains(&wanted) {
            continue;
        }
        for damage in [Damage::Deleted, Damage::Halved, Damage::Emptied] {
            let found = files(&index(&shop).await);
            let file = found.iter().find(|file| kind(file) == wanted).unwrap();
            damage.inflict(file);
            shop.create_product(&format!("{damage:?}-{}", seen.len()), 199)
                .await;
            shop.bring_up(ReadModel::Search).await;
            let head = shop.store.read_head().await.unwrap().position;
            let rows = status::list(shop.pool(), None).await.unwrap();
            let live = rows
                .iter()
                .find(|row| row.name.starts_with("search"))
                .unwrap();
            assert_eq!(
                (live.position, &live.failure),
                (head, &None),
                "{wanted} {damage:?}"
            );
        }
        seen.push(wanted);
    }
    for model in ReadModel::ALL {
        shop.bring_up(model).await;
    }
    is_whole(&shop).await;
    println!("damaged, each in three ways: {seen:?}");
}

/// The name of a file, or of a segment's file what it holds.
fn kind(file: &Path) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    match name.split_once('.') {
        Some((segment, extension)) if segment.len() == 32 => {
            extension.rsplit('.').next().unwrap().to_owned()
        }
        _ => name.to_owned(),
    }
}

#[tokio::test]
async fn an_index_whose_directories_are_gone_is_built_anew() {
    let shop = filled().await;
    // The index; its generation; all of them; all with the identity of the directory, which is then another one.
    let mut parts = vec![index(&shop).await];
    parts.push(shop.data_directory().join("search/2"));
    parts.push(shop.data_directory().join("search"));
    for part in parts {
        fs::remove_dir_all(&part).unwrap();
        shop.bring_up(ReadModel::Search).await;
        let consumer = DirectoryId::ensure(shop.data_directory())
            .unwrap()
            .consumer();
        let rows = status::list(shop.pool(), Some(&consumer)).await.unwrap();
        let head = shop.store.read_head().await.unwrap().position;
        assert_eq!(
            (rows[0].position, &rows[0].failure),
            (head, &None),
            "{}",
            part.display()
        );
    }
    is_whole_beside_a_lost_directory(&shop).await;
}

/// The index of a directory whose identity is lost belongs to nobody.
async fn is_whole_beside_a_lost_directory(shop: &Shop) {
    let never = CancellationToken::new();
    let report = verify(&shop.store, shop.data_directory(), "verify", &never)
        .await
        .unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(
        (report.checked.len(), report.skipped.len()),
        (1 + ReadModel::ALL.len(), 1),
        "{report:?}"
    );
}

#[tokio::test]
async fn tables_that_were_dropped_are_built_anew_by_the_next_owner() {
    let shop = filled().await;
    for (statement, generation) in [
        ("drop table products_1.products", 2),
        ("drop schema stock_1 cascade", 2),
        ("drop schema users_1 cascade", 2),
        ("drop schema products_2 cascade", 3),
        ("delete from checkpoints where consumer = 'stock'", 3),
        ("delete from projections where name = 'users'", 3),
    ] {
        sqlx::query(statement).execute(shop.pool()).await.unwrap();
        for model in [ReadModel::Products, ReadModel::Stock, ReadModel::Users] {
            shop.bring_up(model).await;
        }
        let names = sqlx::query_scalar("select name from projections where live = $1");
        let rebuilt: Vec<String> = names.bind(generation).fetch_all(shop.pool()).await.unwrap();
        assert!(!rebuilt.is_empty(), "{statement}");
        is_whole(&shop).await;
    }
}

#[tokio::test]
async fn tables_that_are_dropped_under_their_owner_are_built_anew() {
    let shop = filled().await;
    let worker = shop.start(ReadModel::Products);
    let (_, position) = shop.create_product("apple", 199).await;
    shop.reached(ReadModel::Products, position).await;
    for (statement, generation) in [
        ("drop table products_1.products", 2),
        ("drop schema products_2 cascade", 3),
    ] {
        sqlx::query(statement).execute(shop.pool()).await.unwrap();
        // It finds out by the next event.
        let (_, position) = shop
            .create_product(&format!("sku-of-{generation}"), 250)
            .await;
        until("the model is built anew", async || {
            let rows = status::list(shop.pool(), Some("products")).await.unwrap();
            rows[0].generation == Some(generation)
                && rows[0].position >= position
                && rows[0].failure.is_none()
        })
        .await;
    }
    worker.stop().await;
    for model in ReadModel::ALL {
        shop.bring_up(model).await;
    }
    is_whole(&shop).await;
}
