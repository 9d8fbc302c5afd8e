//! The body of an answer, on its way to whoever called.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::BoxError;
use crate::activity::Activity;
use crate::instance::InFlight;

/// Hands on a body, as long as it does not stand still; until its end the call is in flight.
pub(crate) struct Answered<B> {
    /// None once it has ended, so that its connection is free or closed.
    inner: Option<B>,
    in_flight: Option<InFlight>,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    is_timed: bool,
    activity: Option<Arc<Activity>>,
}

#[derive(Debug, thiserror::Error)]
#[error("nothing came for {0:?}")]
struct StoodStill(Duration);

impl<B> Answered<B> {
    /// `activity` tells of the other body, of the request.
    pub(crate) fn new(
        inner: B,
        in_flight: InFlight,
        idle: Duration,
        activity: Option<Arc<Activity>>,
    ) -> Self {
        Answered {
            inner: Some(inner),
            in_flight: Some(in_flight),
            idle,
            timer: Box::pin(sleep(idle)),
            is_timed: false,
            activity,
        }
    }

    fn end(&mut self, is_broken: bool) {
        self.inner = None;
        if let Some(in_flight) = self.in_flight.take()
            && is_broken
        {
            in_flight.instance().broke_off();
        }
    }

    /// Whether nothing has moved for too long.
    fn stands_still(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_timed {
            // Counts from when somebody waits for it: a reader may take its time.
            self.timer.as_mut().reset(Instant::now() + self.idle);
            self.is_timed = true;
        }
        while self.timer.as_mut().poll(context).is_ready() {
            let moved = self.activity.as_ref().map(|activity| activity.last());
            match moved.map(|moved| moved + self.idle) {
                Some(until) if until > Instant::now() => self.timer.as_mut().reset(until),
                _ => return true,
            }
        }
        false
    }
}

impl<B> http_body::Body for Answered<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.is_timed = false;
                if let Some(activity) = &this.activity {
                    activity.moved();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.end(true);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.end(false);
                Poll::Ready(None)
            }
            Poll::Pending if this.stands_still(context) => {
                this.end(true);
                Poll::Ready(Some(Err(StoodStill(this.idle).into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Some(inner) => inner.is_end_stream(),
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;
    use crate::instance::tests::instance;

    const IDLE: Duration = Duration::from_secs(30);

    fn answered<B>(inner: B, activity: Option<Arc<Activity>>) -> Answered<B> {
        let admitted = instance().admit(Instant::now(), true).unwrap();
        let in_flight = admitted.finish(crate::instance::Outcome::Success, IDLE);
        Answered::new(inner, in_flight, IDLE, activity)
    }

    fn frame() -> Frame<Bytes> {
        Frame::data(Bytes::from_static(b"x"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stands_still_ends_with_an_error() {
        let frames = stream::iter([Ok::<_, BoxError>(frame())]);
        let frames = futures::StreamExt::chain(frames, stream::pending());
        let mut body = answered(StreamBody::new(Box::pin(frames)), None);
        body.frame().await.unwrap().unwrap();
        // The reader takes its time.
        sleep(IDLE * 3).await;
        let begun = Instant::now();
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(begun.elapsed(), IDLE);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_other_body_moves_it_does_not_stand_still() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let frames = stream::pending::<Result<_, BoxError>>();
        let mut body = answered(StreamBody::new(frames), Some(Arc::clone(&activity)));
        let begun = Instant::now();
        let uploading = async {
            for _ in 0..5 {
                sleep(IDLE / 2).await;
                activity.moved();
            }
        };
        let (ended, ()) = tokio::join!(body.frame(), uploading);
        assert!(ended.unwrap().is_err());
        assert_eq!(begun.elapsed(), IDLE / 2 * 5 + IDLE);
    }
}
