//! A light HTTP/1.1 client: it shares two cores with the server that it measures.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Uri,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER},
    http::uri::Authority,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::servers::Servers;

/// The wait before a refused connection is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// The longest wait that is granted to a `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A request, prebuilt so that it can be sent many times at little cost.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// Makes a request without a body for an absolute path such as `/health/live`.
    ///
    /// # Errors
    ///
    /// Fails when `path` is no address.
    pub fn try_new(method: Method, path: &str) -> Result<Self> {
        let path = path
            .parse()
            .with_context(|| format!("`{path}` is no path"))?;
        Ok(Self {
            method,
            path,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        })
    }

    /// Makes a GET request.
    ///
    /// # Errors
    ///
    /// As for [`try_new`](Self::try_new).
    pub fn get(path: &str) -> Result<Self> {
        Self::try_new(Method::GET, path)
    }

    /// Makes a POST request with a JSON body.
    ///
    /// # Errors
    ///
    /// As for [`try_new`](Self::try_new), and when `body` has no JSON form.
    pub fn post(path: &str, body: &impl Serialize) -> Result<Self> {
        Self::json(Method::POST, path, body)
    }

    /// Makes a request with a JSON body.
    ///
    /// # Errors
    ///
    /// As for [`post`](Self::post).
    pub fn json(method: Method, path: &str, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body).context("writing the body as JSON")?;
        Ok(Self::try_new(method, path)?.with_body("application/json", body))
    }

    /// Gives the request a body and its content type.
    #[must_use]
    pub fn with_body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }

    /// Sets a header.
    ///
    /// # Errors
    ///
    /// Fails when the value cannot stand in a header.
    pub fn with_header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Result<Self> {
        self.headers.remove(name);
        self.with_further_header(name, value)
    }

    /// Adds a header, even if there is one of that name.
    ///
    /// # Errors
    ///
    /// As for [`with_header`](Self::with_header).
    pub fn with_further_header(
        mut self,
        name: &'static str,
        value: impl AsRef<[u8]>,
    ) -> Result<Self> {
        let value = HeaderValue::from_bytes(value.as_ref())
            .with_context(|| format!("the value of `{name}` cannot be sent"))?;
        self.headers.append(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// Adds the `Idempotency-Key` that makes a create safe to send again.
    ///
    /// # Errors
    ///
    /// As for [`with_header`](Self::with_header).
    pub fn with_key(self, key: impl AsRef<[u8]>) -> Result<Self> {
        self.with_header("idempotency-key", key)
    }
}

/// Shows the method, the path and the start of the body, for messages.
impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {}",
            self.method,
            start(&self.path.to_string())
        )?;
        if self.body.is_empty() {
            return Ok(());
        }
        write!(
            formatter,
            " `{}`",
            start(&String::from_utf8_lossy(&self.body))
        )
    }
}

/// What a server answered, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Errors
    ///
    /// Fails when the body is not what `T` needs, and shows it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("reading {self}"))
    }

    /// Returns the value of a header, if it is there and ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Checks that the status is the wanted one.
    ///
    /// # Errors
    ///
    /// Fails with what was answered when the status is another one.
    pub fn expect_status(&self, status: u16) -> Result<()> {
        ensure!(self.status == status, "expected {status}, got {self}");
        Ok(())
    }

    /// Reads the body as JSON once the status is the wanted one.
    ///
    /// # Errors
    ///
    /// As for [`expect_status`](Self::expect_status), and when the body is not JSON.
    pub fn expect(&self, status: u16) -> Result<Value> {
        self.expect_status(status)?;
        self.json()
    }

    /// Checks that the status is the wanted one and that there is no body.
    ///
    /// # Errors
    ///
    /// Fails with what was answered when it is something else.
    pub fn expect_empty(&self, status: u16) -> Result<()> {
        ensure!(
            self.status == status && self.body.is_empty(),
            "expected {status} without a body, got {self}"
        );
        Ok(())
    }
}

/// Shows the status and the start of the body, for messages.
impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.body);
        write!(formatter, "{} `{}`", self.status, start(&text))
    }
}

/// Percent-encodes every byte of a text, for any part of a URL.
#[must_use]
pub fn percent_encoded(text: impl AsRef<[u8]>) -> String {
    let mut encoded = String::new();
    for byte in text.as_ref() {
        // Writing to a `String` cannot fail.
        let _ = write!(encoded, "%{byte:02X}");
    }
    encoded
}

/// Shortens a text to what an error message can take.
fn start(text: &str) -> &str {
    const SHOWN: usize = 500;
    let end = text
        .char_indices()
        .nth(SHOWN)
        .map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or(text)
}

/// One keep-alive connection to each server, opened when needed and again when it broke.
///
/// Requests go to the servers in turn.
#[derive(Debug)]
pub struct Client {
    connections: VecDeque<Connection>,
    deadline: Duration,
}

