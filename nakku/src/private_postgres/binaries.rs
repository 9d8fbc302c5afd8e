//! Where this machine keeps PostgreSQL's server programs.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::server::clean_command;
use super::server_user::ServerUser;

/// Oldest major version whose SQL has all that the schema uses; the oldest that Ubuntu's supported releases bring.
const MAJOR_MIN: u32 = 14;

/// Where distributions install versions side by side, off the `PATH`.
const VERSIONED_ROOTS: [&str; 2] = ["/usr/lib/postgresql", "/usr/local/pgsql"];

/// The programs of one PostgreSQL version.
#[derive(Debug)]
pub(super) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// The newest version installed, or for an existing cluster the one that made it.
    pub(super) fn find(cluster_major: Option<u32>) -> anyhow::Result<Binaries> {
        let mut installed = installed();
        let folder = match cluster_major {
            Some(major) => installed.remove(&major),
            None => installed
                .pop_last()
                .filter(|(major, _)| *major >= MAJOR_MIN)
                .map(|(_, folder)| folder),
        };
        if let Some(folder) = folder {
            return Ok(Binaries { folder });
        }
        match cluster_major {
            Some(major) => bail!(
                "the data directory was made by PostgreSQL {major}, which is not installed: install postgresql-{major}, or \
                 bring the cluster to another version with pg_upgrade"
            ),
            None => bail!(
                "no PostgreSQL server of version {MAJOR_MIN} or newer on this machine (apt-get install postgresql); or name a \
                 running one in DATABASE_URL"
            ),
        }
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// A command to run as the cluster's user.
    pub(super) fn command(&self, program: &str, user: ServerUser) -> Command {
        let mut command = clean_command(&self.path(program));
        user.apply(&mut command);
        command
    }
}

/// The program beside the newest server that has it, else on the `PATH`.
pub(super) fn client_program(name: &str) -> Option<PathBuf> {
    let beside_servers = installed().into_values().rev();
    let folders = beside_servers.chain(candidates());
    let mut programs = folders.map(|folder| folder.join(name));
    programs.find(|program| program.is_file())
}

/// Folders with a server by major version; of two with one version the one found first.
fn installed() -> BTreeMap<u32, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in candidates() {
        if !folder.join("initdb").is_file() {
            continue;
        }
        if let Ok(major) = major_of(&folder.join("postgres")) {
            found.entry(major).or_insert(folder);
        }
    }
    found
}

fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    for root in VERSIONED_ROOTS {
        let versions = fs::read_dir(root).into_iter().flatten().flatten();
        folders.extend(versions.map(|version| version.path().join("bin")));
        folders.push(Path::new(root).join("bin"));
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(
            String::from_utf8_lossy(&output.stdout).trim(),
        ));
    }
    // A relative entry of the PATH would mean another folder to the server, which runs elsewhere.
    folders.retain(|folder| folder.is_absolute());
    folders
}

fn major_of(postgres: &Path) -> anyhow::Result<u32> {
    let output = clean_command(postgres)
        .arg("--version")
        .output()
        .with_context(|| format!("run {}", postgres.display()))?;
    parse_major(&output.stdout)
        .with_context(|| format!("{} does not tell its version", postgres.display()))
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → 15; also of `PG_VERSION`, which holds the number alone.
pub(super) fn parse_major(text: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(text);
    let number = text
        .split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let digits = number
        .split(|character: char| !character.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

/// Whether `name` is how a server process calls itself.
pub(super) fn is_server_name(name: &OsStr) -> bool {
    name == "postgres" || name == "postmaster"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        assert_eq!(
            parse_major(b"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_major(b"postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major(b"17\n"), Some(17));
        assert_eq!(parse_major(b"postgres\n"), None);
    }

    #[test]
    fn a_cluster_of_a_version_that_is_not_installed_is_refused_by_name() {
        let error = Binaries::find(Some(7)).unwrap_err().to_string();
        assert!(
            error.contains("PostgreSQL 7") && error.contains("postgresql-7"),
            "{error}"
        );
    }
}
