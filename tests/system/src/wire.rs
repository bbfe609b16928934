//! A bare connection: sends whatever bytes it is given, and reads answers as strictly as HTTP says.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
    http::uri::Authority,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::client::Answer;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a connection that ends by itself may stay open after its last answer.
const LINGER: Duration = Duration::from_millis(20);

/// The most bytes that the head of an answer may have.
const LONGEST_HEAD: usize = 64 * 1_024;

/// A connection to a server.
#[derive(Debug)]
pub struct Wire {
    writing: OwnedWriteHalf,
    arriving: Arriving,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Fails when nobody listens.
    pub async fn open(api: &Authority) -> Result<Self> {
        let stream = TcpStream::connect(api.as_str())
            .await
            .with_context(|| format!("connecting to `{api}`"))?;
        stream.set_nodelay(true).context("sending at once")?;
        let (reading, writing) = stream.into_split();
        let buffer = BytesMut::new();
        Ok(Self {
            writing,
            arriving: Arriving { reading, buffer },
        })
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// Fails when the server has ended the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.writing.write_all(bytes).await.context("sending")
    }

    /// Sends bytes while reading the answer; a server that answers early need not take all of them.
    ///
    /// # Errors
    ///
    /// As for [`answer`](Self::answer).
    pub async fn exchange(&mut self, bytes: &[u8]) -> Result<Answer> {
        let is_head = bytes.starts_with(b"HEAD ");
        let (writing, arriving) = (&mut self.writing, &mut self.arriving);
        let (_, answer) = tokio::join!(writing.write_all(bytes), arriving.answer(is_head));
        answer
    }

    /// Reads one answer to its end.
    ///
    /// # Errors
    ///
    /// Fails when none comes, or it is no HTTP.
    pub async fn answer(&mut self) -> Result<Answer> {
        self.arriving.answer(false).await
    }

    /// Reads one answer to a HEAD request, which has no body whatever its headers say.
    ///
    /// # Errors
    ///
    /// As for [`answer`](Self::answer).
    pub async fn answer_to_head(&mut self) -> Result<Answer> {
        self.arriving.answer(true).await
    }

    /// Shuts down the sending side; answers can still be read.
    ///
    /// # Errors
    ///
    /// Fails when the connection has ended.
    pub async fn finish(&mut self) -> Result<()> {
        self.writing.shutdown().await.context("ending the request")
    }

    /// Checks that the server closes the connection in good order, without sending more.
    ///
    /// # Errors
    ///
    /// Fails when it is reset, something more comes, or it stays open.
    pub async fn expect_end(&mut self) -> Result<()> {
        let ended = timeout(DEADLINE, self.arriving.is_at_end()).await;
        ensure!(ended.context("the connection stays open")??, "more came");
        Ok(())
    }

    /// Checks that the connection, after an answer, can be used again or ends in good order.
    ///
    /// # Errors
    ///
    /// Fails when it is reset, or another request on it is not answered.
    pub async fn expect_good_order(&mut self) -> Result<()> {
        if let Ok(ended) = timeout(LINGER, self.arriving.is_at_end()).await {
            ensure!(ended?, "more came than one answer");
            return Ok(());
        }
        let answer = self
            .exchange(&request("GET", "/health/live", "", b""))
            .await?;
        ensure!(answer.status == 200, "the next answer is {answer}");
        Ok(())
    }
}