#[derive(Debug)]
struct Connection {
    authority: Authority,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// Makes a client that gives each request 30 seconds.
    #[must_use]
    pub fn new(servers: impl Into<Servers>) -> Self {
        let closed = |authority| Connection {
            authority,
            sender: None,
        };
        Self {
            connections: servers.into().into_iter().map(closed).collect(),
            deadline: Duration::from_secs(30),
        }
    }

    /// Sets how long one request may take, connecting included.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends a GET request.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(&Call::get(path)?).await
    }

    /// Sends a POST request with a JSON body.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn post(&mut self, path: &str, body: &impl Serialize) -> Result<Answer> {
        self.send(&Call::post(path, body)?).await
    }

    /// Sends a DELETE request.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn delete(&mut self, path: &str) -> Result<Answer> {
        self.send(&Call::try_new(Method::DELETE, path)?).await
    }

    /// Sends a request once and reads its answer, whatever the status.
    ///
    /// # Errors
    ///
    /// Fails when no whole answer came before the deadline.
    /// The server may have served the request all the same.
    pub async fn send(&mut self, call: &Call) -> Result<Answer> {
        match timeout(self.deadline, self.exchange(call)).await {
            Ok(outcome) => outcome.with_context(|| call.to_string()),
            Err(_) => bail!("{call}: no answer in {:?}", self.deadline),
        }
    }

    /// Sends the same request until the server gives a final answer.
    ///
    /// Lost connections, 429 and 503 are retried, so a create must carry its idempotency key.
    ///
    /// # Errors
    ///
    /// Fails with the last refusal when `patience` has passed.
    pub async fn send_until_answered(&mut self, call: &Call, patience: Duration) -> Result<Answer> {
        let give_up = Instant::now() + patience;
        loop {
            let outcome = self.send(call).await;
            let pause = match &outcome {
                Ok(answer) if matches!(answer.status, 429 | 503) => retry_after(answer),
                Ok(_) => return outcome,
                Err(_) => RECONNECT_PAUSE,
            };
            if Instant::now() + pause >= give_up {
                let answer = outcome.with_context(|| format!("gave up after {patience:?}"))?;
                bail!("gave up after {patience:?}, the last answer was {answer}");
            }
            sleep(pause).await;
        }
    }

    async fn exchange(&mut self, call: &Call) -> Result<Answer> {
        self.connections.rotate_left(1);
        let connection = self.connections.front_mut().context("there is no server")?;
        connection.exchange(call).await
    }
}

impl Connection {
    async fn exchange(&mut self, call: &Call) -> Result<Answer> {
        // Taken out, so that a connection with half an answer in it is never used again.
        let kept = match self.sender.take() {
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(self.request(call)?).await?;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .context("reading the answer")?
            .to_bytes();
        self.sender = Some(sender);
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>> {
        let host = HeaderValue::from_str(self.authority.as_str()).context("naming the host")?;
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.path.clone();
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().entry(HOST).or_insert(host);
        Ok(request)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let port = self.authority.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((self.authority.host(), port))
            .await
            .with_context(|| format!("connecting to `{}`", self.authority))?;
        stream
            .set_nodelay(true)
            .context("switching Nagle's delay off")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // A broken connection shows in the next `ready` or `send_request`.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn retry_after(answer: &Answer) -> Duration {
    answer
        .headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map_or(RECONNECT_PAUSE, Duration::from_secs)
        .clamp(RECONNECT_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        task::JoinHandle,
    };

    use super::*;

    const CREATED: &str = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
    const BUSY: &str =
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";

    /// Serves one connection for each answer and keeps the requests; an empty answer hangs up.
    async fn serve(answers: Vec<&'static str>) -> (Client, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let authority: Authority = address.parse().unwrap();
        let serving = tokio::spawn(async move {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                requests.push(String::from_utf8_lossy(&request[..length]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        (Client::new(authority), serving)
    }

    #[tokio::test]
    async fn a_lost_connection_and_a_503_are_tried_again_with_the_same_key() {
        let (mut client, serving) = serve(vec!["", BUSY, "HTTP/1.1 20", CREATED]).await;
        let call = Call::post("/chats", &serde_json::json!({}))
            .unwrap()
            .with_key("once")
            .unwrap();
        let answer = client
            .send_until_answered(&call, Duration::from_secs(10))
            .await
            .unwrap();
        assert_eq!(answer.status, 201);
        let requests = serving.await.unwrap();
        assert_eq!(requests.len(), 4);
        for request in requests {
            assert!(request.contains("idempotency-key: once\r\n"), "{request}");
        }
    }

    #[tokio::test]
    async fn patience_ends() {
        let (mut client, _serving) = serve(vec![BUSY]).await;
        let call = Call::get("/").unwrap();
        let outcome = client
            .send_until_answered(&call, Duration::from_millis(1))
            .await;
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains("the last answer was 503"), "{message}");
    }

    #[tokio::test]
    async fn a_request_has_a_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let authority: Authority = address.parse().unwrap();
        let mut client = Client::new(authority).with_deadline(Duration::from_millis(50));
        let message = client.get("/").await.unwrap_err().to_string();
        assert!(message.contains("no answer in 50ms"), "{message}");
    }
}
