//! A request's body as it arrives: it notes when the server waits for it, and what was left unread.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use super::watched::{Activity, Phase};

/// How many bytes are drained at most of a body that was left unread.
const DRAINED_BYTES: usize = 1_024 * 1_024;

/// How long such a body is drained at most.
const DRAINING: Duration = Duration::from_secs(2);

/// A body as the endpoint gets it; what it leaves unread can be drained afterwards.
pub(super) struct Arriving {
    body: Option<Incoming>,
    is_held_back: bool,
    activity: Arc<Activity>,
    leftover: Leftover,
}

impl Arriving {
    /// Wraps a body, and returns where its unread rest will be kept.
    ///
    /// A client that holds it back (`Expect: 100-continue`) sends it once the first read asks for it.
    pub(super) fn new(
        body: Incoming,
        is_held_back: bool,
        activity: Arc<Activity>,
    ) -> (Self, Leftover) {
        let leftover = Leftover::default();
        let arriving = Self {
            body: Some(body),
            is_held_back,
            activity,
            leftover: leftover.clone(),
        };
        (arriving, leftover)
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.is_held_back = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        let phase = if polled.is_pending() {
            Phase::Body
        } else {
            Phase::Server
        };
        self.activity.enter(phase);
        polled.map_err(io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        if let Some(body) = body.filter(|_| !self.is_held_back) {
            self.leftover.keep(body);
        }
    }
}

/// What an endpoint left unread of a body.
#[derive(Clone, Default)]
pub(super) struct Leftover(Arc<Mutex<Option<Incoming>>>);

impl Leftover {
    fn keep(&self, body: Incoming) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    /// Reads the rest, within limits: a connection that is closed with unread data can lose the answer.
    pub(super) async fn drain(self) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = left else { return };
        let draining = async {
            let mut drained = 0;
            while drained < DRAINED_BYTES
                && let Some(Ok(frame)) = body.frame().await
            {
                drained += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        // A sender that is slower than that loses the answer.
        let _ = timeout(DRAINING, draining).await;
    }
}
