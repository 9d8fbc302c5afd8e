use std::fs;

use read_models::Checkpoint;
use read_models::search::{self, Document, IndexError, SearchWriter, Snapshot};
use tempfile::tempdir;

use crate::seed::{at, document, document_with, euros, index_of, pieces};

#[test]
fn what_was_put_is_read_back_before_and_after_the_commit() {
    let dir = tempdir().unwrap();
    let mut writer = SearchWriter::create(&dir.path().join("index")).unwrap();
    assert_eq!(writer.checkpoint(), Checkpoint::default());
    assert_eq!(writer.get("a").unwrap(), None);

    let first = document("a", "Apple");
    writer.put(first.clone()).unwrap();
    assert_eq!(writer.get("a").unwrap(), Some(first.clone()));
    assert_eq!(writer.get_by_product("id-a").unwrap(), Some(first.clone()));
    assert_eq!(writer.pending(), 1);
    assert_eq!(writer.snapshot().document("a").unwrap(), None);

    // Read, change, write within one batch, twice.
    for price in [150, 175] {
        let mut changed = writer.get_by_product("id-a").unwrap().unwrap();
        changed.product.as_mut().unwrap().price = euros(price);
        writer.put(changed).unwrap();
    }
    writer.commit(&at(4)).unwrap();
    assert_eq!(writer.pending(), 0);
    let committed = writer.get_by_product("id-a").unwrap().unwrap();
    assert_eq!(committed.product.as_ref().unwrap().price, euros(175));
    assert_eq!(writer.snapshot().documents_count(), 1);
    assert_eq!(writer.snapshot().position(), 4);

    // A stock change of a committed product is seen by its id too.
    let mut stocked = committed.clone();
    stocked.stock.insert("store-1".to_owned(), pieces(3));
    writer.put(stocked.clone()).unwrap();
    assert_eq!(
        writer.get_by_product("id-a").unwrap(),
        Some(stocked.clone())
    );
    writer.commit(&at(5)).unwrap();
    assert_eq!(writer.get("a").unwrap(), Some(stocked));
    assert_eq!(writer.snapshot().documents_count(), 1);
}

#[test]
fn index_and_checkpoint_survive_together() {
    let dir = tempdir().unwrap();
    let mut writer = index_of(dir.path(), [document("a", "Apple")]);
    writer.commit(&at(42)).unwrap();
    writer.put(document("b", "Banana")).unwrap();
    drop(writer);

    let writer = SearchWriter::open(dir.path()).unwrap();
    assert_eq!(writer.checkpoint(), at(42));
    assert!(writer.get("a").unwrap().is_some());
    assert_eq!(writer.get("b").unwrap(), None);
    assert_eq!(Snapshot::open(dir.path()).unwrap().position(), 42);
}

#[test]
fn recovering_goes_back_to_the_last_commit() {
    let dir = tempdir().unwrap();
    let mut writer = index_of(dir.path(), [document("a", "Apple")]);
    writer.put(document("b", "Banana")).unwrap();
    writer.recover().unwrap();
    assert_eq!((writer.checkpoint(), writer.pending()), (at(1), 0));
    assert_eq!(writer.get("b").unwrap(), None);
    writer.put(document("b", "Banana")).unwrap();
    writer.commit(&at(2)).unwrap();
    assert_eq!(writer.snapshot().documents_count(), 2);
}

#[test]
fn a_directory_has_one_writer() {
    let dir = tempdir().unwrap();
    let writer = index_of(dir.path(), []);
    let error = SearchWriter::open(dir.path()).unwrap_err();
    assert!(
        matches!(error, IndexError::Locked { .. }) && !error.needs_rebuild(),
        "{error}"
    );
    drop(writer);
    SearchWriter::open(dir.path()).unwrap();
}

