//! Who may use the admin endpoints.

use chat_runtime::settings::Admin;
use poem::{
    Request, RequestBody, Result,
    http::{HeaderValue, header::AUTHORIZATION},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use crate::error::Problem;

/// The scheme's name in the document.
const SCHEME: &str = "admin_key";

/// What the request brings to prove that it may.
pub struct Credentials(Option<HeaderValue>);

impl Credentials {
    /// Lets the request pass, or not.
    ///
    /// # Errors
    ///
    /// Fails where the rule does not let it.
    pub fn admit(&self, rule: &Admin) -> Result<(), Problem> {
        match rule {
            Admin::Open => Ok(()),
            Admin::Off => Err(Problem::forbidden()),
            Admin::Key(key) if self.is_bearer_of(key.reveal()) => Ok(()),
            Admin::Key(_) => Err(Problem::unauthorized()),
        }
    }

    fn is_bearer_of(&self, key: &str) -> bool {
        const BEARER: &[u8] = b"bearer ";
        let sent = self
            .0
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

/// Compares without telling by its time how much of the two is the same.
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
        Ok(Self(request.headers().get(AUTHORIZATION).cloned()))
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
            let credentials = Credentials(HeaderValue::try_from(sent).ok());
            assert_eq!(credentials.admit(&rule).is_ok(), admitted, "{sent:?}");
        }
        assert!(Credentials(None).admit(&rule).is_err());
    }
}
