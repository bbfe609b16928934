//! Who may use the admin endpoints.

use std::net::IpAddr;

use chat_runtime::settings::Admin;
use poem::{
    Request, RequestBody, Result,
    http::{
        HeaderValue,
        header::{AUTHORIZATION, HOST},
        uri::Authority,
    },
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use crate::error::Problem;

/// The scheme's name in the document.
const SCHEME: &str = "admin_key";

/// What the request has to prove that it may use them.
pub struct Credentials {
    authorization: Option<HeaderValue>,
    is_local: bool,
}

impl Credentials {
    /// Decides whether the request may pass.
    ///
    /// # Errors
    ///
    /// Fails where the rule does not let it.
    pub fn admit(&self, rule: &Admin) -> Result<(), Problem> {
        match rule {
            Admin::Open => Ok(()),
            Admin::Local if self.is_local => Ok(()),
            Admin::Local => Err(Problem::not_local()),
            Admin::Off => Err(Problem::forbidden()),
            Admin::Key(key) if self.is_bearer_of(key.reveal()) => Ok(()),
            Admin::Key(_) => Err(Problem::unauthorized()),
        }
    }

    fn is_bearer_of(&self, key: &str) -> bool {
        const BEARER: &[u8] = b"bearer ";
        let sent = self
            .authorization
            .as_ref()
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        match sent.split_at_checked(BEARER.len()) {
            Some((scheme, sent)) => {
                scheme.eq_ignore_ascii_case(BEARER) && same(sent, key.as_bytes())
            }
            None => false,
        }
    }
}

/// The headers that proxies add to a request.
const BY_PROXIES: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// Says whether the request names loopback as its host, and did not come through a proxy.
///
/// A web page can make its own host name resolve to loopback (DNS rebinding), and may then send what it likes
/// and read what comes back, but it cannot make the browser name another host than its own.
fn is_local(request: &Request) -> bool {
    let named = request.uri().authority().cloned().or_else(|| {
        let host = request.headers().get(HOST)?;
        Authority::try_from(host.as_bytes()).ok()
    });
    let is_own = named.is_some_and(|named| is_name_of_loopback(named.host()));
    is_own
        && !BY_PROXIES
            .iter()
            .any(|name| request.headers().contains_key(*name))
}

fn is_name_of_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Compares without revealing by its timing how much of the two is the same.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one
        .iter()
        .zip(other)
        .fold(0, |bits, (one, other)| bits | (one ^ other));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

impl<'a> ApiExtractor<'a> for Credentials {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some("The key that the server was started with, where it wants one."),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, scheme);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        Ok(Self {
            authorization: request.headers().get(AUTHORIZATION).cloned(),
            is_local: is_local(request),
        })
    }
}

#[cfg(test)]
mod tests {
    use chat_runtime::settings::Secret;

    use super::*;

    #[test]
    fn only_the_whole_key_is_the_key() {
        let rule = Admin::Key(Secret::new("open sesame"));
        for (sent, admitted) in [
            ("Bearer open sesame", true),
            ("bearer open sesame", true),
            ("Bearer open", false),
            ("Bearer open sesame!", false),
            ("Bearer ", false),
            ("open sesame", false),
            ("Basic open sesame", false),
            ("", false),
        ] {
            let credentials = Credentials {
                authorization: HeaderValue::try_from(sent).ok(),
                is_local: true,
            };
            assert_eq!(credentials.admit(&rule).is_ok(), admitted, "{sent:?}");
        }
        let nothing = Credentials {
            authorization: None,
            is_local: true,
        };
        assert!(nothing.admit(&rule).is_err());
    }

    #[test]
    fn only_loopbacks_own_names_are_local() {
        for (host, local) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("chat.localhost:8080", true),
            ("127.0.0.1:8080", true),
            ("127.1.2.3", true),
            ("[::1]:8080", true),
            ("[::ffff:127.0.0.1]", true),
            ("rebound.example:8080", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("192.0.2.1", false),
            ("[::2]", false),
            ("", false),
            ("localhost:8080/", false),
        ] {
            let request = Request::builder().header(HOST, host).finish();
            assert_eq!(is_local(&request), local, "{host:?}");
            for proxied in BY_PROXIES {
                let request = Request::builder()
                    .header(HOST, host)
                    .header(proxied, "192.0.2.1");
                assert!(!is_local(&request.finish()), "{host:?} by {proxied}");
            }
        }
        assert!(!is_local(&Request::default()));
    }
}
