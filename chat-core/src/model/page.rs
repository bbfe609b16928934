//! Pages: how lists are cut, and where the next one starts.

use super::{ApplicationToken, ChatNumber, MessageNumber, Number};

/// How many items a page may have: 1 to 1,000, by default 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u16);

impl Limit {
    /// The most items of a page.
    pub const MAX: u64 = 1_000;

    /// Checks a limit; `None` outside 1 to [`Limit::MAX`].
    #[must_use]
    pub fn try_new(limit: u64) -> Option<Self> {
        let valid = (1..=Self::MAX).contains(&limit);
        valid.then(|| u16::try_from(limit).ok().map(Self)).flatten()
    }

    /// The bare limit.
    #[must_use]
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    /// The limit, or `most` where that is lower.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        u16::try_from(most).map_or(self, |most| Self(self.0.min(most)))
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

/// Which way a list runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Lowest number first.
    #[default]
    Ascending,
    /// Highest number first.
    Descending,
}

/// A run of numbers, both ends included, read in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberRange {
    first: u64,
    last: u64,
    order: Order,
}

impl NumberRange {
    /// All numbers above `after` and below `before`, where given.
    #[must_use]
    pub fn new(after: Option<u64>, before: Option<u64>, order: Order) -> Self {
        let first = after.unwrap_or(0).saturating_add(1);
        let last = before
            .map_or(Number::MAX, |before| before.saturating_sub(1))
            .min(Number::MAX);
        Self { first, last, order }.normal()
    }

    /// Every number of a sequence, lowest first.
    #[must_use]
    pub fn all() -> Self {
        Self::new(None, None, Order::Ascending)
    }

    /// Gives all empty ranges the same bounds, so that every bound fits a signed 64-bit column.
    fn normal(self) -> Self {
        if self.first > self.last {
            Self {
                first: 1,
                last: 0,
                ..self
            }
        } else {
            self
        }
    }

    /// The lowest number of the range.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The highest number of the range.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Which way it is read.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// Says whether no number is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// Says whether `number` is in it.
    #[must_use]
    pub fn contains(&self, number: Number) -> bool {
        (self.first..=self.last).contains(&number.get())
    }

    /// The part up to `highest`.
    #[must_use]
    pub fn up_to(self, highest: u64) -> Self {
        Self {
            last: self.last.min(highest),
            ..self
        }
        .normal()
    }

    /// The part that is still to be read after `number`.
    #[must_use]
    pub fn beyond(self, number: Number) -> Self {
        match self.order {
            Order::Ascending => Self {
                first: self.first.max(number.get() + 1),
                ..self
            },
            Order::Descending => Self {
                last: self.last.min(number.get() - 1),
                ..self
            },
        }
        .normal()
    }

    /// The part that is read up to and including `number`.
    #[must_use]
    pub fn through(self, number: Number) -> Self {
        match self.order {
            Order::Ascending => Self {
                last: self.last.min(number.get()),
                ..self
            },
            Order::Descending => Self {
                first: self.first.max(number.get()),
                ..self
            },
        }
        .normal()
    }
}

/// A page of a list, and what to ask for to get the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<Item, Next> {
    /// The items, in the list's order.
    pub items: Vec<Item>,
    /// Where the next page starts; `None` on the last.
    pub next: Option<Next>,
}

impl<Item, Next> Page<Item, Next> {
    /// Makes a page of items that were fetched up to one beyond `limit`, to see whether more follow.
    #[must_use]
    pub fn cut(mut items: Vec<Item>, limit: Limit, next: impl FnOnce(&Item) -> Next) -> Self {
        let more = items.len() > limit.get();
        items.truncate(limit.get());
        let next = items.last().filter(|_| more).map(next);
        Self { items, next }
    }
}

/// A position in a list across the whole system: the last item read (keyset pagination).
///
/// It names the application by its token, so a cursor reveals nothing that the list does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The application of the last item.
    pub application: ApplicationToken,
    /// Its chat, in lists of chats and messages.
    pub chat: Option<ChatNumber>,
    /// Its message, in lists of messages.
    pub message: Option<MessageNumber>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bounds_mean_the_same_in_both_orders(after: Option<u64>, before: Option<u64>, n in 1..=Number::MAX) {
            let number = Number::try_new(n).unwrap();
            let expected = after.is_none_or(|after| n > after) && before.is_none_or(|before| n < before);
            for order in [Order::Ascending, Order::Descending] {
                prop_assert_eq!(NumberRange::new(after, before, order).contains(number), expected);
            }
        }

        #[test]
        fn a_number_cuts_a_range_in_two(after in 0..50u64, before in 0..50u64, n in 1..50u64, m in 1..50u64) {
            let (n, m) = (Number::try_new(n).unwrap(), Number::try_new(m).unwrap());
            for order in [Order::Ascending, Order::Descending] {
                let range = NumberRange::new(Some(after), Some(before), order);
                let read = range.through(n).contains(m);
                let unread = range.beyond(n).contains(m);
                prop_assert_eq!(range.contains(m), read ^ unread);
                prop_assert!(!(read && unread));
            }
        }
    }
}
