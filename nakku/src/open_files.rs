//! How many files the system lets this process have open: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files beside the connections of clients: those to the database and to Kafka, the segments of the search index, logs.
const OTHERS: u64 = 512;
/// Connections that there are even where the system lets us have next to none.
const CONNECTIONS_MIN: usize = 64;

/// Raises the limit for this many connections as far as the system lets us; how many there can be.
pub(crate) fn connections(wanted: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let needed = u64::try_from(wanted).map_or(u64::MAX, |wanted| wanted.saturating_add(OTHERS));
    let mut limit = soft;
    if soft < needed {
        let raised = needed.min(hard);
        // Systems leave the soft limit low for programs that cannot handle high numbers; this one can.
        match setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
            Ok(()) => limit = raised,
            Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
        }
    }
    let possible = possible(limit, wanted);
    if possible < wanted {
        tracing::warn!(
            open_files_max = limit,
            connections_max = possible,
            "fewer connections than configured: the limit of open files is too low"
        );
    }
    possible
}

fn possible(limit: u64, wanted: usize) -> usize {
    let room = usize::try_from(limit.saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    wanted.min(room.max(CONNECTIONS_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_other_files() {
        assert_eq!(possible(20_000, 10_000), 10_000);
        assert_eq!(possible(1_024, 10_000), 512);
        assert_eq!(possible(256, 10_000), CONNECTIONS_MIN);
        assert_eq!(possible(256, 10), 10);
        assert_eq!(possible(u64::MAX, 10_000), 10_000);
    }
}
