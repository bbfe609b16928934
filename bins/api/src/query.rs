//! Parameters of the query: extracted one by one, validated together.

use std::marker::PhantomData;

use chat_core::{
    model::{Limit, Order, SearchText},
    service::Search,
};
use percent_encoding::percent_decode_str;
use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use crate::error::{Fault, Problem};

/// A parameter of the query, as it came.
pub struct Query<T> {
    name: &'static str,
    given: Given,
    kind: PhantomData<fn() -> T>,
}

/// What the query says about one parameter.
enum Given {
    Nothing,
    Once(String),
    /// Its decoded value is not UTF-8.
    Garbled,
    Repeatedly,
}

impl<T> Query<T> {
    /// Says whether the parameter is there, whatever its value.
    #[must_use]
    pub fn is_given(&self) -> bool {
        !matches!(self.given, Given::Nothing)
    }

    /// The same parameter, to be judged as something else.
    #[must_use]
    pub fn as_other<U>(self) -> Query<U> {
        Query {
            name: self.name,
            given: self.given,
            kind: PhantomData,
        }
    }
}

impl<T: Parameter> Query<T> {
    /// The value of a parameter that is the only one of its request.
    ///
    /// # Errors
    ///
    /// Fails where it is at fault.
    pub fn alone(self) -> Result<Option<T>, Problem> {
        let mut faults = Faults::default();
        let value = self.judge(&mut faults);
        faults.none_or_refuse()?;
        Ok(value)
    }

    /// The parameter's value, if it was given; a fault is added to `faults`.
    pub(crate) fn judge(self, faults: &mut Faults) -> Option<T> {
        let blame = match self.given {
            Given::Nothing => return None,
            Given::Once(text) => match T::read(text) {
                Some(value) => return Some(value),
                None => T::WANTED,
            },
            Given::Garbled => T::WANTED,
            Given::Repeatedly => "must be given once",
        };
        faults.add(Fault::new(self.name, blame));
        None
    }
}

/// What is wrong with the parameters of a request.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Fails with all faults, if there are any.
    pub(crate) fn none_or_refuse(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.0))
        }
    }
}

/// What a parameter can be.
pub trait Parameter: Sized + Send {
    /// What it must be, for the fault.
    const WANTED: &'static str;

    /// Reads it; `None` where it is something else.
    fn read(text: String) -> Option<Self>;

    /// Describes it.
    fn schema() -> MetaSchema;
}

/// A number that a list begins after, or ends before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound(pub u64);

impl Parameter for Bound {
    const WANTED: &'static str = "must be a whole number from 0 to 18446744073709551615";

    fn read(text: String) -> Option<Self> {
        whole_number(&text).map(Self)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            minimum: Some(0.0),
            example: Some(0.into()),
            ..MetaSchema::new_with_format("integer", "uint64")
        }
    }
}

impl Parameter for Limit {
    const WANTED: &'static str = "must be a whole number from 1 to 1000";

    fn read(text: String) -> Option<Self> {
        whole_number(&text).and_then(Self::try_new)
    }

    fn schema() -> MetaSchema {
        limit(Self::default(), 1_000.0)
    }
}

/// How many hits a page of a search has at most: 1 to 100, 20 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HitLimit(pub Limit);

impl HitLimit {
    /// Checks a limit; `None` outside its bounds.
    #[must_use]
    pub fn try_new(limit: u64) -> Option<Self> {
        let limit = Limit::try_new(limit)?;
        (limit.get() <= Search::MAX_HITS).then_some(Self(limit))
    }
}

impl Default for HitLimit {
    fn default() -> Self {
        Self(Limit::default().at_most(20))
    }
}

impl Parameter for HitLimit {
    const WANTED: &'static str = "must be a whole number from 1 to 100";

    fn read(text: String) -> Option<Self> {
        whole_number(&text).and_then(Self::try_new)
    }

    fn schema() -> MetaSchema {
        limit(Self::default().0, 100.0)
    }
}

fn limit(default: Limit, maximum: f64) -> MetaSchema {
    MetaSchema {
        minimum: Some(1.0),
        maximum: Some(maximum),
        default: Some(default.get().into()),
        ..MetaSchema::new("integer")
    }
}

impl Parameter for Order {
    const WANTED: &'static str = "must be asc or desc";

    fn read(text: String) -> Option<Self> {
        match text.as_str() {
            "asc" => Some(Self::Ascending),
            "desc" => Some(Self::Descending),
            _ => None,
        }
    }

    fn schema() -> MetaSchema {
        let enum_items = vec!["asc".into(), "desc".into()];
        MetaSchema {
            enum_items,
            default: Some("asc".into()),
            ..MetaSchema::new("string")
        }
    }
}

impl Parameter for SearchText {
    const WANTED: &'static str = "must have at most 1024 characters, and no U+0000";

    fn read(text: String) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            max_length: Some(Self::MAX),
            pattern: Some("^[^\\x00]*$".to_owned()),
            example: Some("where is my order".into()),
            ..MetaSchema::new("string")
        }
    }
}

/// A switch that is off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct YesOrNo(pub bool);

impl Parameter for YesOrNo {
    const WANTED: &'static str = "must be true or false";

    fn read(text: String) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            default: Some(false.into()),
            ..MetaSchema::new("boolean")
        }
    }
}

/// Reads digits alone: no sign, no space.
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Decodes a part of the query; `None` where that is not UTF-8.
///
/// (Ready-made parsers of forms would replace the bytes at fault.)
fn decoded(part: &str) -> Option<String> {
    let spaced = part.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(text.into_owned())
}

impl<'a, T: Parameter> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<String>,
    ) -> Result<Self> {
        let query = request.uri().query();
        let mut own = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(|(name, _)| decoded(name).as_deref() == Some(options.name))
            .map(|(_, value)| decoded(value));
        let given = match (own.next(), own.next()) {
            (None, _) => Given::Nothing,
            (Some(Some(text)), None) => Given::Once(text),
            (Some(None), None) => Given::Garbled,
            (Some(_), Some(_)) => Given::Repeatedly,
        };
        Ok(Self {
            name: options.name,
            given,
            kind: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_query_is_digits() {
        for wrong in [
            "",
            "+1",
            "-1",
            " 1",
            "1.0",
            "1e3",
            "x",
            "18446744073709551616",
        ] {
            assert_eq!(Bound::read(wrong.to_owned()), None, "{wrong:?}");
        }
        let bound = |text: &str| Bound::read(text.to_owned());
        assert_eq!(bound("0"), Some(Bound(0)));
        assert_eq!(bound("18446744073709551615"), Some(Bound(u64::MAX)));
        assert_eq!(Limit::read("1001".to_owned()), None);
        assert_eq!(HitLimit::read("101".to_owned()), None);
    }
}
