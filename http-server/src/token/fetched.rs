//! Keys that another process publishes.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::PublicKey;
use super::verifier::Keys;

/// Between the beginnings of two fetches: tokens with invented keys must not be a way to have somebody else asked.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// The same while none was ever fetched: nobody with a token is served until then, and nothing is gained by inventing keys.
const FIRST_FETCH_PAUSE: Duration = Duration::from_secs(1);
/// The time within which keys must be there; requests wait for them.
const FETCH_MAX: Duration = Duration::from_secs(5);

type Fetch =
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Vec<PublicKey>, String>> + Send>> + Send + Sync;

/// A source of keys. They are fetched when a token names an unknown one, at most once in 10 s, and once for all requests that
/// wait. Fetched keys stay in force until others replace them. Cheap to clone.
#[derive(Clone)]
pub struct FetchedKeys {
    fetch: Arc<Fetch>,
    pause: Duration,
    last: Arc<Mutex<Option<Attempt>>>,
}

/// A fetch, under way or ended.
#[derive(Clone)]
struct Attempt {
    began: Instant,
    ended: CancellationToken,
}

impl FetchedKeys {
    /// `fetch` answers with the keys as of now, or with a line for the log.
    pub fn new<F, A>(fetch: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Vec<PublicKey>, String>> + Send + 'static,
    {
        FetchedKeys {
            fetch: Arc::new(move || Box::pin(fetch())),
            pause: FETCH_PAUSE,
            last: Arc::default(),
        }
    }

    /// Waits for a fetch if one is under way or due.
    pub(super) async fn refresh(&self, keys: &Keys) {
        self.attempt(keys).ended.cancelled().await;
    }

    /// The time until another fetch is due.
    pub(super) fn next_in(&self, keys: &Keys) -> Duration {
        let pause = self.pause(keys);
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = last.as_ref().map(|attempt| attempt.began.elapsed());
        since.map_or(Duration::ZERO, |since| pause.saturating_sub(since))
    }

    fn attempt(&self, keys: &Keys) -> Attempt {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(attempt) if !self.is_over(attempt, keys) => attempt.clone(),
            _ => last.insert(self.begin(keys.clone())).clone(),
        }
    }

    fn is_over(&self, attempt: &Attempt, keys: &Keys) -> bool {
        attempt.ended.is_cancelled() && attempt.began.elapsed() >= self.pause(keys)
    }

    fn pause(&self, keys: &Keys) -> Duration {
        match keys.were_ever_there() {
            true => self.pause,
            false => self.pause.min(FIRST_FETCH_PAUSE),
        }
    }

    /// Fetches in a task of its own: the request that asked first may go away while others wait for the same keys.
    fn begin(&self, keys: Keys) -> Attempt {
        let attempt = Attempt {
            began: Instant::now(),
            ended: CancellationToken::new(),
        };
        let ended = attempt.ended.clone().drop_guard();
        let fetched = (self.fetch)();
        tokio::spawn(async move {
            let _ended = ended;
            let fetched = tokio::time::timeout(FETCH_MAX, fetched).await;
            let why = match fetched {
                Ok(Ok(fetched)) if fetched.is_empty() => "there are none".to_owned(),
                Ok(Ok(fetched)) => return keys.replace(fetched),
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {} s", FETCH_MAX.as_secs()),
            };
            tracing::warn!(%why, "cannot fetch the keys that tokens are verified by");
        });
        attempt
    }
}

