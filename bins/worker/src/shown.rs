//! Dead letters in words and as JSON, with what they hold.

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use chat_core::{
    model::ApplicationToken,
    service::{Held, OpenedLetter},
};
use serde::Serialize;

/// How many characters of a text are shown to people.
const SHOWN: usize = 200;

/// A letter as a line of JSON, in the fields of the admin API.
#[derive(Default, Serialize)]
struct Line<'a> {
    id: &'a str,
    reason: &'a str,
    detail: &'a str,
    /// The failure in its own words, which the admin API leaves to the log.
    failure: &'a str,
    kind: Option<&'a str>,
    application_token: Option<&'a str>,
    chat_number: Option<u64>,
    message_number: Option<u64>,
    title: Option<String>,
    sender: Option<String>,
    body: Option<String>,
    unreadable: Option<String>,
    first_failed_at: String,
    last_failed_at: String,
}

/// Writes a letter as one line of JSON.
pub(crate) fn line(opened: &OpenedLetter) -> Result<String> {
    let letter = &opened.letter;
    let mut line = Line {
        id: letter.id.as_str(),
        reason: letter.reason.as_str(),
        detail: letter.reason.sentence(),
        failure: &letter.detail,
        application_token: opened.token.as_ref().map(ApplicationToken::as_str),
        first_failed_at: letter.first_failed_at.to_string(),
        last_failed_at: letter.last_failed_at.to_string(),
        ..Line::default()
    };
    match opened.held() {
        Held::Chat { number, title } => {
            line.kind = Some("chat");
            line.chat_number = Some(number.get());
            line.title = title.map(String::from);
        }
        Held::Message {
            chat,
            number,
            sender,
            body,
        } => {
            line.kind = Some("message");
            line.chat_number = Some(chat.get());
            line.message_number = Some(number.get());
            line.sender = sender.map(String::from);
            line.body = Some(body.into());
        }
        Held::Stored { chat, number } => {
            line.kind = Some("message");
            line.chat_number = Some(chat.get());
            line.message_number = Some(number.get());
        }
        Held::Foreign(payload) => line.unreadable = Some(BASE64_STANDARD.encode(payload)),
        Held::Newer => {}
    }
    serde_json::to_string(&line).context("writing a dead letter as JSON")
}

/// Writes a letter for people: what it is, when and why it failed, and what it holds.
pub(crate) fn paragraph(opened: &OpenedLetter) -> String {
    let letter = &opened.letter;
    let owner = opened.token.as_ref().map_or_else(
        || "an application that is deleted or unknown".to_owned(),
        |token| format!("application {}", token.as_str()),
    );
    let (what, holds) = match opened.held() {
        Held::Chat { number, title } => {
            let title = title.map(|title| format!("title {}", quoted(title.as_str())));
            (format!("chat {number} of {owner}"), title)
        }
        Held::Message {
            chat,
            number,
            sender,
            body,
        } => {
            let body = quoted(body.as_str());
            let holds = match sender {
                Some(sender) => format!("{} says {body}", quoted(sender.as_str())),
                None => format!("says {body}"),
            };
            let what = format!("message {number} of chat {chat} of {owner}");
            (what, Some(holds))
        }
        Held::Stored { chat, number } => {
            let what = format!("message {number} of chat {chat} of {owner}, which is stored");
            (what, None)
        }
        Held::Foreign(payload) => (
            "not an entry of this system".to_owned(),
            Some(raw(&payload)),
        ),
        Held::Newer => ("an entry of a newer version".to_owned(), None),
    };
    let mut text = format!(
        "{} {}: {what}\n    first failed {}, last {}: {}\n    {}",
        letter.id.as_str(),
        letter.reason.as_str(),
        letter.first_failed_at,
        letter.last_failed_at,
        letter.reason.sentence(),
        letter.detail.replace(char::is_control, " "),
    );
    if let Some(holds) = holds {
        text.push_str("\n    ");
        text.push_str(&holds);
    }
    text
}

