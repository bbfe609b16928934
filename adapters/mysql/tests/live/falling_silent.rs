//! A proxy to the server that falls silent at a certain statement.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
};

/// Starts a proxy to the server of `url` that forwards nothing more once the client has sent `word`;
/// returns its address.
pub(crate) async fn falling_silent(url: &str, word: &'static str) -> String {
    let (user, place) = url.rsplit_once('@').expect("a user");
    let (server, database) = place.split_once('/').expect("a database");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass(client, server, word));
        }
    });
    // The proxy could not read encrypted traffic.
    format!("{user}@127.0.0.1:{port}/{database}?ssl-mode=DISABLED")
}

async fn pass(client: TcpStream, server: TcpStream, word: &str) {
    let (mut asking, mut answered) = client.into_split();
    let (mut answering, mut asked) = server.into_split();
    tokio::spawn(async move { copy(&mut answering, &mut answered).await });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = asking.read(&mut buffer).await {
        let said = &buffer[..read];
        if said.windows(word.len()).any(|part| part == word.as_bytes()) {
            // Both connections stay open.
            return std::future::pending().await;
        }
        if asked.write_all(said).await.is_err() {
            return;
        }
    }
}
