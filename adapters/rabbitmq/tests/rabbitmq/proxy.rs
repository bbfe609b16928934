//! A proxy to the broker that can be cut and blocked.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

/// What happens to bytes on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// They arrive.
    Open,
    /// They are held back, and no side is told.
    Silent,
    /// Connections are closed, and new ones too.
    Cut,
}

/// A proxy in front of a server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, seen) = watch::channel(Way::Open);
        let accepting = tokio::spawn(async move {
            let mut carrying = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                carrying.spawn(carry(client, server, seen.clone()));
            }
        });
        Self {
            address,
            way,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut way: watch::Receiver<Way>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    loop {
        let now = *way.borrow_and_update();
        match now {
            Way::Cut => return,
            Way::Silent => {}
            Way::Open => {
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => return,
                    changed = way.changed() => if changed.is_err() { return },
                }
                continue;
            }
        }
        if way.changed().await.is_err() {
            return;
        }
    }
}
