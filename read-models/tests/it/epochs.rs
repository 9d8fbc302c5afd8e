use std::fs;

use read_models::search::{self, DirectoryId, IndexError, SearchWriter, Snapshot};
use tempfile::tempdir;

use crate::seed::{at, document, index_of};

#[test]
fn a_new_epoch_goes_on_from_the_last_commit_and_the_old_one_cannot_touch_it() {
    let data_dir = tempdir().unwrap();
    let data_dir = data_dir.path();
    let first = search::take_over(data_dir, 1, None, 1).unwrap();
    assert_eq!(first, data_dir.join(search::location(1, 1)));
    let mut old = index_of(&first, [document("a", "Apple"), document("b", "Banana")]);
    old.put(document("c", "Not committed")).unwrap();

    let second = search::take_over(data_dir, 1, Some(1), 2).unwrap();
    let mut new = SearchWriter::open(&second).unwrap();
    assert_eq!(new.checkpoint(), at(1));
    assert_eq!(new.snapshot().documents_count(), 2);

    // The old owner, thawed, goes on as if nothing had happened.
    for n in 0..30 {
        old.put(document("a", &format!("Changed by the old owner {n}")))
            .unwrap();
        old.commit(&at(10 + n)).unwrap();
        new.put(document("b", &format!("Changed by the new owner {n}")))
            .unwrap();
        new.commit(&at(2 + n)).unwrap();
    }
    drop(old);
    fs::remove_dir_all(&first).unwrap();
    drop(new);
    let new = SearchWriter::open(&second).unwrap();
    assert_eq!(new.checkpoint(), at(31));
    let name = |sku| new.get(sku).unwrap().unwrap().product.unwrap().name;
    assert_eq!(
        (name("a"), name("b")),
        ("Apple".into(), "Changed by the new owner 29".into())
    );
}

#[test]
fn only_the_files_of_the_last_commit_are_taken_over() {
    let data_dir = tempdir().unwrap();
    let data_dir = data_dir.path();
    let first = search::path(data_dir, 3, 7);
    let _writer = index_of(&first, [document("a", "Apple")]);
    fs::write(first.join("left-over.idx"), "").unwrap();
    let second = search::take_over(data_dir, 3, Some(7), 9).unwrap();
    let names = fs::read_dir(second)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.contains(&"meta.json".to_owned()), "{names:?}");
    assert!(
        !names
            .iter()
            .any(|name| name.ends_with(".lock") || name.starts_with("left-over"))
    );
}

#[test]
fn taking_over_again_after_a_crash_starts_afresh() {
    let data_dir = tempdir().unwrap();
    let data_dir = data_dir.path();
    drop(index_of(
        &search::path(data_dir, 1, 1),
        [document("a", "Apple")],
    ));
    let half = search::path(data_dir, 1, 2).with_extension("partial");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("meta.json"), "{").unwrap();
    let second = search::take_over(data_dir, 1, Some(1), 2).unwrap();
    assert_eq!(Snapshot::open(&second).unwrap().documents_count(), 1);
    assert_eq!(search::take_over(data_dir, 1, Some(2), 2).unwrap(), second);
    assert_eq!(Snapshot::open(&second).unwrap().documents_count(), 1);
}

#[test]
fn what_cannot_be_taken_over_is_to_be_rebuilt() {
    let data_dir = tempdir().unwrap();
    let missing = search::take_over(data_dir.path(), 1, Some(1), 2).unwrap_err();
    assert!(matches!(missing, IndexError::Missing { .. }), "{missing}");
    let first = search::path(data_dir.path(), 1, 1);
    drop(index_of(&first, []));
    fs::write(first.join("meta.json"), "[]").unwrap();
    let damaged = search::take_over(data_dir.path(), 1, Some(1), 2).unwrap_err();
    assert!(damaged.needs_rebuild(), "{damaged}");
    assert_eq!(search::epochs(data_dir.path(), 1).unwrap(), [1]);
}

#[test]
fn old_epochs_are_removed_while_a_reader_still_has_one_open() {
    let data_dir = tempdir().unwrap();
    let data_dir = data_dir.path();
    let first = search::path(data_dir, 1, 1);
    drop(index_of(&first, [document("a", "Apple")]));
    search::take_over(data_dir, 1, Some(1), 12).unwrap();
    index_of(&search::path(data_dir, 2, 12), []);
    let broken_off = search::path(data_dir, 1, 11).with_extension("partial");
    fs::create_dir_all(&broken_off).unwrap();
    let reading = Snapshot::open(&first).unwrap();
    search::remove_epochs_before(data_dir, 1, 12).unwrap();
    assert_eq!(search::epochs(data_dir, 1).unwrap(), [12]);
    assert!(!broken_off.exists());
    assert!(reading.document("a").unwrap().is_some());

    assert_eq!(search::generations(data_dir).unwrap(), [1, 2]);
    // An owner who wakes up late does not remove what the next one has made.
    search::remove_generation(data_dir, 1, 11).unwrap();
    assert_eq!(search::epochs(data_dir, 1).unwrap(), [12]);
    search::remove_generation(data_dir, 1, 12).unwrap();
    search::remove_generation(data_dir, 1, 12).unwrap();
    assert_eq!(search::generations(data_dir).unwrap(), [2]);
}

#[test]
fn locations_are_read_back() {
    assert_eq!(search::location(3, 17), "search/3/17");
    assert_eq!(search::parse_location("search/3/17"), Some((3, 17)));
    for other in [
        "search/3",
        "search/3/../../etc",
        "stock/3/17",
        "search3/17",
        "",
    ] {
        assert_eq!(search::parse_location(other), None, "{other}");
    }
}

#[test]
fn a_data_directory_keeps_its_identity() {
    let data_dir = tempdir().unwrap();
    assert_eq!(DirectoryId::read(data_dir.path()).unwrap(), None);
    let ids: Vec<DirectoryId> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| DirectoryId::ensure(data_dir.path()).unwrap()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(DirectoryId::read(data_dir.path()).unwrap(), Some(ids[0]));
    assert_eq!(ids[0].consumer(), format!("search@{}", ids[0]));
    assert_eq!(
        fs::read_dir(data_dir.path().join("search"))
            .unwrap()
            .count(),
        1
    );
    let other = tempdir().unwrap();
    assert_ne!(DirectoryId::ensure(other.path()).unwrap(), ids[0]);
}

#[test]
fn an_epoch_that_is_used_again_finds_nothing_of_the_one_before() {
    let data_dir = tempdir().unwrap();
    let data_dir = data_dir.path();
    let restored = search::path(data_dir, 1, 5);
    drop(index_of(
        &restored,
        [document("a", "From before the restore")],
    ));
    assert_eq!(search::take_over(data_dir, 1, None, 5).unwrap(), restored);
    assert!(!restored.exists());
}
