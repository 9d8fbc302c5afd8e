//! Commands that wait for a batch, and the streams that are with a lane.

use std::collections::{HashSet, VecDeque};

use super::request::Request;
use crate::stream::StreamKey;

/// The streams of a batch, some of them perhaps more than once.
pub(super) type Streams = Vec<StreamKey>;

/// In the order in which they came, those to be decided again ahead.
#[derive(Default)]
pub(super) struct Waiting {
    requests: VecDeque<Request>,
    /// With a lane now.
    taken: HashSet<StreamKey>,
    /// Looking through fewer than this many would not find a batch: nothing has changed since.
    enough: usize,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn extend(&mut self, requests: impl Iterator<Item = Request>) {
        self.requests.extend(requests);
    }

    /// The next batch: commands none of whose streams is with a lane. None if there are fewer than `min`.
    ///
    /// A command that has to wait keeps its streams from those behind it, else one that needs two streams
    /// could be overtaken for ever.
    pub(super) fn take(&mut self, min: usize, max: usize) -> Option<(Vec<Request>, Streams)> {
        if self.requests.len() < min.max(self.enough) {
            return None;
        }
        let requests = if self.taken.is_empty() {
            self.requests
                .drain(..max.min(self.requests.len()))
                .collect()
        } else {
            self.take_free(max)
        };
        if requests.len() < min {
            // In front of those that are kept back: they share no stream with them.
            let missing = min - requests.len();
            self.put_back(requests);
            self.enough = self.requests.len() + missing;
            return None;
        }
        let streams: Streams = requests
            .iter()
            .flat_map(|request| request.streams.iter().map(|stream| stream.key.clone()))
            .collect();
        self.taken.extend(streams.iter().cloned());
        Some((requests, streams))
    }

    fn take_free(&mut self, max: usize) -> Vec<Request> {
        let mut kept_back = HashSet::new();
        let mut free = Vec::new();
        for request in std::mem::take(&mut self.requests) {
            let mut keys = request.streams.iter().map(|stream| &stream.key);
            if free.len() < max
                && !keys.any(|key| self.taken.contains(key) || kept_back.contains(key))
            {
                free.push(request);
            } else {
                kept_back.extend(request.streams.iter().map(|stream| stream.key.clone()));
                self.requests.push_back(request);
            }
        }
        free
    }

    fn put_back(&mut self, requests: Vec<Request>) {
        for request in requests.into_iter().rev() {
            self.requests.push_front(request);
        }
    }

    /// Takes back the streams of a settled batch, and what of it is to be decided again.
    pub(super) fn give_back(&mut self, again: Vec<Request>, streams: &[StreamKey]) {
        for key in streams {
            self.taken.remove(key);
        }
        self.put_back(again);
        self.enough = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::command::CommandContext;
    use crate::committer::request::{Claim, Decision};
    use crate::stream::{Fold, StreamReference};

    const ANY: usize = 100;

    /// A command over these streams, told apart by its name.
    fn request(name: &'static str, streams: &[&str]) -> Request {
        let fold = Fold {
            initial: || Arc::new(()),
            from_snapshot: |_| Ok(Arc::new(())),
            events: |state, _| Ok(state),
            to_snapshot: |_| Ok(String::new()),
        };
        let reference = |id: &&str| StreamReference {
            key: StreamKey {
                aggregate_type: "account",
                aggregate_id: (*id).into(),
            },
            begins: false,
            fold,
        };
        Request {
            streams: streams.iter().map(reference).collect(),
            decide: Box::new(|_| Decision::Refused(().into())),
            context: CommandContext::new(name),
            reply: oneshot::channel().0,
            claim: Claim::default(),
            in_flight: None,
            conflicts: 0,
        }
    }

    fn names(requests: &[Request]) -> Vec<&'static str> {
        requests
            .iter()
            .map(|request| request.context.name)
            .collect()
    }

    fn waiting(requests: impl IntoIterator<Item = Request>) -> Waiting {
        let mut waiting = Waiting::default();
        waiting.extend(requests.into_iter());
        waiting
    }

    #[test]
    fn a_stream_is_in_one_batch_at_a_time() {
        let mut waiting = waiting([request("first", &["a"])]);
        let (first, streams) = waiting.take(1, ANY).unwrap();
        waiting.extend([request("same", &["a"]), request("other", &["b"])].into_iter());
        let (second, _) = waiting.take(1, ANY).unwrap();
        assert_eq!(
            (names(&first), names(&second)),
            (vec!["first"], vec!["other"])
        );
        assert!(waiting.take(1, ANY).is_none());
        waiting.give_back(Vec::new(), &streams);
        assert_eq!(names(&waiting.take(1, ANY).unwrap().0), ["same"]);
    }

    #[test]
    fn one_that_waits_is_not_overtaken_on_any_of_its_streams() {
        let mut waiting = waiting([request("first", &["a"])]);
        let (_, streams) = waiting.take(1, ANY).unwrap();
        waiting.extend(
            [
                request("both", &["a", "b"]),
                request("late", &["b"]),
                request("free", &["c"]),
            ]
            .into_iter(),
        );
        assert_eq!(names(&waiting.take(1, ANY).unwrap().0), ["free"]);
        waiting.give_back(Vec::new(), &streams);
        assert_eq!(names(&waiting.take(1, ANY).unwrap().0), ["both", "late"]);
    }

    #[test]
    fn what_is_decided_again_comes_before_what_is_newer() {
        let mut waiting = waiting([request("first", &["a"])]);
        let (again, streams) = waiting.take(1, ANY).unwrap();
        waiting.extend([request("newer", &["a"])].into_iter());
        waiting.give_back(again, &streams);
        assert_eq!(names(&waiting.take(1, ANY).unwrap().0), ["first", "newer"]);
    }

    #[test]
    fn too_few_for_a_batch_wait_until_there_are_enough() {
        let mut waiting = waiting([request("first", &["a"])]);
        let (_, streams) = waiting.take(1, ANY).unwrap();
        waiting.extend([request("same", &["a"]), request("one", &["b"])].into_iter());
        assert!(waiting.take(2, ANY).is_none());
        waiting.extend([request("two", &["c"])].into_iter());
        assert_eq!(names(&waiting.take(2, ANY).unwrap().0), ["one", "two"]);
        waiting.give_back(Vec::new(), &streams);
        assert_eq!(names(&waiting.take(1, ANY).unwrap().0), ["same"]);
    }
}
