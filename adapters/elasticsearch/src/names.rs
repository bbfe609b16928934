//! The names of indices and aliases.

use crate::error::OpenError;

/// The names of one system, all with its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn try_new(prefix: &str) -> Result<Self, OpenError> {
        let may_stand = |letter: u8| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-_.".contains(&letter)
        };
        let begins = prefix
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_lowercase);
        if !begins || prefix.len() > 100 || !prefix.bytes().all(may_stand) {
            return Err(OpenError::Setting {
                what: "the prefix of the indices",
                wanted: "at most 100 lower-case ASCII letters, digits, `-`, `_` and `.`, beginning \
                         with a letter",
            });
        }
        Ok(Self {
            prefix: prefix.to_owned(),
        })
    }

    /// The name of the index itself, under which it is created, examined and removed, but not written.
    pub(crate) fn index(&self, generation: u64) -> String {
        format!("{}index-{generation}", self.prefix)
    }

    /// The alias that a generation is written through.
    ///
    /// It goes with its index, and unlike an index it is never created by a write.
    pub(crate) fn alias(&self, generation: u64) -> String {
        format!("{}generation-{generation}", self.prefix)
    }

    /// The pattern of all such aliases.
    pub(crate) fn aliases(&self) -> String {
        format!("{}generation-*", self.prefix)
    }

    /// The generation that an alias belongs to.
    pub(crate) fn generation(&self, alias: &str) -> Option<u64> {
        let number = alias
            .strip_prefix(&self.prefix)?
            .strip_prefix("generation-")?;
        let parsed = number.parse().ok()?;
        (self.alias(parsed) == alias).then_some(parsed)
    }

    /// The alias that searches read.
    pub(crate) fn serving(&self) -> String {
        format!("{}serving", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_no_pattern_are_taken() {
        for wrong in [
            "", "Chat-", "-chat", "chat*", "a,b", "a/b", "a b", "é", "1-",
        ] {
            assert!(Names::try_new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_generation_is_known_by_its_alias() {
        let names = Names::try_new("chat-").unwrap();
        assert_eq!(names.generation(&names.alias(7)), Some(7));
        for other in [
            "chat-generation-",
            "chat-generation-07",
            "chat-index-7",
            "generation-7",
        ] {
            assert_eq!(names.generation(other), None, "{other}");
        }
    }
}
