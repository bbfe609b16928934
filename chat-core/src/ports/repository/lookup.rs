//! The answers to reading and changing things.

use std::collections::BTreeMap;

use crate::model::{Application, ApplicationToken, Number};

/// The answer to the addition of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddApplication {
    /// It was added.
    Added(Application),
    /// Its token or its id exists already; others are needed.
    Taken,
}

/// What a key leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// To a live thing.
    Found(T),
    /// To something deleted, or below something deleted.
    Gone,
    /// To no row; the thing may be pending.
    Absent,
}

impl<T> Lookup<T> {
    /// The live thing, if there is one.
    #[must_use]
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(thing) => Some(thing),
            Self::Gone | Self::Absent => None,
        }
    }

    /// Turns a live thing into something else.
    #[must_use]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(thing) => Lookup::Found(change(thing)),
            Self::Gone => Lookup::Gone,
            Self::Absent => Lookup::Absent,
        }
    }
}

/// How a deletion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// This call deleted it.
    Deleted,
    /// It was deleted before, or lies below something deleted.
    Gone,
    /// There is no row; the thing may be pending.
    Absent,
}

/// The state of what owns a slice's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// It lives.
    Live,
    /// It is deleted, or below something deleted; the slice is empty.
    Gone,
    /// It has no row, or only a place-holder; it may be pending, and the slice may have rows.
    Absent,
}

/// The stored part of a list, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<T> {
    /// The state of what owns the rows.
    pub parent: Parent,
    /// The first live rows of the range, in its order.
    pub rows: Vec<T>,
    /// Of the numbers that were asked for, those that have a row: live, or `None` for a tombstone.
    pub known: BTreeMap<Number, Option<T>>,
}

/// Something of an application, with the application's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokened<T> {
    /// The application's token.
    pub token: ApplicationToken,
    /// The thing.
    pub item: T,
}
