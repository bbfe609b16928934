//! A TCP proxy that can be slow or silent, cut connections, or lead to another server.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// How many bytes are carried at once at most.
const CHUNK: usize = 64 << 10;

/// How long the server gets to do what it was asked before its answer is cut off.
const UNTIL_DONE: Duration = Duration::from_millis(50);

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They arrive.
    Open,
    /// They arrive that much later, in each direction.
    Late(Duration),
    /// They arrive one by one, with that pause between them.
    Dripping(Duration),
    /// They are held back without an error; new connections are accepted all the same.
    Silent,
    /// Connections are reset, and new ones too.
    Reset,
    /// A request with these bytes in it arrives, its answer does not, and the connection is reset.
    Unanswered(&'static [u8]),
}

/// Where connections lead, and how.
#[derive(Clone, Copy, Debug)]
struct Route {
    server: SocketAddr,
    way: Way,
}

/// A proxy in front of a server; its connections end with it.
#[derive(Debug)]
pub struct Proxy {
    first: SocketAddr,
    address: SocketAddr,
    route: watch::Sender<Route>,
    /// How often an answer was cut off.
    unanswered: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of a server.
    ///
    /// # Errors
    ///
    /// Fails when it cannot listen.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.context("listening as a proxy")?;
        let address = listener.local_addr()?;
        let way = Way::Open;
        let (route, seen) = watch::channel(Route { server, way });
        let unanswered = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&unanswered);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (seen, counted) = (seen.clone(), Arc::clone(&counted));
                // Broken connections are what this proxy is for.
                tokio::spawn(async move { drop(carry(client, seen, &counted).await) });
            }
        });
        Ok(Self {
            first: server,
            address,
            route,
            unanswered,
            accepting,
        })
    }

    /// Changes what happens to bytes from now on, also on open connections.
    pub fn set(&self, way: Way) {
        self.route.send_modify(|route| route.way = way);
    }

    /// Leads to another server from now on; connections to the one before are reset.
    pub fn lead_to(&self, server: SocketAddr) {
        self.route.send_modify(|route| route.server = server);
    }

    /// Returns how often an answer was cut off.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Replaces in a text the address of the server that it was made for by its own.
    #[must_use]
    pub fn instead(&self, text: &str) -> String {
        text.replace(&self.first.to_string(), &self.address.to_string())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Way::Reset);
    }
}

