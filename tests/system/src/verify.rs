//! Reads a loaded corpus back page by page and compares it byte for byte.

use std::{collections::HashMap, fmt};

use anyhow::{Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    client::Client,
    corpus::{Corpus, CorpusChat},
    servers::Servers,
};

/// How many differences are kept to be shown; all are counted.
const SHOWN: usize = 10;

/// What was compared, and what differed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many chats were read back.
    pub chats: usize,
    /// How many messages were read back.
    pub messages: usize,
    /// How many bytes of sender and body were compared and the same.
    pub bytes: usize,
    /// How many differences there are.
    pub differences_count: usize,
    /// The first differences.
    pub differences: Vec<String>,
}

impl Verified {
    /// Tells whether everything is as it was sent.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.differences_count == 0
    }

    fn differs(&mut self, place: impl fmt::Display, wanted: impl fmt::Debug, got: impl fmt::Debug) {
        self.differences_count += 1;
        if self.differences.len() < SHOWN {
            self.differences
                .push(format!("{place}:\n  - {wanted:?}\n  + {got:?}"));
        }
    }

    fn compare<T: PartialEq + fmt::Debug>(&mut self, place: impl fmt::Display, wanted: T, got: T) {
        if wanted != got {
            self.differs(place, wanted, got);
        }
    }
}

/// Shows what was compared and the first differences, wanted (`-`) and got (`+`).
impl fmt::Display for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            chats,
            messages,
            bytes,
            ..
        } = self;
        write!(
            formatter,
            "{chats} chats, {messages} messages read back, {bytes} bytes the same, differences: {}",
            self.differences_count
        )?;
        for difference in &self.differences {
            write!(formatter, "\n{difference}")?;
        }
        let hidden = self.differences_count - self.differences.len();
        if hidden > 0 {
            write!(formatter, "\nand {hidden} more")?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct ApplicationView {
    chats_count: usize,
}

#[derive(Deserialize)]
struct ChatView {
    number: usize,
    title: Option<String>,
    messages_count: usize,
}

/// A message as `api` shows it.
#[derive(Deserialize)]
pub(crate) struct MessageView {
    pub(crate) number: usize,
    pub(crate) sender: Option<String>,
    pub(crate) body: String,
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// Compares everything in `application` with the corpus.
///
/// `numbers` are those that the chats got when they were created, where they are still known.
///
/// # Errors
///
/// Fails when something cannot be read; differences are no error, but part of the result.
pub async fn verify(
    api: impl Into<Servers>,
    application: &str,
    corpus: &Corpus,
    numbers: &[u64],
) -> Result<Verified> {
    let mut client = Client::new(api);
    let path = format!("/api/v1/applications/{application}");
    let mut verified = Verified::default();
    let view: ApplicationView = read(&mut client, &path).await?;
    verified.compare("chats_count", corpus.chats.len(), view.chats_count);

    let chats: Vec<ChatView> = read_pages(&mut client, &format!("{path}/chats?limit=1000")).await?;
    verified.chats = chats.len();
    let mut missing: HashMap<&str, (usize, &CorpusChat)> = corpus
        .chats
        .iter()
        .enumerate()
        .map(|(index, chat)| (chat.name.as_str(), (index, chat)))
        .collect();
    for (index, chat) in chats.iter().enumerate() {
        verified.compare(
            format!("number of chat {}", index + 1),
            index + 1,
            chat.number,
        );
        let title = chat.title.as_deref().unwrap_or_default();
        let Some((position, corpus_chat)) = missing.remove(title) else {
            verified.differs(
                format!("chat {}", chat.number),
                "a title of the corpus",
                title,
            );
            continue;
        };
        if let Some(answered) = numbers.get(position) {
            verified.compare(
                format!("number of `{title}`"),
                *answered,
                chat.number as u64,
            );
        }
        let wanted = corpus_chat.messages.len();
        verified.compare(
            format!("messages_count of `{title}`"),
            wanted,
            chat.messages_count,
        );
        let messages = format!("{path}/chats/{}/messages?limit=1000", chat.number);
        let messages = read_pages(&mut client, &messages).await?;
        compare_messages(&mut verified, corpus_chat, &messages);
    }
    for title in missing.keys() {
        verified.differs("chats", title, "no such title");
    }
    Ok(verified)
}

fn compare_messages(verified: &mut Verified, chat: &CorpusChat, messages: &[MessageView]) {
    verified.messages += messages.len();
    verified.compare(
        format!("messages of `{}`", chat.name),
        chat.messages.len(),
        messages.len(),
    );
    for (index, (wanted, got)) in chat.messages.iter().zip(messages).enumerate() {
        let before = verified.differences_count;
        let place = format!("line {} of `{}`", index + 1, chat.name);
        verified.compare(format!("number of {place}"), index + 1, got.number);
        let sender = Some(wanted.sender.as_str());
        verified.compare(format!("sender of {place}"), sender, got.sender.as_deref());
        verified.compare(format!("body of {place}"), &wanted.body, &got.body);
        if verified.differences_count == before {
            verified.bytes += wanted.sender.len() + wanted.body.len();
        }
    }
}

async fn read<T: DeserializeOwned>(client: &mut Client, path: &str) -> Result<T> {
    let answer = client.get(path).await?;
    ensure!(answer.status == 200, "reading `{path}`: {answer}");
    answer.json()
}

/// Reads a list to its end.
pub(crate) async fn read_pages<T: DeserializeOwned>(
    client: &mut Client,
    path: &str,
) -> Result<Vec<T>> {
    let mut items = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page: Page<T> = read(client, &path).await?;
        // A page that leads on without bringing anything would be read for ever.
        let leads_on = page.next.is_none() || !page.items.is_empty();
        ensure!(leads_on, "`{path}` is empty and has a next page");
        items.extend(page.items);
        next = page.next;
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::CorpusMessage;

    fn chat() -> CorpusChat {
        let message = CorpusMessage {
            sender: "ada".to_owned(),
            body: "hi".to_owned(),
        };
        CorpusChat {
            name: "one".to_owned(),
            messages: vec![message],
        }
    }

    fn view(number: usize, body: &str) -> MessageView {
        MessageView {
            number,
            sender: Some("ada".to_owned()),
            body: body.to_owned(),
        }
    }

    #[test]
    fn the_same_has_no_differences() {
        let mut verified = Verified::default();
        compare_messages(&mut verified, &chat(), &[view(1, "hi")]);
        assert!(verified.is_same(), "{verified}");
        assert_eq!(verified.bytes, 5);
    }

    #[test]
    fn another_body_number_or_length_is_shown() {
        for views in [vec![view(1, "hi ")], vec![view(2, "hi")], vec![]] {
            let mut verified = Verified::default();
            compare_messages(&mut verified, &chat(), &views);
            assert_eq!(verified.differences_count, 1, "{verified}");
        }
    }
}
