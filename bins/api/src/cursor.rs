//! How places in lists are spelled as cursors, which are opaque to clients.

use chat_core::{
    model::{ApplicationToken, ChatNumber, Cursor, DeadLetterId, MessageNumber, Timestamp},
    service::SearchPlace,
};
use poem_openapi::registry::MetaSchema;

use crate::{
    error::FROM_NEXT,
    query::{Parameter, whole_number},
};

/// A place in a list.
pub trait Place: Sized + Send {
    /// Reads a place; `None` where it is something else.
    fn parse(text: &str) -> Option<Self>;

    /// Spells the place, with characters that need no escaping in a URL.
    fn spell(&self) -> String;
}

impl Place for Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let application = ApplicationToken::parse(parts.next()?)?;
        let chat = parts.next().map(ChatNumber::parse).transpose().ok()?;
        let message = parts.next().map(MessageNumber::parse).transpose().ok()?;
        parts.next().is_none().then_some(Self {
            application,
            chat,
            message,
        })
    }

    fn spell(&self) -> String {
        let chat = self.chat.map(|chat| chat.to_string());
        let message = self.message.map(|message| message.to_string());
        let parts = [Some(self.application.as_str().to_owned()), chat, message];
        parts.into_iter().flatten().collect::<Vec<_>>().join("-")
    }
}

impl Place for MessageNumber {
    fn parse(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }

    fn spell(&self) -> String {
        self.to_string()
    }
}

impl Place for DeadLetterId {
    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::new(text))
    }

    fn spell(&self) -> String {
        self.as_str().to_owned()
    }
}

/// Spelled as the message alone, or as the hit's rank and then the message.
impl<At: Place> Place for SearchPlace<At> {
    fn parse(text: &str) -> Option<Self> {
        let Some((rank, at)) = text.split_once('_') else {
            let at = At::parse(text)?;
            return Some(Self { rank: None, at });
        };
        let (score, micros) = rank.split_once('-')?;
        let micros = i64::try_from(whole_number(micros)?).ok()?;
        Some(Self {
            rank: Some((whole_number(score)?, Timestamp::from_micros(micros))),
            at: At::parse(at)?,
        })
    }

    fn spell(&self) -> String {
        let at = self.at.spell();
        match self.rank {
            Some((score, created_at)) => format!("{score}-{}_{at}", created_at.as_micros()),
            None => at,
        }
    }
}

/// Implements `Parameter` for places.
macro_rules! place_parameter {
    ($([$($at:ident)?] $place:ty),+) => {
        $(impl<$($at: Place)?> Parameter for $place {
            const WANTED: &'static str = FROM_NEXT;

            fn read(text: String) -> Option<Self> {
                Place::parse(&text)
            }

            fn schema() -> MetaSchema {
                MetaSchema::new("string")
            }
        })+
    };
}
place_parameter!([] Cursor, [] DeadLetterId, [At] SearchPlace<At>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let application = ApplicationToken::parse(&"a".repeat(32)).unwrap();
        let chat = ChatNumber::try_new(3).ok();
        let message = MessageNumber::try_new(7).ok();
        for (chat, message) in [(None, None), (chat, None), (chat, message)] {
            let cursor = Cursor {
                application: application.clone(),
                chat,
                message,
            };
            for rank in [None, Some((12, Timestamp::from_micros(34)))] {
                let place = SearchPlace {
                    rank,
                    at: cursor.clone(),
                };
                assert_eq!(SearchPlace::parse(&place.spell()), Some(place));
            }
            assert_eq!(Cursor::parse(&cursor.spell()), Some(cursor));
        }
        let token = application.as_str();
        for wrong in ["", "7", "-", "short-1", "-1-2"] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
        for wrong in ["-", "-0", "-1-", "-1-01", "-1-2-3", "-a", " "] {
            assert_eq!(Cursor::parse(&format!("{token}{wrong}")), None, "{wrong}");
        }
        for wrong in [
            "", "_7", "1_7", "-1_7", "1-_7", "1-2_", "1-2_07", "1-2-3_7", "1--2_7",
        ] {
            assert_eq!(SearchPlace::<MessageNumber>::parse(wrong), None, "{wrong}");
        }
    }
}
