//! The header `Idempotency-Key`, read raw: a malformed one is refused, never treated as absent.

use chat_core::model::IdempotencyKey;
use poem::{Request, RequestBody, Result, http::HeaderMap};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use crate::error::{Fault, Problem};

/// The header's name.
const NAME: &str = "Idempotency-Key";

/// The client's own name for a create, if it sent one.
pub struct Key(pub Option<IdempotencyKey>);

impl Key {
    /// Reads the key.
    ///
    /// # Errors
    ///
    /// Fails where the header's value is no key, or it was sent twice.
    pub fn read(headers: &HeaderMap) -> Result<Self, Fault> {
        let mut values = headers.get_all(NAME).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        if values.next().is_some() {
            return Err(Fault::new(NAME, "must be sent once"));
        }
        let key = IdempotencyKey::parse(value.as_bytes());
        key.map(|key| Self(Some(key)))
            .map_err(|error| Fault::new(NAME, error.to_string()))
    }
}

impl<'a> ApiExtractor<'a> for Key {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(IdempotencyKey::MAX),
            pattern: Some("^[!-~]+$".to_owned()),
            ..MetaSchema::new("string")
        })))
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<String>,
    ) -> Result<Self> {
        Self::read(request.headers()).map_err(|fault| Problem::invalid(vec![fault]).into())
    }
}