/// Writes a request with a Content-Length where it has a body; each line of `headers` ends in CRLF.
#[must_use]
pub fn request(method: &str, target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{headers}");
    if !body.is_empty() {
        // Writing to a `String` cannot fail.
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// Writes a request whose body comes in chunks of `size` bytes.
#[must_use]
pub fn chunked(method: &str, target: &str, headers: &str, body: &[u8], size: usize) -> Vec<u8> {
    let headers = format!("{headers}transfer-encoding: chunked\r\n");
    let mut bytes = request(method, target, &headers, b"");
    for chunk in body.chunks(size) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// What comes from the server.
#[derive(Debug)]
struct Arriving {
    reading: OwnedReadHalf,
    buffer: BytesMut,
}

impl Arriving {
    async fn answer(&mut self, is_to_head: bool) -> Result<Answer> {
        timeout(DEADLINE, self.whole(is_to_head))
            .await
            .with_context(|| format!("no answer in {DEADLINE:?}"))?
    }

    async fn whole(&mut self, is_to_head: bool) -> Result<Answer> {
        let status_line = self.line().await?;
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5)?.parse().ok())
            .with_context(|| format!("`{status_line}` is no answer"))?;
        let mut headers = HeaderMap::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("`{line}` is no header"))?;
            let name: HeaderName = name.parse().context("reading a header's name")?;
            let value = HeaderValue::from_str(value.trim()).context("reading a header's value")?;
            headers.append(name, value);
        }
        let body = if is_to_head || matches!(status, 100..=199 | 204 | 304) {
            Bytes::new()
        } else {
            self.body(&headers).await.context("reading a body")?
        };
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    async fn body(&mut self, headers: &HeaderMap) -> Result<Bytes> {
        if headers.contains_key("transfer-encoding") {
            return self.chunks().await;
        }
        if let Some(length) = headers.get("content-length") {
            let length = length.to_str()?.parse().context("reading its length")?;
            return self.exactly(length).await;
        }
        while self.more().await? {}
        Ok(self.buffer.split().freeze())
    }

    async fn chunks(&mut self) -> Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(line.trim(), 16)
                .with_context(|| format!("`{line}` is no size of a chunk"))?;
            body.extend_from_slice(&self.exactly(size).await?);
            let end = self.line().await?;
            ensure!(end.is_empty(), "`{end}` follows a chunk");
            if size == 0 {
                return Ok(body.freeze());
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Bytes> {
        while self.buffer.len() < length {
            ensure!(self.more().await?, "it is cut short");
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return String::from_utf8(line.to_vec()).context("reading a line");
            }
            ensure!(self.buffer.len() < LONGEST_HEAD, "a line does not end");
            if !self.more().await? {
                bail!("the connection ended, and there is no whole answer");
            }
        }
    }

    async fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.buffer.is_empty() && !self.more().await?)
    }

    /// Reads on, and tells whether there was more.
    async fn more(&mut self) -> Result<bool> {
        let read = self.reading.read_buf(&mut self.buffer).await;
        Ok(read.context("receiving")? > 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Serves one connection that says `said` whatever it hears.
    async fn serve(said: &'static str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string().parse().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
        });
        Wire::open(&authority).await.unwrap()
    }

    #[tokio::test]
    async fn answers_are_told_apart_whatever_frames_them() {
        let mut wire = serve(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}\
             HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nHTTP/1.1 200 OK\r\n\
             transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n\
             HTTP/1.0 400 Bad Request\r\n\r\nthe rest",
        )
        .await;
        assert_eq!(wire.answer().await.unwrap().status, 100);
        assert_eq!(&*wire.answer().await.unwrap().body, b"{}");
        let head = wire.exchange(b"HEAD / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(
            (head.header("content-length"), &*head.body),
            (Some("7"), &b""[..])
        );
        assert_eq!(&*wire.answer().await.unwrap().body, b"abcd");
        let last = wire.answer().await.unwrap();
        assert_eq!((last.status, &*last.body), (400, &b"the rest"[..]));
        wire.expect_end().await.unwrap();
    }

    #[tokio::test]
    async fn half_an_answer_is_none() {
        for said in [
            "",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            "220 hello\r\n",
        ] {
            assert!(serve(said).await.answer().await.is_err(), "{said}");
        }
    }

    #[test]
    fn a_body_is_framed_by_its_length_or_in_chunks() {
        let plain = request("PUT", "/a", "x: y\r\n", b"{}");
        assert_eq!(
            plain,
            b"PUT /a HTTP/1.1\r\nhost: localhost\r\nx: y\r\ncontent-length: 2\r\n\r\n{}"
        );
        let chunks = chunked("PUT", "/a", "", b"abc", 2);
        let wanted = b"PUT /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
                       2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(chunks, wanted);
    }
}
