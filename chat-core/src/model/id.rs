//! Numbers that users see, and ids that they never see.

use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The system's own id of an application.
///
/// It never leaves the system: outside, an application is known by its token.
/// It never changes, and ids rise with the clock, so ordering by id is ordering by age.
/// No id is made twice, even if the database is restored to a time before it was made: what other stores
/// still hold under that id, such as a counter, must not pass to another application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApplicationId(u64);

impl ApplicationId {
    /// How many low bits of an id are random; above them are the microseconds since 1970, until 2112.
    const CHANCE: u32 = 11;

    /// Makes the id of a new application from its creation time, in microseconds, and random bits.
    ///
    /// It is below 2^63, so that every store can hold it in a signed 64-bit column.
    #[must_use]
    pub fn make(created_at: Timestamp, chance: Uid) -> Self {
        let micros =
            u64::try_from(created_at.as_micros()).unwrap_or(0) & (u64::MAX >> (Self::CHANCE + 1));
        let [.., high, low] = chance.to_bytes();
        let chance = u64::from(u16::from_be_bytes([high, low])) & ((1 << Self::CHANCE) - 1);
        Self((micros << Self::CHANCE) | chance)
    }

    /// Wraps an id that the repository gave.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self(id)
    }

    /// The bare id, for adapters.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number within some sequence: 1, 2, 3, …
///
/// At most 2^63 − 1, so that every store can hold it in a signed 64-bit column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Number(NonZeroU64);

/// Why something is not a [`Number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number is a plain integer from 1 to {}", Number::MAX)]
pub struct NumberError;

impl Number {
    /// The first number of every sequence.
    pub const FIRST: Self = Self(NonZeroU64::MIN);
    /// The largest number that a sequence can give.
    pub const MAX: u64 = i64::MAX as u64;
    /// The last number of a sequence, which none ever reaches.
    pub const LAST: Self = match NonZeroU64::new(Self::MAX) {
        Some(last) => Self(last),
        None => Self::FIRST,
    };

    /// Checks a bare number.
    ///
    /// # Errors
    ///
    /// Fails on 0 and above [`Number::MAX`].
    pub fn try_new(number: u64) -> Result<Self, NumberError> {
        match NonZeroU64::new(number) {
            Some(number) if number.get() <= Self::MAX => Ok(Self(number)),
            _ => Err(NumberError),
        }
    }

    /// Reads the one spelling that a number has in a path: decimal digits without sign or leading zero.
    ///
    /// # Errors
    ///
    /// Fails on every other spelling and on what [`Number::try_new`] refuses.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        if !plain {
            return Err(NumberError);
        }
        Self::try_new(text.parse().map_err(|_| NumberError)?)
    }

    /// The bare number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl TryFrom<u64> for Number {
    type Error = NumberError;

    fn try_from(number: u64) -> Result<Self, NumberError> {
        Self::try_new(number)
    }
}

impl From<Number> for u64 {
    fn from(number: Number) -> Self {
        number.get()
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! kind_of_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Number);

        impl $name {
            /// The last number of a sequence, which none ever reaches.
            pub const LAST: Self = Self(Number::LAST);

            /// Checks a bare number.
            ///
            /// # Errors
            ///
            /// As for [`Number::try_new`].
            pub fn try_new(number: u64) -> Result<Self, NumberError> {
                Number::try_new(number).map(Self)
            }

            /// Reads a number from a path.
            ///
            /// # Errors
            ///
            /// As for [`Number::parse`].
            pub fn parse(text: &str) -> Result<Self, NumberError> {
                Number::parse(text).map(Self)
            }

            /// The bare number.
            #[must_use]
            pub fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl From<Number> for $name {
            fn from(number: Number) -> Self {
                Self(number)
            }
        }

        impl From<$name> for Number {
            fn from(number: $name) -> Self {
                number.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

kind_of_number! {
    /// A chat's number within its application.
    ChatNumber
}

kind_of_number! {
    /// A message's number within its chat.
    MessageNumber
}

/// Distinguishes two creations that claim the same number.
///
/// It is made when a creation is accepted and stays with it for good: a redelivery carries the same
/// uid and is harmless; another uid means that the number was given twice, which raises an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(u128);

impl Uid {
    /// Wraps 128 random bits.
    #[must_use]
    pub fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// Reads the 16 bytes that [`Uid::to_bytes`] made.
    ///
    /// # Errors
    ///
    /// Gives `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }

    /// The uid as 16 bytes, for a binary column.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for Uid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_number_has_one_spelling() {
        for wrong in [
            "",
            "0",
            "-1",
            "+1",
            "01",
            " 1",
            "1 ",
            "1.0",
            "abc",
            "18446744073709551616",
        ] {
            assert_eq!(Number::parse(wrong), Err(NumberError), "{wrong:?}");
        }
        assert_eq!(
            Number::parse("9223372036854775807").map(Number::get),
            Ok(Number::MAX)
        );
        assert_eq!(Number::parse("9223372036854775808"), Err(NumberError));
    }

    #[test]
    fn a_uid_survives_its_bytes_and_its_text() {
        let uid = Uid::new(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(Uid::from_bytes(&uid.to_bytes()), Some(uid));
        let text = serde_json::to_string(&uid).unwrap();
        assert_eq!(serde_json::from_str::<Uid>(&text).unwrap(), uid);
    }
}
