//! The body of a request, kept for a repetition where it is small.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;

use super::{Body, BoxError, Pieces, full, stream};
use crate::activity::Activity;

/// What is longer is passed through and sent once: commands are bounded by as much, and so many of them fit into memory.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// A request's body, of which each attempt takes its own.
#[derive(Debug)]
pub(crate) enum Kept {
    /// In memory, as often as it takes.
    Whole(Bytes),
    /// Once; but an attempt that fails before it took a byte leaves it to the next one.
    Once(Arc<Source>),
}

/// A body until somebody takes it.
#[derive(Debug)]
pub(crate) struct Source {
    untaken: Mutex<Option<Body>>,
    size: SizeHint,
    activity: Option<Arc<Activity>>,
}

impl Kept {
    /// Reads the body in full, if it is small.
    pub(crate) async fn read(mut body: Body) -> Result<Kept, BoxError> {
        if is_long(body.size_hint().lower()) {
            return Ok(Kept::once(body, None));
        }
        let mut pieces = VecDeque::new();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            // Trailers say nothing that any of our services asks for.
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            bytes += data.len();
            pieces.push_back(data);
            if bytes > KEPT_BYTES_MAX {
                let (first, rest) = (pieces, body);
                return Ok(Kept::once(stream(Pieces { first, rest }), None));
            }
        }
        if pieces.len() == 1 {
            return Ok(Kept::Whole(pieces.pop_front().unwrap_or_default()));
        }
        let mut whole = BytesMut::with_capacity(bytes);
        for piece in pieces {
            whole.extend_from_slice(&piece);
        }
        Ok(Kept::Whole(whole.freeze()))
    }

    /// Passes the body through, and tells `activity` what moves.
    pub(crate) fn streamed(body: Body, activity: Arc<Activity>) -> Kept {
        if body.is_end_stream() {
            return Kept::Whole(Bytes::new());
        }
        Kept::once(body, Some(activity))
    }

    fn once(body: Body, activity: Option<Arc<Activity>>) -> Kept {
        Kept::Once(Arc::new(Source {
            size: body.size_hint(),
            untaken: Mutex::new(Some(body)),
            activity,
        }))
    }

    /// Whether another attempt has it whole.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self {
            Kept::Whole(_) => true,
            Kept::Once(source) => source.untaken.lock().is_some(),
        }
    }

    /// The body of one attempt.
    pub(crate) fn of_attempt(&self) -> Body {
        match self {
            Kept::Whole(bytes) => full(bytes.clone()),
            Kept::Once(source) => stream(OfAttempt {
                source: Arc::clone(source),
                taken: None,
            }),
        }
    }
}

fn is_long(bytes: u64) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| bytes > KEPT_BYTES_MAX)
}

/// Takes the body when it is asked for the first piece: that is when there is a connection.
struct OfAttempt {
    source: Arc<Source>,
    taken: Option<Body>,
}

impl http_body::Body for OfAttempt {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.taken.is_none() {
            this.taken = this.source.untaken.lock().take();
        }
        let Some(body) = &mut this.taken else {
            return Poll::Ready(Some(Err("the body went with another attempt".into())));
        };
        let polled = Pin::new(body).poll_frame(context);
        if let Some(activity) = &this.source.activity {
            match polled {
                Poll::Ready(_) => activity.moved(),
                Poll::Pending => activity.awaits_client(),
            }
        }
        let frame = ready!(polled);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.taken {
            Some(body) => body.is_end_stream(),
            None => self.source.size.exact() == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.taken {
            Some(body) => body.size_hint(),
            None => self.source.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream as futures_stream;
    use http_body_util::StreamBody;
    use tokio::time::Instant;

    use super::super::{full, read_capped};
    use super::*;

    fn unsized_body(pieces: Vec<Bytes>) -> Body {
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
        let frames = futures_stream::iter(frames.collect::<Vec<Result<_, BoxError>>>());
        stream(StreamBody::new(frames))
    }

    async fn read(body: Body) -> Bytes {
        read_capped(body, 1024 * 1024).await.unwrap()
    }

    #[tokio::test]
    async fn a_body_of_256_kib_is_kept_and_one_byte_more_is_not() {
        let fits = Bytes::from(vec![b'x'; KEPT_BYTES_MAX]);
        let longer = Bytes::from(vec![b'x'; KEPT_BYTES_MAX + 1]);
        let halves = vec![fits.slice(..1000), fits.slice(1000..)];
        for body in [full(fits.clone()), unsized_body(halves)] {
            let kept = Kept::read(body).await.unwrap();
            for _ in 0..2 {
                assert_eq!(read(kept.of_attempt()).await, fits);
                assert!(kept.is_repeatable());
            }
        }
        let pieces = vec![longer.slice(..1000), longer.slice(1000..)];
        for body in [full(longer.clone()), unsized_body(pieces)] {
            let kept = Kept::read(body).await.unwrap();
            assert!(kept.is_repeatable());
            assert_eq!(read(kept.of_attempt()).await, longer);
            assert!(!kept.is_repeatable());
            let second = read_capped(kept.of_attempt(), 1).await;
            assert!(second.is_err());
        }
    }

    #[tokio::test]
    async fn a_body_that_nobody_took_a_byte_of_is_there_for_the_next_attempt() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let kept = Kept::streamed(full("abc"), activity);
        drop(kept.of_attempt());
        assert!(kept.is_repeatable());
        let body = kept.of_attempt();
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(read(body).await, "abc");
        assert!(!kept.is_repeatable());
    }

    #[tokio::test]
    async fn an_empty_stream_can_be_repeated() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let kept = Kept::streamed(super::super::empty(), activity);
        read(kept.of_attempt()).await;
        assert!(kept.is_repeatable());
    }
}
