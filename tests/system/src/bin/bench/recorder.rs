//! Records what a program asks Elasticsearch.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use chat_system::client::Call;
use hyper::{Method, http::uri::Authority};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// A proxy that passes everything on, and keeps the requests.
pub(crate) struct Recorder {
    authority: Authority,
    asked: Asked,
}

type Asked = Arc<Mutex<Vec<u8>>>;

impl Recorder {
    /// Starts a recorder in front of `server`.
    ///
    /// # Errors
    ///
    /// Fails when it cannot listen.
    pub(crate) async fn before(server: Authority) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let authority = listener.local_addr()?.to_string().parse()?;
        let asked = Asked::default();
        tokio::spawn(pass_on(listener, server, Arc::clone(&asked)));
        Ok(Self { authority, asked })
    }

    /// Where it listens.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Takes the searches that were recorded since the last call, in their order.
    ///
    /// # Errors
    ///
    /// Fails when the record is no row of whole requests, as when several were sent at once.
    pub(crate) fn searches(&self) -> Result<Vec<Call>> {
        let asked = std::mem::take(&mut *lock(&self.asked));
        let (mut rest, mut searches) = (asked.as_slice(), Vec::new());
        while !rest.is_empty() {
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
            let (head, after) = rest.split_at(end.context("a request has a head")? + 4);
            let head = std::str::from_utf8(head)?.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(Ok(0), |length| length.trim().parse::<usize>())?;
            ensure!(length <= after.len(), "a request was not heard to its end");
            let (body, next) = after.split_at(length);
            let path = head.split(' ').nth(1).context("a request has a path")?;
            if path.contains("/_search") && head.starts_with("post ") && body.len() > 100 {
                let call = Call::try_new(Method::POST, path)?;
                searches.push(call.with_body("application/json", body.to_vec()));
            }
            rest = next;
        }
        Ok(searches)
    }
}

fn lock(asked: &Asked) -> MutexGuard<'_, Vec<u8>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass_on(listener: TcpListener, server: Authority, asked: Asked) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let server = TcpStream::connect(server.as_str()).await?;
        let (heard, mut answered) = client.into_split();
        let (mut answers, asking) = server.into_split();
        tokio::spawn(hear(heard, asking, Arc::clone(&asked)));
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut answered).await });
    }
}

async fn hear(
    mut heard: OwnedReadHalf,
    mut asking: OwnedWriteHalf,
    asked: Asked,
) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let count = heard.read(&mut bytes).await?;
        let Some(bytes) = bytes.get(..count).filter(|_| count > 0) else {
            return asking.shutdown().await;
        };
        lock(&asked).extend_from_slice(bytes);
        asking.write_all(bytes).await?;
    }
}
