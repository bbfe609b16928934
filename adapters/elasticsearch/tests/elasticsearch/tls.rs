//! TLS, by a certificate that nobody trusts.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use chat_adapter_elasticsearch::{ElasticsearchConfig, ElasticsearchSearchIndex};
use chat_core::{PortErrorKind, ports::SearchIndex as _};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

use crate::{fresh::FreshIndex, shelf::query};

/// A server that speaks TLS; it ends when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        ended.expect("a child that was started can be ended");
    }
}

async fn serve(folder: &TempDir) -> (Server, u16) {
    let openssl = |arguments: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split(' ')).current_dir(folder);
        openssl.stdout(Stdio::null()).stderr(Stdio::null());
        openssl
    };
    let mut certify = openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 \
         -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem",
    );
    assert!(certify.status().unwrap().success());
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let serving =
        format!("s_server -accept 127.0.0.1:{port} -cert certificate.pem -key key.pem -www");
    let server = Server(openssl(&serving).spawn().unwrap());
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "it listens late");
        sleep(Duration::from_millis(20)).await;
    }
    (server, port)
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_not_waited_for() {
    // Run only where servers are started for the tests: starting them needs openssl, too.
    if FreshIndex::name().is_none() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (_server, port) = serve(&folder).await;
    let config = ElasticsearchConfig::new(format!("https://127.0.0.1:{port}"));
    let index = ElasticsearchSearchIndex::try_new(&config).unwrap();
    let error = index.examine().await.unwrap_err();
    assert!(!error.is_retryable(), "{error:?}");
    for _ in 0..10 {
        let error = index.find(&query("word")).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Misconfigured, "{error:?}");
    }
}