#[test]
fn a_damaged_index_says_so() {
    let dir = tempdir().unwrap();
    let missing = SearchWriter::open(dir.path()).unwrap_err();
    assert!(
        matches!(missing, IndexError::Missing { .. }) && missing.needs_rebuild(),
        "{missing}"
    );

    drop(index_of(dir.path(), [document("a", "Apple")]));
    let files = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let store = files
        .into_iter()
        .find(|path| path.extension().is_some_and(|it| it == "store"));
    let store = store.unwrap();
    let content = fs::read(&store).unwrap();
    let mut flipped = content.clone();
    flipped[3] ^= 0xff;
    for damage in [
        Some(flipped),
        Some(content[..content.len() / 2].to_vec()),
        Some(vec![]),
        None,
    ] {
        match damage {
            Some(damaged) => fs::write(&store, damaged).unwrap(),
            None => fs::remove_file(&store).unwrap(),
        }
        let error = SearchWriter::open(dir.path()).unwrap_err();
        assert!(matches!(error, IndexError::Damaged { .. }), "{error:?}");
    }
    fs::write(dir.path().join("meta.json"), "{").unwrap();
    let error = Snapshot::open(dir.path()).unwrap_err();
    assert!(matches!(error, IndexError::Damaged { .. }), "{error:?}");

    // Built anew in its place.
    let rebuilt = index_of(dir.path(), [document("a", "Apple")]);
    assert_eq!(rebuilt.snapshot().documents_count(), 1);
}

#[test]
fn an_index_of_another_shape_is_not_opened() {
    let dir = tempdir().unwrap();
    drop(index_of(dir.path(), []));
    let meta = dir.path().join("meta.json");
    let other = fs::read_to_string(&meta)
        .unwrap()
        .replace(search::SHAPE, "search-0");
    fs::write(&meta, other).unwrap();
    let error = SearchWriter::open(dir.path()).unwrap_err();
    assert!(
        matches!(&error, IndexError::OtherShape { found, .. } if found == "search-0"),
        "{error}"
    );
}

#[test]
fn many_small_commits_are_merged() {
    let dir = tempdir().unwrap();
    let mut writer = index_of(dir.path(), []);
    for n in 0..40 {
        writer
            .put(document(
                &format!("sku-{:02}", n % 20),
                &format!("Apple {n}"),
            ))
            .unwrap();
        writer.commit(&at(n)).unwrap();
    }
    assert_eq!(writer.snapshot().documents_count(), 20);
    let documents: Vec<Document> = writer
        .snapshot()
        .all_documents()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(documents.is_sorted_by_key(|document| document.sku.clone()));
    assert_eq!(documents[3].product.as_ref().unwrap().name, "Apple 23");
}

#[test]
fn generations_are_compared_by_sku() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let same = || [document("a", "Apple"), document("b", "Banana")];
    let mut live = index_of(one.path(), same());
    let mut rebuilt = index_of(two.path(), same().into_iter().rev());
    let equal = search::compare(&live.snapshot(), &rebuilt.snapshot()).unwrap();
    assert!(
        equal.is_empty() && equal.live_rows == 2 && equal.rebuilt_rows == 2,
        "{equal:?}"
    );

    live.put(document("c", "Cherry")).unwrap();
    live.commit(&at(2)).unwrap();
    rebuilt
        .put(document_with("b", "Banana", |product| {
            product.price = euros(1);
        }))
        .unwrap();
    rebuilt.put(document("d", "Date")).unwrap();
    rebuilt.commit(&at(2)).unwrap();
    let differences = search::compare(&live.snapshot(), &rebuilt.snapshot()).unwrap();
    assert_eq!(differences.count, 3);
    let keys: Vec<_> = differences.first.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["b", "c", "d"]);
    assert_eq!(
        differences.first[0].rebuilt.as_ref().unwrap()["product"]["price"]["amount_minor"],
        1
    );
    assert!(differences.first[1].rebuilt.is_none() && differences.first[2].live.is_none());
}
