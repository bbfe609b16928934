//! Counts what became of the messages that were answered 201.

use std::{collections::HashMap, env, fmt, fs::OpenOptions, io::Write as _};

use anyhow::{Context as _, Result, ensure};

use crate::{
    client::Client,
    corpus::{Corpus, CorpusMessage},
    servers::Servers,
    verify::{MessageView, read_pages},
};

/// The variable that names the file to which all tests add their rows.
const TABLE: &str = "CHAT_FAULTS_TABLE";

/// Messages that were answered 201, and where they are now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many were answered.
    pub answered: usize,
    /// How many of them are there under their number, as they were sent.
    pub stored: usize,
    /// How many of them are nowhere.
    pub lost: usize,
    /// How many numbers were given twice: to two answered messages, or to an answered one and another
    /// that is stored in its place.
    pub repeated: usize,
    /// How many are stored under a number that was never answered: the answer was lost, and the message
    /// was sent again.
    pub unanswered: usize,
}

impl Tally {
    /// Builds the tally of a run that stored each answered message once.
    #[must_use]
    pub fn all(answered: usize) -> Self {
        Self {
            answered,
            stored: answered,
            ..Self::default()
        }
    }

    /// Checks that nothing was lost, repeated, or stored beside what was answered.
    ///
    /// # Errors
    ///
    /// Fails with the counts where something was.
    pub fn expect_all(self) -> Result<Self> {
        ensure!(self == Self::all(self.answered), "{self}");
        Ok(self)
    }

    /// Checks that no number was given twice, and that no more was lost than may be.
    ///
    /// # Errors
    ///
    /// Fails with the counts.
    pub fn expect_lost_at_most(self, lost: usize) -> Result<Self> {
        ensure!(self.repeated == 0 && self.lost <= lost, "{self}");
        Ok(self)
    }

    /// Prints it as a row of the fault table, and appends that to the file in `CHAT_FAULTS_TABLE`.
    ///
    /// # Errors
    ///
    /// Fails when that file cannot be written.
    pub fn report(&self, fault: &str) -> Result<()> {
        let Self {
            answered,
            stored,
            lost,
            repeated,
            ..
        } = self;
        let row = format!(
            "| {fault} | {answered} creates | {answered} | {stored} | {lost} | {repeated} |"
        );
        eprintln!("{row}");
        let Some(file) = env::var_os(TABLE) else {
            return Ok(());
        };
        let table = OpenOptions::new().create(true).append(true).open(&file);
        let written = table.and_then(|mut table| writeln!(table, "{row}"));
        written.with_context(|| format!("writing to the file that {TABLE} names"))
    }
}

/// Shows the counts.
impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            answered,
            stored,
            lost,
            repeated,
            unanswered,
        } = self;
        write!(
            formatter,
            "{answered} answered, {stored} stored, {lost} lost, {repeated} repeated, {unanswered} \
             unanswered"
        )
    }
}

/// Reads each chat, given by its number and the numbers of its lines, and counts what is there.
pub(crate) async fn tally<'a>(
    api: impl Into<Servers>,
    application: &str,
    corpus: &Corpus,
    chats: impl Iterator<Item = (&'a u64, &'a Vec<u64>)>,
) -> Result<Tally> {
    let mut client = Client::new(api);
    let mut tally = Tally::default();
    for (chat, (number, numbers)) in corpus.chats.iter().zip(chats) {
        let path = format!("/api/v1/applications/{application}/chats/{number}/messages?limit=1000");
        let there: Vec<MessageView> = read_pages(&mut client, &path).await?;
        tally.add(&chat.messages, numbers, &there);
    }
    Ok(tally)
}

impl Tally {
    fn add(&mut self, lines: &[CorpusMessage], numbers: &[u64], there: &[MessageView]) {
        let answered: HashMap<u64, &CorpusMessage> = numbers.iter().copied().zip(lines).collect();
        self.answered += numbers.len();
        self.repeated += numbers.len() - answered.len();
        let mut found = 0;
        for message in there {
            match answered.get(&(message.number as u64)) {
                None => self.unanswered += 1,
                Some(line)
                    if line.body == message.body
                        && Some(&line.sender) == message.sender.as_ref() =>
                {
                    found += 1;
                }
                Some(_) => self.repeated += 1,
            }
        }
        self.stored += found;
        self.lost += answered.len() - found.min(answered.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bodies: &[&str]) -> Vec<CorpusMessage> {
        let sender = "ada".to_owned();
        let line = |body: &&str| CorpusMessage {
            sender: sender.clone(),
            body: (*body).to_owned(),
        };
        bodies.iter().map(line).collect()
    }

    fn there(messages: &[(usize, &str)]) -> Vec<MessageView> {
        let view = |(number, body): &(usize, &str)| MessageView {
            number: *number,
            sender: Some("ada".to_owned()),
            body: (*body).to_owned(),
        };
        messages.iter().map(view).collect()
    }

    fn count(numbers: &[u64], stored: &[(usize, &str)]) -> Tally {
        let mut tally = Tally::default();
        tally.add(&lines(&["a", "b"]), numbers, &there(stored));
        tally
    }

    #[test]
    fn what_is_there_once_is_stored() {
        let all = count(&[1, 7], &[(1, "a"), (7, "b")]);
        assert_eq!(all.expect_all().unwrap(), Tally::all(2));
    }

    #[test]
    fn what_is_nowhere_is_lost_and_what_nobody_knows_unanswered() {
        let tally = count(&[1, 7], &[(1, "a"), (2, "b")]);
        assert_eq!((tally.stored, tally.lost, tally.unanswered), (1, 1, 1));
        assert!(tally.expect_all().is_err() && tally.expect_lost_at_most(0).is_err());
        assert!(tally.expect_lost_at_most(1).is_ok());
    }

    #[test]
    fn a_number_of_two_is_repeated() {
        let twice = count(&[1, 1], &[(1, "b")]);
        assert_eq!(twice.repeated, 1);
        let replaced = count(&[1, 2], &[(1, "a"), (2, "c")]);
        assert_eq!((replaced.repeated, replaced.lost), (1, 1));
        assert!(replaced.expect_lost_at_most(9).is_err());
    }
}
