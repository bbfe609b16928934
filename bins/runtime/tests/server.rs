//! Connections: how many there may be, and how they end.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use chat_runtime::{
    lifecycle::Shutdown,
    server::{Room, serve},
};
use poem::{IntoResponse as _, Request, endpoint::make};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// A request whose answer takes a while.
const SLOW_REQUEST: &[u8] = b"GET /slow HTTP/1.1\r\nhost: test\r\n\r\n";

/// Long enough for everything that is to happen.
const SOON: Duration = Duration::from_secs(5);

/// Starts a server that answers everything, for at most `most` connections.
async fn started(most: usize) -> (SocketAddr, Shutdown, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let shutdown = Shutdown::default();
    let answer = async |request: Request| {
        if request.uri().path() == "/slow" {
            sleep(Duration::from_millis(300)).await;
        }
        Ok::<_, poem::Error>("here".into_response())
    };
    let endpoint = Arc::new(make(answer));
    let ending = shutdown.clone();
    let server = tokio::spawn(async move {
        serve(
            listener,
            endpoint,
            Room::new(most, Gauge::default()),
            &ending,
        )
        .await;
        ending.finish().await;
    });
    (address, shutdown, server)
}

async fn status(stream: &mut TcpStream) -> String {
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.expect("an answer");
    String::from_utf8_lossy(&start).into_owned()
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_another_to_end() {
    let (address, _shutdown, _server) = started(1).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(REQUEST).await.unwrap();
    assert_eq!(status(&mut first).await, "HTTP/1.1 200");
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(REQUEST).await.unwrap();
    let too_early = timeout(Duration::from_millis(200), second.readable()).await;
    assert!(
        too_early.is_err(),
        "the second connection was served beside the first"
    );
    drop(first);
    let answered = timeout(SOON, status(&mut second)).await.unwrap();
    assert_eq!(answered, "HTTP/1.1 200");
}

#[tokio::test]
async fn clients_that_send_nothing_more_do_not_hold_the_end_up() {
    let (address, shutdown, server) = started(10).await;
    let mut streams = Vec::new();
    for part in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost:", REQUEST] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(part).await.unwrap();
        streams.push(stream);
    }
    // The last one is answered, so all have been accepted.
    assert_eq!(status(streams.last_mut().unwrap()).await, "HTTP/1.1 200");
    shutdown.soft.cancel();
    timeout(SOON, server)
        .await
        .expect("the server ends")
        .unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the server still listens"
    );
}

/// What has begun, such as a deletion, is carried out, and a client that still listens gets its answer.
#[tokio::test]
async fn a_request_is_served_although_its_client_sends_no_more() {
    let (address, _shutdown, _server) = started(10).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(SLOW_REQUEST).await.unwrap();
    stream.shutdown().await.unwrap();
    let answered = timeout(SOON, status(&mut stream)).await.unwrap();
    assert_eq!(answered, "HTTP/1.1 200");
}