/// The start of a text, on one line and with everything escaped that could affect a terminal.
fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(SHOWN).collect();
    match characters.count() {
        0 => format!("{shown:?}"),
        more => format!("{shown:?} and {more} characters more"),
    }
}

/// Bytes that are no entry of this system: JSON as it is, text in quotes, and all else in base64.
fn raw(payload: &[u8]) -> String {
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(payload) {
        return json.to_string();
    }
    match str::from_utf8(payload) {
        Ok(text) => quoted(text),
        Err(_) => format!("base64 {}", BASE64_STANDARD.encode(payload)),
    }
}

#[cfg(test)]
mod tests {
    use chat_core::model::{
        DeadLetter, DeadLetterId, DeadLetterReason, Epoch, MessageKey, Number, Timestamp,
    };
    use serde_json::{Value, json};

    use super::*;

    fn foreign(payload: &[u8]) -> OpenedLetter {
        OpenedLetter {
            letter: DeadLetter {
                id: DeadLetterId::new("entry-1"),
                reason: DeadLetterReason::Undecodable,
                detail: "no\tcreation".to_owned(),
                number: None,
                epoch: Epoch::NONE,
                payload: payload.to_vec(),
                first_failed_at: Timestamp::from_micros(0),
                last_failed_at: Timestamp::from_micros(1_000_000),
            },
            creation: None,
            token: None,
        }
    }

    #[test]
    fn what_is_foreign_is_shown_as_what_it_looks_like() {
        for (payload, shown) in [
            (&b"{\"colour\": \"blue\"}"[..], "{\"colour\":\"blue\"}"),
            (b"colour=blue\n\x1b[2J", "\"colour=blue\\n\\u{1b}[2J\""),
            (b"\xff\x00", "base64 /wA="),
        ] {
            let text = paragraph(&foreign(payload));
            assert_eq!(text.lines().last().map(str::trim), Some(shown));
            assert!(text.starts_with("entry-1 undecodable: not an entry of this system\n"));
            assert!(text.contains("first failed 1970-01-01T00:00:00Z, last 1970-01-01T00:00:01Z"));
            assert!(text.contains("no creation"), "{text}");
        }
        let long = paragraph(&foreign("é".repeat(SHOWN + 7).as_bytes()));
        assert!(long.ends_with("é\" and 7 characters more"), "{long}");
    }

    #[test]
    fn a_line_has_the_fields_of_the_admin_api_and_the_failure() {
        let read = |opened: &OpenedLetter| -> Value {
            let line = line(opened).unwrap();
            assert_eq!(line.lines().count(), 1);
            serde_json::from_str(&line).unwrap()
        };
        let wanted = json!({
            "id": "entry-1",
            "reason": "undecodable",
            "detail": "it is not an entry of this system",
            "failure": "no\tcreation",
            "kind": null,
            "application_token": null,
            "chat_number": null,
            "message_number": null,
            "title": null,
            "sender": null,
            "body": null,
            "unreadable": "/w==",
            "first_failed_at": "1970-01-01T00:00:00Z",
            "last_failed_at": "1970-01-01T00:00:01Z",
        });
        assert_eq!(read(&foreign(b"\xff")), wanted);

        // Row ids never leave the system, even where the letter has only a key or is of a newer version.
        let key = MessageKey {
            application: chat_core::model::ApplicationId::new(77),
            chat: Number::FIRST.into(),
            message: Number::FIRST.into(),
        };
        let at = Timestamp::from_micros(0);
        let stored = OpenedLetter {
            letter: DeadLetter::of_message(key, "refused".to_owned(), at),
            ..foreign(b"")
        };
        let mut newer = foreign(b"{\"v\": 9, \"row\": 77}");
        newer.letter.reason = DeadLetterReason::NewerFormat;
        for opened in [stored, newer] {
            let texts = [line(&opened).unwrap(), paragraph(&opened)];
            assert!(!texts.concat().contains("77"), "{texts:?}");
            assert_eq!(read(&opened)["unreadable"], Value::Null);
        }
    }
}
