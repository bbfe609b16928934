//! Requests to the server, with deadlines, retries and a circuit breaker.

use std::time::Duration;

use bytes::Bytes;
use chat_core::PortErrorKind;
use elasticsearch::{
    auth::Credentials,
    http::{
        Method, Url,
        headers::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
        transport::{SingleNodeConnectionPool, Transport, TransportBuilder},
    },
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use crate::{
    ElasticsearchConfig,
    breaker::{Breaker, Leave, with_jitter},
    config::without_credentials,
    error::{Failure, OpenError, means_no_index},
};

/// How many attempts a request has at most.
const ATTEMPTS: u32 = 4;

/// The pause before the second attempt, doubled before each further one.
const PAUSE: Duration = Duration::from_millis(50);

/// The timeout of probes and health checks, for which many wait, even where searches take longer.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// One server, or the load balancer in front of several.
pub(crate) struct Client {
    transport: Transport,
    breaker: Breaker,
    address: String,
}

/// One request, the same in each attempt.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// The path, made of names that need no escaping.
    pub(crate) path: String,
    pub(crate) query: &'a [(&'static str, &'a str)],
    pub(crate) body: Option<Bytes>,
}

impl Call<'_> {
    /// A request without parameters and body.
    pub(crate) fn plain(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            query: &[],
            body: None,
        }
    }
}

/// What the server says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    error: Option<Reason>,
}

/// The kind of an error, without its message, which may repeat what was written.
#[derive(Debug, Deserialize)]
pub(crate) struct Reason {
    #[serde(rename = "type")]
    pub(crate) code: String,
}

