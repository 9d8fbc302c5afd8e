//! The files of the private server: where they are, whose they are, and their making.
//!
//! A cluster's home holds `data/` (PostgreSQL's own) and `run/` (the socket), both closed to everybody but the server's user.
//! It is `postgres/` in the data directory, or, where root runs nakku and the server's user cannot reach that, a directory
//! below `/var/lib/nakku`, which a note in the data directory names.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};

use super::USER;
use super::binaries::{Binaries, parse_major};
use super::server_user::ServerUser;

/// The kernel takes 107 bytes for the path of a unix socket; `/.s.PGSQL.5432` is 14 of them.
const SOCKET_DIR_BYTES_MAX: usize = 107 - 14;

/// Where clusters go that cannot be in their data directory.
const ELSEWHERE: &str = "/var/lib/nakku";
/// The file in the data directory that says so. Its last line is the path.
const NOTE: &str = "postgres-is-elsewhere.txt";
/// Enough of a digest to tell the data directories of one machine apart.
const DIGEST_BYTES: usize = 6;

/// A private cluster, made or to be made.
#[derive(Debug)]
pub(super) struct Cluster {
    home: PathBuf,
    socket_dir: PathBuf,
    user: ServerUser,
}

impl Cluster {
    /// Finds the cluster of a data directory (an absolute path), or decides where it will be.
    pub(super) fn prepare(data_dir: &Path) -> anyhow::Result<Cluster> {
        if let Some(cluster) = Cluster::existing(data_dir)? {
            return Ok(cluster);
        }
        let user = ServerUser::for_new_cluster()?;
        let home = if user.reaches(data_dir) {
            data_dir.join("postgres")
        } else {
            elsewhere(data_dir)?
        };
        make_private_directory(&home, user)?;
        Cluster::at(home, user, data_dir)
    }

    /// The cluster of a data directory, where one was made.
    pub(super) fn existing(data_dir: &Path) -> anyhow::Result<Option<Cluster>> {
        let home = match fs::read_to_string(data_dir.join(NOTE)) {
            Ok(note) => PathBuf::from(note.lines().last().unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => data_dir.join("postgres"),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("read {}", data_dir.join(NOTE).display()));
            }
        };
        let data = home.join("data");
        match fs::metadata(&data) {
            Ok(metadata) => {
                let user = ServerUser::for_cluster_of(metadata.uid(), &data)?;
                Cluster::at(home, user, data_dir).map(Some)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("look at {}", data.display())),
        }
    }

    fn at(home: PathBuf, user: ServerUser, data_dir: &Path) -> anyhow::Result<Cluster> {
        let inside = home.join("run");
        let socket_dir = if inside.as_os_str().len() <= SOCKET_DIR_BYTES_MAX {
            inside
        } else {
            PathBuf::from(format!("/tmp/nakku-{}-{}", user.uid(), digest(data_dir)))
        };
        make_private_directory(&socket_dir, user)?;
        Ok(Cluster {
            home,
            socket_dir,
            user,
        })
    }

    /// PostgreSQL's data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    pub(super) fn user(&self) -> ServerUser {
        self.user
    }

    /// The major version that made the cluster; none before its making.
    pub(super) fn major(&self) -> anyhow::Result<Option<u32>> {
        let path = self.data().join("PG_VERSION");
        match fs::read(&path) {
            Ok(text) => match parse_major(&text) {
                Some(major) => Ok(Some(major)),
                None => bail!("{} is damaged", path.display()),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Makes the cluster unless it is there. It gets its name only when complete: one that was cut off is made anew.
    pub(super) fn initialize(&self, binaries: &Binaries) -> anyhow::Result<()> {
        if self.data().exists() {
            return Ok(());
        }
        let unfinished = self.home.join("data.unfinished");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", unfinished.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let output = binaries
            .command("initdb", self.user)
            .arg("--pgdata")
            .arg(&unfinished)
            .args([
                "--username",
                USER,
                "--encoding",
                "UTF8",
                "--locale",
                "C.UTF-8",
                "--data-checksums",
            ])
            // Who gets into the socket's directory is let in; nobody comes over the network.
            .args(["--auth-local", "trust", "--auth-host", "reject"])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("run {}", binaries.path("initdb").display()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect();
            bail!(
                "initdb of {} failed: {}",
                self.home.display(),
                lines.join(" | ")
            );
        }
        fs::rename(&unfinished, self.data())
            .with_context(|| format!("name {}", self.data().display()))
    }

    /// Removes the socket's directory where it is outside of the cluster's home. Only to be called when no server runs here.
    pub(super) fn remove_outside_directory(&self) {
        if !self.socket_dir.starts_with(&self.home) {
            // One that is not empty is somebody's; the next start looks at it again.
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }

    /// Clears what a killed server left and a new one would take for a running one: another process may have its number by
    /// now. Only to be called when no server runs here.
    pub(super) fn remove_leftovers(&self) -> anyhow::Result<()> {
        let mut leftovers = vec![self.data().join("postmaster.pid")];
        for entry in fs::read_dir(&self.socket_dir)
            .with_context(|| format!("list {}", self.socket_dir.display()))?
        {
            let path = entry?.path();
            if path
                .file_name()
                .is_some_and(|name| name.as_bytes().starts_with(b".s.PGSQL."))
            {
                leftovers.push(path);
            }
        }
        for path in leftovers {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", path.display()));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// A home outside of the data directory, noted in it.
fn elsewhere(data_dir: &Path) -> anyhow::Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(ELSEWHERE)
        .with_context(|| format!("make {ELSEWHERE}"))?;
    let home = Path::new(ELSEWHERE).join(digest(data_dir));
    let note = format!(
        "The server's user cannot reach this directory, so the files of its private PostgreSQL are here:\n{}\n",
        home.display()
    );
    let path = data_dir.join(NOTE);
    fs::write(&path, note).with_context(|| format!("write {}", path.display()))?;
    Ok(home)
}

/// Makes a directory that only the server's user can enter, or checks that it is one: in `/tmp` somebody else could have
/// made it first.
fn make_private_directory(path: &Path, user: ServerUser) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return user.give(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("make {}", path.display())),
    }
    let metadata =
        fs::symlink_metadata(path).with_context(|| format!("look at {}", path.display()))?;
    if !metadata.is_dir() || metadata.uid() != user.uid() {
        // Made by us a moment before a crash: not handed over yet.
        if metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw() {
            return user.give(path);
        }
        bail!("{} is not a directory of the server's user", path.display());
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .with_context(|| format!("close {} to others", path.display()))?;
    }
    Ok(())
}

/// A short name for a data directory.
fn digest(data_dir: &Path) -> String {
    let path: &OsStr = data_dir.as_os_str();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, path.as_bytes());
    digest.as_ref()[..DIGEST_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
