//! Documents to write and to search in.

use std::process::Command;

use chat_core::{
    model::{
        ApplicationId, ChatKey, ChatNumber, Generation, GenerationState, MessageBody, MessageKey,
        MessageNumber, Timestamp,
    },
    ports::{IndexChange, IndexDocument, SearchQuery},
    text::Terms,
};

/// The generation that is written to.
pub(crate) const SERVING: Generation = Generation {
    number: 1,
    state: GenerationState::Serving,
};

pub(crate) fn chat() -> ChatKey {
    ChatKey {
        application: ApplicationId::new(1),
        chat: ChatNumber::try_new(1).unwrap(),
    }
}

pub(crate) fn key(number: u64) -> MessageKey {
    let ChatKey { application, chat } = chat();
    MessageKey {
        application,
        chat,
        message: MessageNumber::try_new(number).unwrap(),
    }
}

pub(crate) fn put(number: u64, version: u64, body: &str) -> IndexChange {
    IndexChange::Put(IndexDocument {
        key: key(number),
        version,
        body: MessageBody::parse(body).unwrap(),
        created_at: Timestamp::from_micros(i64::try_from(number).unwrap()),
    })
}

pub(crate) fn query(text: &str) -> SearchQuery {
    SearchQuery {
        chat: Some(chat()),
        terms: Terms::of(text),
        limit: 100,
        after: None,
    }
}

/// Asks the server itself, behind the adapter's back.
pub(crate) fn ask(url: &str, method: &str, path: &str, body: &str) -> String {
    let url = format!("{url}/{path}");
    let kind = "Content-Type: application/json";
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-X", method, "-H", kind, &url]);
    if !body.is_empty() {
        curl.args(["-d", body]);
    }
    let said = curl.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap()
}
