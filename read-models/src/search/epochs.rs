//! The directories of an index: `search/<generation>/<epoch>/` under the data directory.
//!
//! Tantivy's writer lock is one that a frozen owner keeps. So each owner writes a directory of its
//! own, named by the epoch of its lease, and begins with the last commit of the one before: the
//! files of a commit never change, and a link to each is all it takes. From then on the two never
//! touch each other; the old owner can only write where nobody reads.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tantivy::{Index, IndexMeta};

use super::index::{self, META_FILE};
use super::{IndexError, NAME};

/// Tantivy's list of the files that it may collect as garbage.
const MANAGED_FILE: &str = ".managed.json";

/// Follows the number of an epoch whose directory is not complete.
const DRAFT: &str = "partial";

/// The old owner may commit while its files are linked; a few rounds find it between two commits.
const LINK_ATTEMPTS_MAX: usize = 50;

/// Where an epoch's directory is, relative to the data directory: what the lease's row names.
pub fn location(generation: i32, epoch: i64) -> String {
    format!("{NAME}/{generation}/{epoch}")
}

/// Generation and epoch of a location; `None` for what no [`location`] looks like.
pub fn parse_location(location: &str) -> Option<(i32, i64)> {
    let (generation, epoch) = location
        .strip_prefix(NAME)?
        .strip_prefix('/')?
        .split_once('/')?;
    Some((generation.parse().ok()?, epoch.parse().ok()?))
}

/// An epoch's directory.
pub fn path(data_dir: &Path, generation: i32, epoch: i64) -> PathBuf {
    data_dir.join(location(generation, epoch))
}

/// Gives a new epoch the last commit of an older one and returns its directory, ready to be
/// opened. Without an older epoch the directory is only named, for
/// [`SearchWriter::create`](super::SearchWriter::create) to make. What a directory of the new epoch
/// held before goes: epochs are used again after an older copy of the database was restored.
///
/// Fails as missing or damaged where the older epoch cannot be taken over: build anew then.
pub fn take_over(
    data_dir: &Path,
    generation: i32,
    from_epoch: Option<i64>,
    new_epoch: i64,
) -> Result<PathBuf, IndexError> {
    let to = path(data_dir, generation, new_epoch);
    let from_epoch = match from_epoch {
        Some(epoch) if epoch == new_epoch => return Ok(to),
        Some(epoch) => epoch,
        None => {
            remove(&to).map_err(IndexError::io(&to))?;
            return Ok(to);
        }
    };
    let from = path(data_dir, generation, from_epoch);
    // Complete or absent: the directory gets its name only when all is in it.
    let draft = to.with_extension(DRAFT);
    link_commit(&from, &draft)?;
    let replaced = remove(&to).and_then(|()| fs::rename(&draft, &to));
    replaced
        .and_then(|()| sync_parent(&to))
        .map_err(IndexError::io(&to))?;
    Ok(to)
}

fn link_commit(from: &Path, to: &Path) -> Result<(), IndexError> {
    if !from
        .join(META_FILE)
        .try_exists()
        .map_err(IndexError::io(from))?
    {
        return Err(IndexError::Missing {
            dir: from.to_owned(),
        });
    }
    let index = Index::open_in_dir(from).map_err(IndexError::tantivy(from))?;
    for _ in 0..LINK_ATTEMPTS_MAX {
        let meta = index.load_metas().map_err(IndexError::tantivy(from))?;
        let commit = encode(&meta, from)?;
        let missing = link_files(&meta, from, to).map_err(IndexError::io(to))?;
        let now = index.load_metas().map_err(IndexError::tantivy(from))?;
        // Files are only deleted after a newer commit or merge has been written.
        if encode(&now, from)? == commit {
            if let Some(file) = missing {
                return Err(index::missing(from, &file));
            }
            return write_durably(&to.join(META_FILE), &commit)
                .and_then(|()| File::open(to)?.sync_all())
                .map_err(IndexError::io(to));
        }
    }
    let source = io::Error::other("its owner commits too fast for its files to be taken over");
    Err(IndexError::Io {
        dir: from.to_owned(),
        source,
    })
}

fn encode(meta: &IndexMeta, dir: &Path) -> Result<Vec<u8>, IndexError> {
    serde_json::to_vec(meta).map_err(|error| IndexError::damaged(dir, error.to_string()))
}

/// Links the files of one commit and nothing else: no lock, no segment that is being written. Returns one that
/// is not there and should be.
fn link_files(meta: &IndexMeta, from: &Path, to: &Path) -> io::Result<Option<PathBuf>> {
    remove(to)?;
    fs::create_dir_all(to)?;
    let required = index::required_files(meta);
    let mut missing = None;
    let mut managed = HashSet::from([PathBuf::from(META_FILE)]);
    // The list has every file that a segment may have; most have no deletions.
    for file in meta.list_segment_files() {
        match link_or_copy(&from.join(&file), &to.join(&file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if required.contains(&file) {
                    missing = Some(file);
                }
            }
            Err(error) => return Err(error),
            Ok(()) => {
                managed.insert(file);
            }
        }
    }
    write_durably(&to.join(MANAGED_FILE), &serde_json::to_vec(&managed)?)?;
    Ok(missing)
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            // File systems without links, or an epoch on another one.
            fs::copy(from, to)?;
            File::open(to)?.sync_all()
        }
        result => result,
    }
}

fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// The generations that have a directory, in ascending order.
pub fn generations(data_dir: &Path) -> io::Result<Vec<i32>> {
    numbers(&data_dir.join(NAME))
}

/// The epochs that a generation has a directory of, in ascending order.
pub fn epochs(data_dir: &Path, generation: i32) -> io::Result<Vec<i64>> {
    numbers(&data_dir.join(NAME).join(generation.to_string()))
}

/// The directories in `dir` that are named by a number.
fn numbers<N: std::str::FromStr + Ord>(dir: &Path) -> io::Result<Vec<N>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes the directories of a generation's older epochs, and what take-overs that were broken off
/// left. Readers that have them open go on reading.
pub fn remove_epochs_before(data_dir: &Path, generation: i32, epoch: i64) -> io::Result<()> {
    let dir = data_dir.join(NAME).join(generation.to_string());
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?.path();
        let is_ours = entry.extension().is_none_or(|it| it == DRAFT);
        let number = entry
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if is_ours && number.is_some_and(|number: i64| number < epoch) {
            remove(&entry)?;
        }
    }
    Ok(())
}

/// Removes a generation with its epochs up to this one. A later one belongs to an owner who has
/// taken over meanwhile, and whose generation it is: then the rest stays.
pub fn remove_generation(data_dir: &Path, generation: i32, epoch: i64) -> io::Result<()> {
    remove_epochs_before(data_dir, generation, epoch.saturating_add(1))?;
    match fs::remove_dir(data_dir.join(NAME).join(generation.to_string())) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
