//! Bodies of requests: bounded while they are read, and validated with all faults reported at once.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, combinators::BoxBody};
use hyper::body::Body as _;
use poem::{
    Request, RequestBody, Result,
    http::{
        HeaderMap, HeaderValue,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};
use tokio::time::timeout;

use crate::{
    error::Problem,
    fields::{Fields, Parsed},
    key::Key,
};

/// The most bytes that a body may have.
pub const MOST_BYTES: usize = 256 * 1024;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// A request's body: the type documents it, and its fields are validated one by one.
pub trait Form: Type {
    /// The names of the fields.
    const FIELDS: &'static [&'static str];

    /// Says whether an empty body stands for one without fields.
    const MAY_BE_EMPTY: bool = false;

    /// Says whether the request may carry an idempotency key.
    const TAKES_KEY: bool = true;

    /// What the body says.
    type Content: Send;

    /// Validates the fields, noting in `fields` what is wrong.
    fn content(fields: &mut Fields) -> Option<Self::Content>;
}

/// A body that was read and is valid.
pub struct Payload<F: Form>(pub F::Content);

impl<F: Form> Payload<F> {
    async fn read(
        request: &Request,
        body: BoxBody<Bytes, std::io::Error>,
    ) -> Result<Self, Problem> {
        let headers = request.headers();
        let json = Arriving(body).whole(headers, F::MAY_BE_EMPTY).await?;
        Self::judge(headers, &json)
    }

    fn judge(headers: &HeaderMap, json: &[u8]) -> Result<Self, Problem> {
        let parsed = if json.is_empty() && F::MAY_BE_EMPTY {
            Ok(Parsed::Object(Fields::none(F::FIELDS)))
        } else {
            Fields::parse(json, F::FIELDS)
        };
        let mut fields = match parsed {
            Ok(Parsed::Object(fields)) => fields,
            Ok(Parsed::Other) => {
                return Err(Problem::invalid_body("the body must be a JSON object"));
            }
            Err(_) if json.is_empty() => {
                return Err(Problem::malformed_json(
                    "the body is empty, and JSON is needed",
                ));
            }
            Err(error) => {
                return Err(Problem::malformed_json(format!(
                    "the body is not JSON: {error}"
                )));
            }
        };
        let content = F::content(&mut fields);
        if F::TAKES_KEY
            && let Err(fault) = Key::read(headers)
        {
            fields.add(fault);
        }
        match content {
            Some(content) if fields.is_faultless() => Ok(Self(content)),
            _ => Err(Problem::invalid(fields.into_faults())),
        }
    }
}

/// A body on its way.
struct Arriving(BoxBody<Bytes, std::io::Error>);

impl Arriving {
    /// Reads the whole body, unless it is not announced as JSON, too large or too slow.
    async fn whole(mut self, headers: &HeaderMap, may_be_empty: bool) -> Result<Bytes, Problem> {
        let is_json = is_json(headers);
        if !is_json && !may_be_empty {
            return Err(Problem::unsupported_media_type());
        }
        let reading = timeout(ARRIVAL, self.bounded(is_json));
        reading.await.unwrap_or_else(|_| {
            Err(Problem::malformed_json(
                "the body did not arrive in time, and is incomplete",
            ))
        })
    }

    async fn bounded(&mut self, is_json: bool) -> Result<Bytes, Problem> {
        if is_json && self.0.size_hint().lower() > MOST_BYTES as u64 {
            return Err(Problem::too_large(MOST_BYTES));
        }
        // Almost every body arrives in one piece, which then is not copied.
        let mut whole = Bytes::new();
        let mut gathered = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if !is_json {
                return Err(Problem::unsupported_media_type());
            }
            if whole.len() + gathered.len() + piece.len() > MOST_BYTES {
                return Err(Problem::too_large(MOST_BYTES));
            }
            if whole.is_empty() && gathered.is_empty() {
                whole = piece;
            } else {
                gathered.extend_from_slice(&std::mem::take(&mut whole));
                gathered.extend_from_slice(&piece);
            }
        }
        Ok(if gathered.is_empty() {
            whole
        } else {
            gathered.freeze()
        })
    }

    /// The next piece that is not empty.
    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        while !self.0.is_end_stream() {
            let Some(frame) = self.0.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|_| {
                Problem::malformed_json("the body did not arrive to its end, and is incomplete")
            })?;
            // A frame without data is a trailer, which is ignored.
            if let Ok(data) = frame.into_data()
                && !data.is_empty()
            {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

/// Says whether the body is announced as plain JSON, and as nothing else besides.
fn is_json(headers: &HeaderMap) -> bool {
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let mut content_types = headers.get_all(CONTENT_TYPE).iter().peekable();
    let announced = content_types.peek().is_some();
    announced && !encoded && content_types.all(names_json)
}

fn names_json(content_type: &HeaderValue) -> bool {
    let kind = content_type.as_bytes().split(|byte| *byte == b';').next();
    let kind = kind.unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/json")
}

impl<'a, F: Form> ApiExtractor<'a> for Payload<F> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        F::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content_type = "application/json";
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type,
                schema: F::schema_ref(),
            }],
            required: !F::MAY_BE_EMPTY,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> Result<Self> {
        Ok(Self::read(request, body.take()?.into()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_json_is_json() {
        let with = |content_type: &'static str| {
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
        };
        for taken in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json ;",
        ] {
            assert!(is_json(&with(taken)), "{taken}");
        }
        for refused in [
            "",
            "text/plain",
            "application/vnd.x+json",
            "application/jsonp",
            "json",
        ] {
            assert!(!is_json(&with(refused)), "{refused}");
        }
        assert!(!is_json(&HeaderMap::new()));
        let mut encoded = with("application/json");
        encoded.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!is_json(&encoded));
        let mut both = with("application/json");
        both.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert!(!is_json(&both));
    }
}
