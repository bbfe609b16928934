//! Parameters of lists.

use std::fmt::Write as _;

use chat_core::model::{ApplicationToken, Cursor, Limit, NumberRange, Order};
use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};

use crate::error::{Fault, Problem};

/// A parameter of the query; what is wrong with it is told together with the others.
pub struct Query<T>(Result<Option<T>, Fault>);

impl<T> Query<T> {
    /// The parameter's value, or nothing while its fault is added to `faults`.
    fn judge(self, faults: &mut Vec<Fault>) -> Option<T> {
        self.0.unwrap_or_else(|fault| {
            faults.push(fault);
            None
        })
    }
}

/// What a parameter can be.
pub trait Parameter: Sized + Send {
    /// What it must be, for the fault.
    const WANTED: &'static str;

    /// Reads it; `None` where it is something else.
    fn read(text: &str) -> Option<Self>;

    /// Describes it.
    fn schema() -> MetaSchema;
}

/// A number that a list begins after, or ends before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound(u64);

impl Parameter for Bound {
    const WANTED: &'static str = "must be a whole number from 0 to 18446744073709551615";

    fn read(text: &str) -> Option<Self> {
        whole_number(text).map(Self)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            minimum: Some(0.0),
            ..MetaSchema::new_with_format("integer", "uint64")
        }
    }
}

impl Parameter for Limit {
    const WANTED: &'static str = "must be a whole number from 1 to 1000";

    fn read(text: &str) -> Option<Self> {
        whole_number(text).and_then(Self::try_new)
    }

    fn schema() -> MetaSchema {
        let (minimum, maximum) = (Some(1.0), Some(1_000.0));
        let default = Some(Self::default().get().into());
        MetaSchema {
            minimum,
            maximum,
            default,
            ..MetaSchema::new("integer")
        }
    }
}

impl Parameter for Order {
    const WANTED: &'static str = "must be asc or desc";

    fn read(text: &str) -> Option<Self> {
        match text {
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

impl Parameter for Cursor {
    const WANTED: &'static str = "must be taken from `next`";

    fn read(text: &str) -> Option<Self> {
        let application = ApplicationToken::parse(text)?;
        Some(Self {
            application,
            chat: None,
            message: None,
        })
    }

    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

/// Reads digits alone: no sign, no space.
fn whole_number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
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
        if request.uri().query().is_none() {
            return Ok(Self(Ok(None)));
        }
        let all: Vec<(String, String)> = request.params().unwrap_or_default();
        let mut own = all.iter().filter(|(name, _)| name == options.name);
        let value = own.next();
        if own.next().is_some() {
            return Ok(Self(Err(Fault::new(options.name, "must be given once"))));
        }
        let fault = || Fault::new(options.name, T::WANTED);
        Ok(Self(
            value
                .map(|(_, text)| T::read(text).ok_or_else(fault))
                .transpose(),
        ))
    }
}

/// The part of a list that a page is cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    after: Option<u64>,
    before: Option<u64>,
    /// How many items at most.
    pub limit: Limit,
    order: Order,
}

impl Window {
    /// Judges the parameters of a list.
    ///
    /// # Errors
    ///
    /// Fails with all of them that are at fault.
    pub fn judge(
        after: Query<Bound>,
        before: Query<Bound>,
        limit: Query<Limit>,
        order: Query<Order>,
    ) -> Result<Self, Problem> {
        let mut faults = Vec::new();
        let window = Self {
            after: after.judge(&mut faults).map(|bound| bound.0),
            before: before.judge(&mut faults).map(|bound| bound.0),
            limit: limit.judge(&mut faults).unwrap_or_default(),
            order: order.judge(&mut faults).unwrap_or_default(),
        };
        if faults.is_empty() {
            Ok(window)
        } else {
            Err(Problem::invalid(faults))
        }
    }

    /// The numbers that are asked for.
    #[must_use]
    pub fn range(&self) -> NumberRange {
        NumberRange::new(self.after, self.before, self.order)
    }

    /// The address of the page that begins with `rest`, in the list at `path`.
    #[must_use]
    pub fn address(&self, path: &str, rest: &NumberRange) -> String {
        let (after, before, order) = match self.order {
            Order::Ascending => (Some(rest.first().saturating_sub(1)), self.before, "asc"),
            Order::Descending => (self.after, Some(rest.last().saturating_add(1)), "desc"),
        };
        let mut address = format!("{path}?limit={}&order={order}", self.limit.get());
        for (name, bound) in [("after", after), ("before", before)] {
            if let Some(bound) = bound {
                // A `String` takes whatever is written to it.
                let _ = write!(address, "&{name}={bound}");
            }
        }
        address
    }
}

/// The part of a list across the system that a page is cut from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemWindow {
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// How many items at most.
    pub limit: Limit,
}

impl SystemWindow {
    /// Judges the parameters of a list across the system.
    ///
    /// # Errors
    ///
    /// Fails with all of them that are at fault.
    pub fn judge(cursor: Query<Cursor>, limit: Query<Limit>) -> Result<Self, Problem> {
        let mut faults = Vec::new();
        let cursor = cursor.judge(&mut faults);
        let limit = limit.judge(&mut faults).unwrap_or_default();
        if faults.is_empty() {
            Ok(Self { cursor, limit })
        } else {
            Err(Problem::invalid(faults))
        }
    }

    /// The address of the page after `cursor`, in the list at `path`.
    #[must_use]
    pub fn address(limit: Limit, path: &str, cursor: &Cursor) -> String {
        format!(
            "{path}?limit={}&cursor={}",
            limit.get(),
            cursor.application.as_str()
        )
    }
}

#[cfg(test)]
mod tests {
    use chat_core::model::Number;

    use super::*;

    fn window(after: Option<u64>, before: Option<u64>, order: Order) -> Window {
        Window {
            after,
            before,
            limit: Limit::try_new(2).unwrap(),
            order,
        }
    }

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
            assert_eq!(Bound::read(wrong), None, "{wrong:?}");
        }
        assert_eq!(Bound::read("0"), Some(Bound(0)));
        assert_eq!(Bound::read("18446744073709551615"), Some(Bound(u64::MAX)));
        assert_eq!(Limit::read("1001"), None);
    }

    #[test]
    fn the_next_page_begins_behind_the_last_item() {
        let last = Number::try_new(7).unwrap();
        let up = window(None, Some(9), Order::Ascending);
        let address = up.address("/x", &up.range().beyond(last));
        assert_eq!(address, "/x?limit=2&order=asc&after=7&before=9");
        let down = window(Some(3), None, Order::Descending);
        let address = down.address("/x", &down.range().beyond(last));
        assert_eq!(address, "/x?limit=2&order=desc&after=3&before=7");
    }
}
