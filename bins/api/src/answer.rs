//! Answers: JSON written once, straight from the views.

use std::{borrow::Cow, fmt};

use chat_core::model::{Page, Timestamp};
use poem::{
    Body, IntoResponse, Response,
    http::{HeaderValue, header::CONTENT_TYPE},
};
use poem_openapi::{
    ApiResponse, Object,
    payload::Payload,
    registry::{MetaSchema, MetaSchemaRef, Registry},
    types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::nullable::Nullable;

/// The initial size of an answer's buffer, so that it is not grown step by step.
const USUAL_BYTES: usize = 256;

/// A view as JSON.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Serialize + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut json = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut json, &self.0).expect("a view can always be written as JSON");
        let mut response = Body::from(json).into_response();
        let content_type = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

/// A moment as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(Timestamp);

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Type for Moment {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_date-time".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "date-time")))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Moment {
    fn to_json(&self) -> Option<Value> {
        Some(Value::String(self.to_string()))
    }
}

/// The macros of poem-openapi require it, but no request carries a moment.
impl ParseFromJSON for Moment {
    fn parse_from_json(_: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::custom("a moment is answered, never sent"))
    }
}

/// A page of a list.
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Page", example)]
pub struct PageView<Item: ParseFromJSON + ToJSON> {
    /// The items, in the list's order.
    pub items: Vec<Item>,
    /// The address of the next page; null on the last.
    pub next: Nullable<String>,
}

impl<Item: ParseFromJSON + ToJSON + Example> Example for PageView<Item> {
    fn example() -> Self {
        Self {
            items: vec![Item::example()],
            next: None.into(),
        }
    }
}

impl<Item: ParseFromJSON + ToJSON> PageView<Item> {
    /// Shows a page; `address` makes the address of the next one.
    #[must_use]
    pub fn new<Own: Into<Item>, Next>(
        page: Page<Own, Next>,
        address: impl FnOnce(Next) -> String,
    ) -> Self {
        Self {
            items: page.items.into_iter().map(Into::into).collect(),
            next: page.next.map(address).into(),
        }
    }

    /// The Link header that names the next page.
    #[must_use]
    pub fn link(&self) -> Option<String> {
        let next = self.next.as_ref()?;
        Some(format!("<{next}>; rel=\"next\""))
    }
}

/// A page as it is answered.
#[derive(ApiResponse)]
pub enum Listed<Item: ParseFromJSON + ToJSON + Serialize + Example> {
    /// A page.
    #[oai(status = 200)]
    Listed(
        Json<PageView<Item>>,
        /// The address of the next page, as `rel="next"`.
        #[oai(header = "Link")]
        Option<String>,
    ),
}

impl<Item: ParseFromJSON + ToJSON + Serialize + Example> From<PageView<Item>> for Listed<Item> {
    fn from(page: PageView<Item>) -> Self {
        let link = page.link();
        Self::Listed(Json(page), link)
    }
}

/// The answer to a deletion.
#[derive(ApiResponse)]
pub enum Deleted {
    /// It is deleted.
    #[oai(status = 204)]
    Deleted,
}
