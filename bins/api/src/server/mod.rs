//! Connections: accepted up to a limit, watched while they are idle, and brought to an end.
//!
//! HTTP/1.1 is driven directly and not by poem's own server, which burns a core when file descriptors
//! run out, keeps half-sent requests for ever, and knows no limit.

use std::{io, sync::Arc, time::Duration};

use chat_runtime::lifecycle::Shutdown;
use poem::{Endpoint, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

mod arriving;
mod connection;
mod watched;

/// The pause after a failure to accept: file descriptors or memory have run out.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the program is asked to end; connections end as tasks of `shutdown`.
///
/// Further connections than `most` wait in the operating system's queue.
pub async fn serve<E>(listener: TcpListener, endpoint: Arc<E>, most: usize, shutdown: &Shutdown)
where
    E: Endpoint<Output = Response> + 'static,
{
    let mut acceptor = Acceptor::new(listener, most);
    while let Some((stream, permit)) = shutdown.soft.run_until_cancelled(acceptor.accept()).await {
        let serving = connection::serve(stream, Arc::clone(&endpoint), shutdown.clone());
        shutdown.tasks.spawn(async move {
            serving.await;
            drop(permit);
        });
    }
}

/// Accepts connections while there is room for them.
struct Acceptor {
    listener: TcpListener,
    room: Arc<Semaphore>,
    is_full: bool,
    is_failing: bool,
}

impl Acceptor {
    fn new(listener: TcpListener, most: usize) -> Self {
        let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
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
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "no connection can be accepted for now");
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn permit(&mut self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            self.is_full = false;
            return permit;
        }
        if !self.is_full {
            self.is_full = true;
            tracing::warn!("as many connections are open as CHAT_MAX_CONNECTIONS allows");
        }
        let permit = Arc::clone(&self.room).acquire_owned().await;
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
