//! How often a password may be guessed: a bucket an account that fills with each wrong one and leaks.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http_server::{Kind, Problem};

/// Wrong passwords in a row before an account has to wait: more than anybody mistypes.
const FAILURES_MAX: u32 = 20;
/// The time after which one of them is forgotten: at most 8,640 guesses a day.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);
/// Accounts watched at a time. Beyond it the one whose bucket is emptied first is forgotten.
const ACCOUNTS_MAX: usize = 10_000;

/// Attempts under way and failed ones of late, by account. Of this process: several multiply the rate.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    accounts: Mutex<HashMap<String, Bucket>>,
}

/// When it will be empty says how full it is.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    empty_at: Instant,
}

impl Attempts {
    /// Counts an attempt as failed until [`Attempts::give_back`].
    ///
    /// # Errors
    /// `too-many-requests`, with the time until another one is admitted.
    pub(crate) fn begin(&self, account: &str) -> Result<(), Problem> {
        self.begin_at(account, Instant::now()).map_err(|wait| {
            Problem::from(Kind::TOO_MANY_REQUESTS)
                .detail("too many wrong passwords for this account")
                .retry_after(wait)
        })
    }

    /// The attempt was right, or was none.
    pub(crate) fn give_back(&self, account: &str) {
        let mut accounts = self.accounts.lock().expect("no panic while held");
        if let Some(bucket) = accounts.get_mut(account) {
            bucket.empty_at -= FORGOTTEN_AFTER;
        }
    }

    fn begin_at(&self, account: &str, now: Instant) -> Result<(), Duration> {
        let mut accounts = self.accounts.lock().expect("no panic while held");
        if accounts.len() >= ACCOUNTS_MAX && !accounts.contains_key(account) {
            make_room(&mut accounts, now);
        }
        let bucket = accounts
            .entry(account.to_owned())
            .or_insert(Bucket { empty_at: now });
        let empty_at = bucket.empty_at.max(now) + FORGOTTEN_AFTER;
        let full_at = now + FORGOTTEN_AFTER * FAILURES_MAX;
        if empty_at > full_at {
            return Err(empty_at - full_at);
        }
        bucket.empty_at = empty_at;
        Ok(())
    }
}

fn make_room(accounts: &mut HashMap<String, Bucket>, now: Instant) {
    accounts.retain(|_, bucket| bucket.empty_at > now);
    if accounts.len() < ACCOUNTS_MAX {
        return;
    }
    let first = accounts.iter().min_by_key(|(_, bucket)| bucket.empty_at);
    if let Some(first) = first.map(|(account, _)| account.clone()) {
        accounts.remove(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_passwords_are_counted_by_account_and_forgotten() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for _ in 0..FAILURES_MAX {
            assert_eq!(attempts.begin_at("a", now), Ok(()));
        }
        assert_eq!(attempts.begin_at("a", now), Err(FORGOTTEN_AFTER));
        assert_eq!(attempts.begin_at("b", now), Ok(()));
        assert_eq!(attempts.begin_at("a", now + FORGOTTEN_AFTER), Ok(()));
        assert!(attempts.begin_at("a", now + FORGOTTEN_AFTER).is_err());
    }

    #[test]
    fn right_passwords_are_not_counted() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for _ in 0..FAILURES_MAX * 3 {
            assert_eq!(attempts.begin_at("a", now), Ok(()));
            attempts.give_back("a");
        }
    }

    #[test]
    fn the_number_of_accounts_is_bounded() {
        let attempts = Attempts::default();
        let now = Instant::now();
        for number in 0..=ACCOUNTS_MAX {
            assert_eq!(attempts.begin_at(&number.to_string(), now), Ok(()));
        }
        assert_eq!(attempts.accounts.lock().unwrap().len(), ACCOUNTS_MAX);
    }
}
