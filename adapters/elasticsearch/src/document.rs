//! A message as a document of the index.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chat_core::{
    model::{ChatKey, MessageKey},
    ports::IndexDocument,
    text::tokens,
};
use serde::Serialize;

/// What ends each word.
const END: char = ' ';

/// Marks a word that has the same position as the one before it.
const SAME_POSITION: char = '|';

/// What the index stores of a message.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    application: u64,
    chat: String,
    chat_number: u64,
    number: u64,
    created_at: i64,
    /// Each distinct word once, for finding the message.
    words: String,
    /// All words in their order, for ranking it.
    tokens: String,
}

impl Document {
    pub(crate) fn of(message: &IndexDocument) -> Self {
        let (words, tokens) = words(message.body.as_str());
        let MessageKey {
            application,
            chat,
            message: number,
        } = message.key;
        Self {
            application: application.get(),
            chat: chat_name(message.key.chat_key()),
            chat_number: chat.get(),
            number: number.get(),
            created_at: message.created_at.as_micros(),
            words,
            tokens: BASE64_STANDARD.encode(tokens),
        }
    }
}

/// The id of a message's document.
pub(crate) fn id(key: MessageKey) -> String {
    let MessageKey {
        application,
        chat,
        message,
    } = key;
    format!("{application}:{chat}:{message}")
}

/// The name of a chat in the index.
pub(crate) fn chat_name(key: ChatKey) -> String {
    format!("{}:{}", key.application, key.chat)
}

/// Returns the distinct words of a body, and all words in order with marks of their positions.
fn words(body: &str) -> (String, String) {
    let all = tokens(body);
    let (mut different, mut known) = (String::with_capacity(body.len()), BTreeSet::new());
    let mut tokens = String::with_capacity(body.len() + all.len());
    let mut position = None;
    for token in &all {
        let word = token.word.as_str();
        if position == Some(token.position) {
            tokens.push(SAME_POSITION);
        }
        position = Some(token.position);
        tokens.push_str(word);
        tokens.push(END);
        if known.insert(word) {
            different.push_str(word);
            different.push(END);
        }
    }
    (different, tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_in_order_and_tell_their_positions() {
        let (different, tokens) = words("To be, or not to be: 日本語");
        assert_eq!(different, "to be or not 日 日本 本 本語 語 ");
        assert_eq!(tokens, "to be or not to be 日 |日本 本 |本語 語 ");
    }

    #[test]
    fn no_word_holds_what_ends_or_marks_one() {
        for text in ["a|b c", "🚀|🚀 |", "\u{1F469}\u{200D}| x", "ا|ب", "日|本"] {
            for token in tokens(text) {
                let word = token.word.as_str();
                assert!(!word.contains([END, SAME_POSITION]), "{word:?}");
                assert!(!word.chars().any(char::is_whitespace), "{word:?}");
            }
        }
    }
}