async fn carry(
    mut client: TcpStream,
    route: watch::Receiver<Route>,
    unanswered: &AtomicUsize,
) -> io::Result<()> {
    let Route { server, way } = *route.borrow();
    if way == Way::Reset {
        return client.set_zero_linger();
    }
    let mut server_stream = TcpStream::connect(server).await?;
    for stream in [&client, &server_stream] {
        stream.set_nodelay(true)?;
        // Both sides then see a reset when this is dropped, and no orderly end.
        stream.set_zero_linger()?;
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server_stream.split();
    let mut watched = route.clone();
    let is_cut = |route: &Route| route.way == Way::Reset || route.server != server;
    let heard = AtomicBool::new(false);
    // When one of these ends, both connections are dropped.
    tokio::select! {
        outcome = pump(from_client, to_server, route.clone(), Side::Asking(unanswered), &heard) => outcome,
        outcome = pump(from_server, to_client, route, Side::Answering, &heard) => outcome,
        _ = watched.wait_for(is_cut) => Ok(()),
    }
}

/// Who speaks.
enum Side<'a> {
    /// The client; its answers that are cut off are counted here.
    Asking(&'a AtomicUsize),
    /// The server.
    Answering,
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut route: watch::Receiver<Route>,
    side: Side<'_>,
    heard: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        // While the way is silent, what was read waits here.
        let open = route.wait_for(|route| route.way != Way::Silent).await;
        let Ok(way) = open.map(|route| route.way) else {
            return Ok(());
        };
        match way {
            Way::Open | Way::Silent | Way::Reset => to.write_all(bytes).await?,
            Way::Late(by) => {
                sleep(by).await;
                to.write_all(bytes).await?;
            }
            Way::Dripping(pause) => {
                let mut left = bytes;
                while let Some((first, rest)) = left.split_first() {
                    to.write_all(&[*first]).await?;
                    left = rest;
                    if route.has_changed().unwrap_or(true) {
                        break;
                    }
                    sleep(pause).await;
                }
                to.write_all(left).await?;
            }
            Way::Unanswered(asked) => match side {
                Side::Asking(count) if bytes.windows(asked.len()).any(|part| part == asked) => {
                    // Set before the server can answer, so that no answer slips through.
                    heard.store(true, Ordering::SeqCst);
                    count.fetch_add(1, Ordering::Relaxed);
                    to.write_all(bytes).await?;
                    sleep(UNTIL_DONE).await;
                    return Ok(());
                }
                Side::Answering if heard.load(Ordering::SeqCst) => {}
                Side::Asking(_) | Side::Answering => to.write_all(bytes).await?,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    /// Starts a server that echoes each byte, a proxy in front of it, and a client of that.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        let proxy = Proxy::to(server).await.unwrap();
        let client = TcpStream::connect(proxy.address).await.unwrap();
        (proxy, client)
    }

    async fn ask(client: &mut TcpStream, words: &[u8]) -> io::Result<Vec<u8>> {
        client.write_all(words).await?;
        let mut answer = vec![0; words.len()];
        client.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn what_is_late_is_late_in_both_directions() {
        let (proxy, mut client) = echo().await;
        assert_eq!(ask(&mut client, b"soon").await.unwrap(), b"soon");
        let by = Duration::from_millis(100);
        proxy.set(Way::Late(by));
        let began = Instant::now();
        assert_eq!(ask(&mut client, b"late").await.unwrap(), b"late");
        assert!(began.elapsed() >= 2 * by);
    }

    #[tokio::test]
    async fn silence_keeps_what_was_said() {
        let (proxy, mut client) = echo().await;
        proxy.set(Way::Silent);
        let short = Duration::from_millis(50);
        client.write_all(b"a").await.unwrap();
        let mut answer = [0];
        let waited = timeout(short, client.read_exact(&mut answer)).await;
        assert!(waited.is_err(), "{waited:?}");
        proxy.set(Way::Open);
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"a");
    }

    #[tokio::test]
    async fn a_reset_and_another_server_end_connections() {
        let (proxy, mut client) = echo().await;
        assert!(ask(&mut client, b"a").await.is_ok());
        proxy.set(Way::Reset);
        let reset = ask(&mut client, b"a").await.unwrap_err().kind();
        assert!(matches!(
            reset,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        ));
        let (other, mut client) = echo().await;
        assert!(ask(&mut client, b"a").await.is_ok());
        other.lead_to(proxy.first);
        assert!(ask(&mut client, b"a").await.is_err());
        let mut again = TcpStream::connect(other.address).await.unwrap();
        assert_eq!(ask(&mut again, b"b").await.unwrap(), b"b");
    }

    #[tokio::test]
    async fn what_is_unanswered_was_heard() {
        let (proxy, mut client) = echo().await;
        proxy.set(Way::Unanswered(b"COMMIT"));
        assert!(ask(&mut client, b"BEGIN").await.is_ok());
        assert!(ask(&mut client, b"COMMIT").await.is_err());
    }

    #[tokio::test]
    async fn drops_arrive_one_by_one() {
        let (proxy, mut client) = echo().await;
        let pause = Duration::from_millis(10);
        proxy.set(Way::Dripping(pause));
        let began = Instant::now();
        assert_eq!(ask(&mut client, b"abcdef").await.unwrap(), b"abcdef");
        assert!(began.elapsed() >= 5 * pause);
    }
}
