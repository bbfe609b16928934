//! A server that says what a test wants.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chat_adapter_elasticsearch::{ElasticsearchConfig, ElasticsearchSearchIndex};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request: its first line, with method and path, and its body.
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) body: String,
}

type Answer = Box<dyn FnMut(&Asked) -> Option<(u16, Value)> + Send>;

/// The server; it ends when dropped.
pub(crate) struct Stub {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Stub {
    /// Starts a server; where `answer` returns `None`, it never responds.
    pub(crate) async fn start(
        answer: impl FnMut(&Asked) -> Option<(u16, Value)> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&count)));
            }
        });
        Self {
            url,
            asked,
            serving,
        }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// An adapter that talks to it, and does not wait for long.
    pub(crate) fn index(&self) -> ElasticsearchSearchIndex {
        ElasticsearchSearchIndex::try_new(&self.config()).unwrap()
    }

    pub(crate) fn config(&self) -> ElasticsearchConfig {
        ElasticsearchConfig {
            search_timeout: Duration::from_millis(300),
            write_timeout: Duration::from_secs(2),
            ..ElasticsearchConfig::new(&self.url)
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(stream: TcpStream, answer: Arc<Mutex<Answer>>, count: Arc<AtomicUsize>) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = read(&mut stream).await {
        count.fetch_add(1, Ordering::SeqCst);
        let said = answer.lock().unwrap()(&asked);
        let Some((status, body)) = said else {
            std::future::pending::<()>().await;
            return;
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let said = [head.as_bytes(), body.as_bytes()].concat();
        if stream.get_mut().write_all(&said).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    stream
        .read_line(&mut line)
        .await
        .ok()
        .filter(|read| *read > 0)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked {
        line,
        body: String::from_utf8(body).ok()?,
    })
}

/// What a server tells of an index that this adapter made.
pub(crate) fn own_index() -> Value {
    json!({"chat-index-1": {
        "aliases": {"chat-generation-1": {}, "chat-serving": {}},
        "mappings": {
            "dynamic": "strict",
            "_meta": {"made_by": "chat-adapter-elasticsearch", "schema": 1},
            "properties": {
                "application": {"type": "long"},
                "chat": {"type": "keyword"},
                "chat_number": {"type": "long"},
                "number": {"type": "long"},
                "created_at": {"type": "long"},
                "words": {"type": "text"},
                "tokens": {"type": "binary"},
            },
        },
    }})
}

/// A refusal as the server words it.
pub(crate) fn refusal(status: u16, code: &str) -> (u16, Value) {
    let error = json!({"type": code, "reason": "a secret body"});
    (status, json!({"error": error, "status": status}))
}