impl fmt::Debug for FetchedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedKeys")
            .field("pause", &self.pause)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chrono::Utc;
    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;
    use crate::auth::Role;
    use crate::token::{Signer, TOKEN_LIFETIME, TokenError, Verifier, generate_key};

    /// Another process: what it publishes now, how often it was asked, and when it answers.
    #[derive(Clone)]
    struct Publisher {
        published: Arc<Mutex<Result<Vec<PublicKey>, String>>>,
        asked: Arc<AtomicUsize>,
        answers: Arc<Notify>,
    }

    impl Publisher {
        fn new() -> Self {
            Publisher {
                published: Arc::new(Mutex::new(Err("nobody is there".to_owned()))),
                asked: Arc::default(),
                answers: Arc::default(),
            }
        }

        fn publish(&self, published: Result<&[&Signer], &str>) {
            let keys = |signers: &[&Signer]| {
                let keys = signers.iter().map(|signer| signer.public_key().clone());
                keys.collect()
            };
            *self.published.lock().unwrap() = published.map(keys).map_err(str::to_owned);
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }

        /// A verifier that waits this long between two fetches, each of which answers at once.
        fn verifier(&self, pause: Duration) -> Verifier {
            let publisher = self.clone();
            let fetched = FetchedKeys::new(move || {
                publisher.asked.fetch_add(1, Ordering::SeqCst);
                std::future::ready(publisher.published.lock().unwrap().clone())
            });
            Verifier::with_source(FetchedKeys { pause, ..fetched })
        }

        /// A verifier whose fetches answer when they are told to.
        fn slow_verifier(&self) -> Verifier {
            let publisher = self.clone();
            Verifier::fetched(move || {
                let publisher = publisher.clone();
                async move {
                    publisher.asked.fetch_add(1, Ordering::SeqCst);
                    publisher.answers.notified().await;
                    publisher.published.lock().unwrap().clone()
                }
            })
        }
    }

    fn signer(kid: &str) -> Signer {
        Signer::new(kid, &generate_key()).unwrap()
    }

    fn token(signer: &Signer) -> String {
        signer.sign("u1", Role::Customer, TOKEN_LIFETIME, Utc::now())
    }

    #[tokio::test]
    async fn keys_are_fetched_when_a_token_needs_them_and_kept() {
        let (first, second) = (signer("k1"), signer("k2"));
        let publisher = Publisher::new();
        let verifier = publisher.verifier(Duration::ZERO);
        let verified = async |signer| verifier.verify_fetching(&token(signer)).await;

        assert!(matches!(verified(&first).await, Err(TokenError::NoKeys)));
        publisher.publish(Ok(&[&first]));
        assert!(verified(&first).await.is_ok());
        assert!(verified(&first).await.is_ok());
        assert_eq!(publisher.asked(), 2);

        // Rotated, with the process away for a while; what publishes nothing is broken, and not a reason to forget.
        for broken in [Err("connection refused"), Ok(&[][..])] {
            publisher.publish(broken);
            let refused = verified(&second).await;
            assert!(matches!(refused, Err(TokenError::UnknownKey)));
            assert!(verified(&first).await.is_ok());
        }
        publisher.publish(Ok(&[&first, &second]));
        assert!(verified(&second).await.is_ok());
        assert!(verified(&first).await.is_ok());
        assert_eq!(publisher.asked(), 5);
    }

    #[tokio::test]
    async fn tokens_with_invented_keys_do_not_make_another_fetch() {
        let ours = signer("k1");
        let publisher = Publisher::new();
        publisher.publish(Ok(&[&ours]));
        let verifier = publisher.verifier(FETCH_PAUSE);
        assert!(verifier.verify_fetching(&token(&ours)).await.is_ok());
        for number in 0..20 {
            let stranger = signer(&format!("invented-{number}"));
            let refused = verifier.verify_fetching(&token(&stranger)).await;
            assert!(matches!(refused, Err(TokenError::UnknownKey)));
        }
        let garbage = verifier.verify_fetching("garbage").await;
        assert!(matches!(garbage, Err(TokenError::Invalid(_))));
        assert_eq!(publisher.asked(), 1);
        assert!(verifier.retry_after() > Duration::ZERO);
    }

    #[tokio::test]
    async fn all_wait_for_one_fetch_even_if_the_first_goes_away() {
        let ours = signer("k1");
        let publisher = Publisher::new();
        publisher.publish(Ok(&[&ours]));
        let verifier = publisher.slow_verifier();
        let token = token(&ours);

        let mut first = Box::pin(verifier.verify_fetching(&token));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        let others = join_all((0..50).map(|_| verifier.verify_fetching(&token)));
        publisher.answers.notify_one();
        let judged = tokio::time::timeout(FETCH_MAX, others).await.unwrap();
        assert!(judged.iter().all(Result::is_ok));
        assert_eq!(publisher.asked(), 1);
    }
}
