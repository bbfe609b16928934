//! Connections: accepted up to a limit, watched while they are idle, and brought to an end.
//!
//! HTTP/1.1 is driven directly and not by poem's own server, which burns a core when file descriptors
//! run out, keeps half-sent requests for ever, and knows no limit.

use std::{io, sync::Arc, time::Duration};

use chat_core::Chain;
use poem::{Endpoint, Response};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::lifecycle::Shutdown;

mod arriving;
mod connection;
mod files;
mod watched;

pub use files::allow_files;

/// The pause after a failure to accept: file descriptors or memory have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the program is asked to end; the connections are tasks that `shutdown` waits for.
///
/// Connections that there is no room for wait in the operating system's queue.
pub async fn serve<E>(listener: TcpListener, endpoint: Arc<E>, room: Room, shutdown: &Shutdown)
where
    E: Endpoint<Output = Response> + 'static,
{
    let open = room.open.clone();
    let mut acceptor = Acceptor::new(listener, room);
    while let Some((stream, permit)) = shutdown.soft.run_until_cancelled(acceptor.accept()).await {
        open.inc();
        let open = open.clone();
        let serving = connection::serve(stream, Arc::clone(&endpoint), shutdown.clone());
        shutdown.tasks.spawn(async move {
            serving.await;
            open.dec();
            drop(permit);
        });
    }
}

/// Room for a number of connections.
pub struct Room {
    most: usize,
    permits: Arc<Semaphore>,
    open: Gauge,
}

impl Room {
    /// Room for `most` connections; those that are open are counted in `open`.
    #[must_use]
    pub fn new(most: usize, open: Gauge) -> Self {
        let permits = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self {
            most,
            permits,
            open,
        }
    }
}

/// Accepts connections while there is room for them.
struct Acceptor {
    listener: TcpListener,
    room: Room,
    is_full: bool,
    is_failing: bool,
}

impl Acceptor {
    fn new(listener: TcpListener, room: Room) -> Self {
        Self {
            listener,
            room,
            is_full: false,
            is_failing: false,
        }
    }

    async fn accept(&mut self) -> (TcpStream, OwnedSemaphorePermit) {
        let permit = self.permit().await;
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.is_failing = false;
                    return (stream, permit);
                }
                // The client gave up while it waited.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !self.is_failing {
                        self.is_failing = true;
                        tracing::error!(
                            error = %Chain(&error),
                            "accepting connections fails; it is retried"
                        );
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn permit(&mut self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.room.permits).try_acquire_owned() {
            self.is_full = false;
            return permit;
        }
        if !self.is_full {
            self.is_full = true;
            tracing::warn!(
                most = self.room.most,
                "the limit of open connections is reached (CHAT_MAX_CONNECTIONS for `api`); \
                 further clients wait"
            );
        }
        let permit = Arc::clone(&self.room.permits).acquire_owned().await;
        permit.expect("nobody closes the semaphore")
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
