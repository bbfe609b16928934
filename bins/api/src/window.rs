//! The parts of lists and searches that a page is cut from, and the addresses of next pages.

use std::fmt;

use chat_core::{
    model::{Limit, NumberRange, Order, SearchText},
    service::SearchPlace,
};

use crate::{
    cursor::Place,
    error::{FROM_NEXT, Fault, Problem},
    query::{Bound, Faults, HitLimit, Parameter, Query},
};

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
        let mut faults = Faults::default();
        let window = Self {
            after: after.judge(&mut faults).map(|bound| bound.0),
            before: before.judge(&mut faults).map(|bound| bound.0),
            limit: limit.judge(&mut faults).unwrap_or_default(),
            order: order.judge(&mut faults).unwrap_or_default(),
        };
        faults.none_or_refuse()?;
        Ok(window)
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
        let mut address = Address::new(path, self.limit).with("order", order);
        for (name, bound) in [("after", after), ("before", before)] {
            if let Some(bound) = bound {
                address = address.with(name, bound);
            }
        }
        address.finish()
    }
}

/// The part of a list that a page is cut from, where a cursor names the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorWindow<At> {
    /// Where the page before ended.
    pub cursor: Option<At>,
    /// How many items at most.
    pub limit: Limit,
}

impl<At: Place + Parameter> CursorWindow<At> {
    /// Judges the parameters of such a list.
    ///
    /// # Errors
    ///
    /// Fails with all of them that are at fault.
    pub fn judge(cursor: Query<At>, limit: Query<Limit>) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let cursor = cursor.judge(&mut faults);
        let limit = limit.judge(&mut faults).unwrap_or_default();
        faults.none_or_refuse()?;
        Ok(Self { cursor, limit })
    }

    /// The address of the page after `cursor`, in the list at `path`.
    #[must_use]
    pub fn address(limit: Limit, path: &str, cursor: &At) -> String {
        let address = Address::new(path, limit);
        address.with("cursor", cursor.spell()).finish()
    }
}

/// What is searched for, and the part of the hits that a page is cut from.
///
/// `At` is what names a place among the hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchWindow<At> {
    /// What is searched for.
    pub text: SearchText,
    /// Where the page before ended.
    pub cursor: Option<At>,
    /// How many hits at most.
    pub limit: Limit,
}

impl<At: Place> SearchWindow<SearchPlace<At>> {
    /// Judges the parameters of a search.
    ///
    /// # Errors
    ///
    /// Fails with all of them that are at fault.
    pub fn judge(
        query: Query<SearchText>,
        cursor: Query<SearchPlace<At>>,
        limit: Query<HitLimit>,
    ) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let text = query.judge(&mut faults).unwrap_or_default();
        let cursor = cursor.judge(&mut faults);
        let HitLimit(limit) = limit.judge(&mut faults).unwrap_or_default();
        // A blank search pages by number, any other by rank; a cursor of one kind does not fit the other.
        if cursor
            .as_ref()
            .is_some_and(|it| it.rank.is_some() == text.is_blank())
        {
            faults.add(Fault::new("cursor", FROM_NEXT));
        }
        faults.none_or_refuse()?;
        Ok(Self {
            text,
            cursor,
            limit,
        })
    }
}

impl<At: Place> SearchWindow<At> {
    /// The address of the page after `next`, of the search at `path`.
    #[must_use]
    pub fn address(&self, path: &str, next: &At) -> String {
        Address::new(path, self.limit)
            .with("query", self.text.as_str())
            .with("cursor", next.spell())
            .finish()
    }
}

/// An address in the making.
struct Address(form_urlencoded::Serializer<'static, String>);

impl Address {
    fn new(path: &str, limit: Limit) -> Self {
        let start = format!("{path}?");
        let length = start.len();
        let address = form_urlencoded::Serializer::for_suffix(start, length);
        Self(address).with("limit", limit.get())
    }

    fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.0.append_pair(name, &value.to_string());
        self
    }

    fn finish(mut self) -> String {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use chat_core::model::{MessageNumber, Number};

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
    fn the_next_page_begins_behind_the_last_item() {
        let last = Number::try_new(7).unwrap();
        let up = window(None, Some(9), Order::Ascending);
        let address = up.address("/x", &up.range().beyond(last));
        assert_eq!(address, "/x?limit=2&order=asc&after=7&before=9");
        let down = window(Some(3), None, Order::Descending);
        let address = down.address("/x", &down.range().beyond(last));
        assert_eq!(address, "/x?limit=2&order=desc&after=3&before=7");
    }

    #[test]
    fn what_is_searched_for_comes_again_in_the_next_address() {
        let window = SearchWindow::<MessageNumber> {
            text: SearchText::parse("a&b=c #é+").unwrap(),
            cursor: None,
            limit: Limit::try_new(2).unwrap(),
        };
        let next = MessageNumber::try_new(7).unwrap();
        let address = window.address("/x", &next);
        assert_eq!(address, "/x?limit=2&query=a%26b%3Dc+%23%C3%A9%2B&cursor=7");
    }
}
