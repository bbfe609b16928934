//! Asks a running `api` whether it is ready, for containers and scripts.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use chat_runtime::program::print;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long the answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Fails unless the `api` that listens on `listen` says that it is ready.
pub(crate) async fn run(listen: SocketAddr) -> Result<()> {
    let address = reachable(listen);
    let status = timeout(DEADLINE, ask(address));
    let status = status.await.context("no answer in time").flatten();
    let status = status.with_context(|| format!("asking http://{address}/health/ready"))?;
    ensure!(
        status == "200",
        "http://{address}/health/ready answers {status}"
    );
    print(&format!(
        "healthy: http://{address}/health/ready answers {status}"
    ))
}

async fn ask(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await?;
    let mut start = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut start).await?;
    let start = String::from_utf8_lossy(&start);
    Ok(start.rsplit(' ').next().unwrap_or_default().to_owned())
}

/// Replaces the unspecified address, on which a server listens everywhere, by loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
