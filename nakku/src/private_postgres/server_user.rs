//! Whom the server runs as: PostgreSQL refuses to run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nix::unistd::{Uid, User, geteuid};

/// The account that Debian's and Red Hat's packages make for the server.
const POSTGRES: &str = "postgres";

/// The user that the server's processes and files belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerUser {
    /// The one who runs nakku.
    Same,
    /// Another one, because root runs nakku.
    Other { uid: u32, gid: u32 },
}

impl ServerUser {
    /// For a new cluster: this user, or `postgres` where this is root.
    pub(super) fn for_new_cluster() -> anyhow::Result<ServerUser> {
        if !geteuid().is_root() {
            return Ok(ServerUser::Same);
        }
        let user = User::from_name(POSTGRES).context("look up the user postgres")?;
        let Some(user) = user else {
            bail!(
                "root cannot run PostgreSQL, and there is no user postgres to run it as: install the postgresql package, run \
                 nakku as another user, or name a server in DATABASE_URL"
            );
        };
        Ok(ServerUser::Other {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
        })
    }

    /// For a cluster that belongs to `owner` already.
    pub(super) fn for_cluster_of(owner: u32, data: &Path) -> anyhow::Result<ServerUser> {
        let me = geteuid();
        if !me.is_root() {
            if me.as_raw() != owner {
                bail!(
                    "{} belongs to another user ({}): run nakku as that user or as root, or take another data directory",
                    data.display(),
                    name_of(owner)
                );
            }
            return Ok(ServerUser::Same);
        }
        let user = User::from_uid(Uid::from_raw(owner)).context("look up the cluster's user")?;
        match user {
            Some(user) if !user.uid.is_root() => Ok(ServerUser::Other {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
            }),
            Some(_) | None => bail!(
                "{} belongs to {}, whom PostgreSQL cannot run as",
                data.display(),
                name_of(owner)
            ),
        }
    }

    /// The numeric id that files of this user have.
    pub(super) fn uid(self) -> u32 {
        match self {
            ServerUser::Same => geteuid().as_raw(),
            ServerUser::Other { uid, .. } => uid,
        }
    }

    pub(super) fn apply(self, command: &mut Command) {
        if let ServerUser::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Hands a new directory to this user.
    pub(super) fn give(self, directory: &Path) -> anyhow::Result<()> {
        let ServerUser::Other { uid, gid } = self else {
            return Ok(());
        };
        // Not following links: the directory may be in a folder where others can write.
        std::os::unix::fs::lchown(directory, Some(uid), Some(gid))
            .with_context(|| format!("hand {} to the server's user", directory.display()))
    }

    /// Whether this user can get at what is in `directory`. Tried rather than computed from mode bits, which do not tell of
    /// access lists and mounts.
    pub(super) fn reaches(self, directory: &Path) -> bool {
        if self == ServerUser::Same {
            return true;
        }
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "cd \"$0\""])
            .arg(directory)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.apply(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

fn name_of(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}