impl Client {
    pub(crate) fn new(config: &ElasticsearchConfig) -> Result<Self, OpenError> {
        let address = without_credentials(&config.url);
        let unusable = |reason: String| OpenError::Unusable {
            address: address.clone(),
            reason,
        };
        let (url, login) = place(&config.url)?;
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .disable_proxy()
            .enable_meta_header(false)
            // Answers are short, and compressing them would cost the server time.
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let key = config.api_key.clone().map(Credentials::EncodedApiKey);
        if key.is_some() && HeaderValue::from_str(config.api_key.as_deref().unwrap_or("")).is_err()
        {
            return Err(OpenError::Setting {
                what: "the API key of Elasticsearch",
                wanted: "visible ASCII characters",
            });
        }
        if let Some(credentials) = key.or(login) {
            builder = builder.auth(credentials);
        }
        let transport = builder
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            transport,
            breaker: Breaker::default(),
            address,
        })
    }

    /// Sends a request, retrying until there is an answer or another attempt makes no sense.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let mut attempts = 1;
        loop {
            match self.ask_once(call, deadline).await {
                Err(failure) if failure.may_pass() && attempts < ATTEMPTS => {
                    if !pause(attempts, deadline).await {
                        return Err(failure);
                    }
                    attempts += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn ask_once<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let left = || deadline.saturating_duration_since(Instant::now());
        if left().is_zero() {
            return Err(Failure::Late);
        }
        let mut leave = self.breaker.leave()?;
        if leave.is_probe() {
            leave = self.probe(leave, left()).await?;
        }
        let outcome = self.send(call, left()).await;
        match &outcome {
            Err(failure) if failure.is_of_absence() => leave.failed(),
            _ => leave.answered(),
        }
        let answer = outcome?;
        serde_json::from_slice(&answer)
            .map_err(|_| Failure::Strange("an answer with the requested fields"))
    }

    /// Checks with a cheap request whether a server that was down is back.
    ///
    /// The caller's own request may be too much even for a server that is up.
    async fn probe<'a>(&'a self, leave: Leave<'a>, left: Duration) -> Result<Leave<'a>, Failure> {
        let about = Call::plain(Method::Get, "/".to_owned());
        match self.send(&about, left.min(SIGN_OF_LIFE)).await {
            Err(failure) if failure.is_of_absence() => {
                leave.failed();
                Err(failure)
            }
            _ => {
                leave.answered();
                self.breaker.leave()
            }
        }
    }

    async fn send(&self, call: &Call<'_>, left: Duration) -> Result<Bytes, Failure> {
        let mut headers = HeaderMap::new();
        if call.path.ends_with("/_bulk") {
            let lines = HeaderValue::from_static("application/x-ndjson");
            headers.insert(CONTENT_TYPE, lines);
        }
        let sent = self.transport.send(
            call.method,
            &call.path,
            headers,
            Some(call.query),
            call.body.clone(),
            Some(left),
        );
        let response = sent.await?;
        let status = response.status_code();
        let body = response.bytes().await?;
        if status.is_success() {
            return Ok(body);
        }
        let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
        let code = refusal.and_then(|refusal| refusal.error);
        let code = code.map_or_else(|| "no reason".to_owned(), |reason| reason.code);
        if means_no_index(&code) {
            return Err(Failure::Missing);
        }
        Err(Failure::Refused {
            status: status.as_u16(),
            code,
        })
    }

    /// Makes sure that the server is one that this adapter knows.
    pub(crate) async fn examine(&self, timeout: Duration) -> Result<(), OpenError> {
        let call = Call::plain(Method::Get, "/".to_owned());
        let unusable = |reason| OpenError::Unusable {
            address: self.address.clone(),
            reason,
        };
        let about: About = match self.ask(&call, Instant::now() + timeout).await {
            Ok(about) => about,
            Err(Failure::Refused { status: 403, .. }) => {
                tracing::warn!(
                    address = self.address,
                    "the version of the search server was not checked, since this user lacks the \
                     cluster privilege `monitor`"
                );
                return Ok(());
            }
            Err(failure) => {
                let source = failure.of("connect");
                return Err(match source.kind {
                    PortErrorKind::Corrupt => {
                        unusable("it does not answer like Elasticsearch".to_owned())
                    }
                    _ => OpenError::Unreachable {
                        address: self.address.clone(),
                        source,
                    },
                });
            }
        };
        let Version {
            number,
            distribution,
        } = about.version;
        if distribution.is_none() && is_too_old(&number) {
            return Err(unusable(format!(
                "its version is {number}, but 7.10 or later is needed"
            )));
        }
        tracing::info!(
            address = self.address,
            version = number,
            "searching on {}",
            distribution.as_deref().unwrap_or("Elasticsearch")
        );
        Ok(())
    }
}

/// Waits before another attempt; `false` where the deadline comes first.
pub(crate) async fn pause(attempts: u32, deadline: Instant) -> bool {
    let pause = with_jitter(PAUSE * 2_u32.pow(attempts.min(8)) / 2);
    let in_time = Instant::now() + pause < deadline;
    if in_time {
        sleep(pause).await;
    }
    in_time
}

/// What the server tells about itself.
#[derive(Deserialize)]
struct About {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    /// Elasticsearch has none.
    distribution: Option<String>,
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let first_two: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    first_two < (7, 10)
}

/// Splits a URL into the server's address and the credentials.
fn place(url: &str) -> Result<(Url, Option<Credentials>), OpenError> {
    let wrong = || OpenError::Setting {
        what: "the address of Elasticsearch",
        wanted: "a URL such as http://host:9200 or https://user:password@host:9200",
    };
    let mut url = Url::parse(url).map_err(|_| wrong())?;
    let is_known = matches!(url.scheme(), "http" | "https");
    if !is_known || !url.has_host() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong());
    }
    let decoded = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text);
        bytes.decode_utf8().map(String::from).map_err(|_| wrong())
    };
    let login = match (url.username(), url.password()) {
        ("", None) => None,
        (user, password) => {
            let password = decoded(password.unwrap_or_default())?;
            Some(Credentials::Basic(decoded(user)?, password))
        }
    };
    // Joining a path to the URL replaces what follows its last slash.
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.set_username("").map_err(|()| wrong())?;
    url.set_password(None).map_err(|()| wrong())?;
    Ok((url, login))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_address() {
        let (url, login) = place("https://ann:p%40ss@host:9200/es").unwrap();
        assert_eq!(url.as_str(), "https://host:9200/es/");
        let Some(Credentials::Basic(user, password)) = login else {
            panic!("a user and a password");
        };
        assert_eq!((user.as_str(), password.as_str()), ("ann", "p@ss"));
        assert!(place("http://host").unwrap().1.is_none());
    }

    #[test]
    fn other_addresses_are_refused() {
        for wrong in [
            "host:9200",
            "ftp://host",
            "http://",
            "http://host?x=1",
            "",
            "http://h#f",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn old_servers_are_told_from_new_ones() {
        for (version, wanted) in [
            ("7.9.3", true),
            ("6.8.0", true),
            ("7.10.2", false),
            ("9.1.0", false),
        ] {
            assert_eq!(is_too_old(version), wanted, "{version}");
        }
    }
}
