//! Parts of the path, which are judged last.

use chat_core::model::{ApplicationToken, ChatNumber, DeadLetterId, MessageNumber, Number};
use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use crate::error::Problem;

/// A part of the path; absent where it cannot name anything.
///
/// Reading it never fails, because a wrong body must be reported before a wrong path.
/// (The name `Path` tells poem-openapi that it is part of the path.)
pub struct Path<T>(Option<T>);

impl<T> Path<T> {
    /// The part, or the same problem as for something unknown.
    ///
    /// # Errors
    ///
    /// Fails where the path cannot name anything.
    pub fn found(self) -> Result<T, Problem> {
        self.0.ok_or_else(Problem::not_found)
    }
}

impl Path<ChatNumber> {
    /// The chat, or a number that no chat has, since an idempotency key is checked before the chat is.
    #[must_use]
    pub fn or_nobodys(self) -> ChatNumber {
        self.0.unwrap_or(ChatNumber::LAST)
    }
}

/// What a part of the path can be.
pub trait Part: Sized + Send {
    /// Reads the part; `None` where it cannot be one.
    fn read(text: &str) -> Option<Self>;

    /// Describes the part.
    fn schema() -> MetaSchema;
}

impl Part for ApplicationToken {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn schema() -> MetaSchema {
        let pattern = Some("^[A-Za-z0-9]{32}$".to_owned());
        MetaSchema {
            pattern,
            ..MetaSchema::new("string")
        }
    }
}

impl Part for ChatNumber {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn schema() -> MetaSchema {
        number()
    }
}

impl Part for MessageNumber {
    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn schema() -> MetaSchema {
        number()
    }
}

impl Part for DeadLetterId {
    fn read(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }

    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

fn number() -> MetaSchema {
    let least = u32::try_from(Number::FIRST.get()).unwrap_or_default();
    MetaSchema {
        minimum: Some(least.into()),
        ..MetaSchema::new_with_format("integer", "uint64")
    }
}

impl<'a, T: Part> ApiExtractor<'a> for Path<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<String>,
    ) -> Result<Self> {
        Ok(Self(request.raw_path_param(options.name).and_then(T::read)))
    }
}
