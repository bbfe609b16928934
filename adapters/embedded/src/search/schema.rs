//! What a document of the index holds.

use chat_core::{
    model::{ApplicationId, ChatKey, MessageKey},
    ports::IndexDocument,
    text::tokens,
};
use tantivy::{
    TantivyDocument, Term,
    schema::{BytesOptions, FAST, Field, INDEXED, NumericOptions, Schema, TextOptions},
};

/// What marks a word that has the same position as the one before it.
const SAME_POSITION: char = '\u{1}';

/// The columns, by name.
pub(super) const WORDS: &str = "words";
pub(super) const APPLICATION: &str = "application";
pub(super) const CHAT_NUMBER: &str = "chat_number";
pub(super) const NUMBER: &str = "number";
pub(super) const CREATED_AT: &str = "created_at";
pub(super) const VERSION: &str = "version";

/// The fields of a document.
#[derive(Clone)]
pub(super) struct Fields {
    pub(super) schema: Schema,
    /// The message's key, to replace it by.
    key: Field,
    /// The chat's key, to search and to remove by; absent on a tombstone.
    chat: Field,
    application: Field,
    chat_number: Field,
    number: Field,
    created_at: Field,
    version: Field,
    /// The words of the body, in order.
    words: Field,
}

impl Fields {
    pub(super) fn new() -> Self {
        let mut builder = Schema::builder();
        let indexed = || BytesOptions::default().set_indexed();
        let column = || NumericOptions::default() | FAST;
        Self {
            key: builder.add_bytes_field("key", indexed()),
            chat: builder.add_bytes_field("chat", indexed()),
            application: builder.add_u64_field(APPLICATION, column() | INDEXED),
            chat_number: builder.add_u64_field(CHAT_NUMBER, column()),
            number: builder.add_u64_field(NUMBER, column()),
            created_at: builder.add_i64_field(CREATED_AT, column()),
            version: builder.add_u64_field(VERSION, column()),
            words: builder.add_text_field(WORDS, TextOptions::default().set_fast("raw")),
            schema: builder.build(),
        }
    }

    /// A message as a document.
    pub(super) fn message(&self, message: &IndexDocument) -> TantivyDocument {
        let IndexDocument {
            key,
            version,
            body,
            created_at,
        } = message;
        let mut document = self.versioned(*key, *version);
        document.add_bytes(self.chat, &chat_bytes(key.chat_key()));
        document.add_u64(self.application, key.application.get());
        document.add_u64(self.chat_number, key.chat.get());
        document.add_u64(self.number, key.message.get());
        document.add_i64(self.created_at, created_at.as_micros());
        let mut position = None;
        for token in tokens(body.as_str()) {
            let word = token.word.as_str();
            if position == Some(token.position) {
                document.add_text(self.words, format!("{SAME_POSITION}{word}"));
            } else {
                document.add_text(self.words, word);
            }
            position = Some(token.position);
        }
        document
    }

    /// What is left of a deleted message: its key and version, so that nothing older comes back.
    pub(super) fn versioned(&self, key: MessageKey, version: u64) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_bytes(self.key, &key_bytes(key));
        document.add_u64(self.version, version);
        document
    }

    pub(super) fn key_term(&self, key: MessageKey) -> Term {
        Term::from_field_bytes(self.key, &key_bytes(key))
    }

    pub(super) fn chat_term(&self, chat: ChatKey) -> Term {
        Term::from_field_bytes(self.chat, &chat_bytes(chat))
    }

    pub(super) fn application_term(&self, application: ApplicationId) -> Term {
        Term::from_field_u64(self.application, application.get())
    }
}

/// Takes the mark off a word, and says whether it has a position of its own.
pub(super) fn unmarked(word: &str) -> (&str, bool) {
    match word.strip_prefix(SAME_POSITION) {
        Some(word) => (word, false),
        None => (word, true),
    }
}

fn chat_bytes(chat: ChatKey) -> [u8; 16] {
    let whole = u128::from(chat.application.get()) << 64 | u128::from(chat.chat.get());
    whole.to_be_bytes()
}

fn key_bytes(key: MessageKey) -> Vec<u8> {
    let mut bytes = chat_bytes(key.chat_key()).to_vec();
    bytes.extend(key.message.get().to_be_bytes());
    bytes
}
