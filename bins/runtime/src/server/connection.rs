//! One connection, from its first request to its end.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use http_body_util::combinators::BoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use poem::{
    Body, Endpoint, Request, RequestParts, Response,
    http::{header::EXPECT, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    arriving::Arriving,
    watched::{Activity, Phase, Watched},
};
use crate::lifecycle::Shutdown;

/// How long a client may keep a connection without progress: idle, with half a request, or with an
/// answer that it does not read. The connection is closed after one to two of these periods.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many such periods a client may take over one answer that it reads bit by bit.
const LONGEST_ANSWER: u32 = 10;

/// As [`PATIENCE`], while the program ends.
const LAST_PATIENCE: Duration = Duration::from_millis(500);

/// How many bytes of a request's head, or of what follows it, a connection buffers.
const MOST_BUFFERED: usize = 64 * 1_024;

/// Serves a connection until either side ends it.
pub(super) async fn serve<E>(stream: TcpStream, endpoint: Arc<E>, shutdown: Shutdown)
where
    E: Endpoint<Output = Response> + 'static,
{
    // A failure means that the connection is broken, which the first read reports.
    let _ = stream.set_nodelay(true);
    let local = stream
        .local_addr()
        .map(|address| LocalAddr(address.into()))
        .unwrap_or_default();
    let remote = stream
        .peer_addr()
        .map(|address| RemoteAddr(address.into()))
        .unwrap_or_default();
    let activity = Arc::new(Activity::default());
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        activity.enter(Phase::Server);
        activity.step();
        let (head, body) = request.into_parts();
        let is_held_back = head.headers.contains_key(EXPECT);
        let (body, leftover) = Arriving::new(body, is_held_back, Arc::clone(&activity));
        let body = BoxBody::new(body);
        let head = RequestParts::from((head, local.clone(), remote.clone(), Scheme::HTTP));
        let request = Request::from_parts(head, Body::from(body));
        let (endpoint, activity) = (Arc::clone(&endpoint), Arc::clone(&activity));
        async move {
            let response = endpoint.get_response(request).await;
            leftover.drain().await;
            activity.answer();
            Ok::<_, Infallible>(hyper::Response::from(response))
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // Finish a request that has begun even after its client has closed the sending side.
            .half_close(true)
            .max_buf_size(MOST_BUFFERED)
            .serve_connection(io, service)
    );
    let mut asked_to_end = pin!(shutdown.soft.cancelled());
    let mut look = pin!(sleep(PATIENCE));
    let (mut is_ending, mut steps, mut answers, mut looks) = (false, 0, 0, 0);
    loop {
        tokio::select! {
            biased;
            // An error here is the client's doing: it went away, or does not speak HTTP.
            _ = connection.as_mut() => return,
            () = asked_to_end.as_mut(), if !is_ending => {
                is_ending = true;
                steps = activity.steps();
                connection.as_mut().graceful_shutdown();
                look.as_mut().reset(Instant::now() + LAST_PATIENCE);
            }
            () = look.as_mut() => {
                let waits_for_client = match activity.phase() {
                    Phase::Client => true,
                    // Reading a body has a deadline of its own, after which the request is answered.
                    Phase::Body => is_ending,
                    Phase::Server => false,
                };
                let before = std::mem::replace(&mut steps, activity.steps());
                let answered_before = std::mem::replace(&mut answers, activity.answers());
                looks = if answered_before == answers { looks + 1 } else { 0 };
                if waits_for_client && (before == steps || looks > LONGEST_ANSWER) {
                    return;
                }
                let patience = if is_ending { LAST_PATIENCE } else { PATIENCE };
                look.as_mut().reset(Instant::now() + patience);
            }
        }
    }
}
