//! What is searched for: words of real messages, whole, in part, and with typos.

use chat_core::text::{Word, words};
use chat_system::corpus::Corpus;
use rand::{Rng as _, RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

/// How a query is made from a word of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Whole,
    /// By its beginning.
    Prefix,
    /// By three characters or more that do not start at its beginning.
    Part,
    /// With one or two edits, no more than search forgives in the edited word.
    Typo,
    /// Together with another word of the message.
    Pair,
}

impl Form {
    pub(crate) const ALL: [Self; 5] = [
        Self::Whole,
        Self::Prefix,
        Self::Part,
        Self::Typo,
        Self::Pair,
    ];
}

/// A query, and the message that it was made from.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) query: String,
    /// The chat's place in the corpus.
    pub(crate) chat: usize,
    /// The message's number in its chat.
    pub(crate) number: u64,
}

/// Draws a message, each with the same chance, and makes a query of that form from it.
pub(crate) fn draw(corpus: &Corpus, form: Form, random: &mut StdRng) -> Drawn {
    loop {
        let mut index = random.random_range(0..corpus.messages_count());
        let mut chat = 0;
        while index >= corpus.chats[chat].messages.len() {
            index -= corpus.chats[chat].messages.len();
            chat += 1;
        }
        let words = words(&corpus.chats[chat].messages[index].body);
        if let Some(query) = query(&words, form, random) {
            return Drawn {
                query,
                chat,
                number: index as u64 + 1,
            };
        }
    }
}

fn query(words: &[Word], form: Form, random: &mut StdRng) -> Option<String> {
    let word = words.choose(random)?;
    let letters: Vec<char> = word.as_str().chars().collect();
    let taken = match form {
        Form::Whole => letters,
        Form::Prefix if letters.len() >= 2 => {
            let length = random.random_range(1..letters.len());
            letters[..length].to_vec()
        }
        Form::Part if letters.len() >= 4 => {
            let start = random.random_range(1..=letters.len() - 3);
            let end = random.random_range(start + 3..=letters.len());
            letters[start..end].to_vec()
        }
        Form::Typo => return typo(word, random),
        Form::Pair => {
            let other = words.choose(random).filter(|other| *other != word)?;
            return Some(format!("{} {}", word.as_str(), other.as_str()));
        }
        Form::Prefix | Form::Part => return None,
    };
    Some(taken.into_iter().collect())
}

/// Edits a word once or twice; `None` where search does not forgive that many edits in the result.
fn typo(word: &Word, random: &mut StdRng) -> Option<String> {
    if !word.as_str().chars().all(char::is_alphanumeric) {
        return None;
    }
    let edits = random.random_range(1..=2);
    let mut letters: Vec<char> = word.as_str().chars().collect();
    for _ in 0..edits {
        edit(&mut letters, random)?;
    }
    let asked: String = letters.into_iter().collect();
    // How many edits are forgiven depends on the word of the query, not on that of the message.
    let forgiven = match words(&asked).as_slice() {
        [word] => word.edits(),
        _ => 0,
    };
    (edits <= forgiven && asked != word.as_str()).then_some(asked)
}

/// Replaces, removes, inserts or swaps a letter, but never the first.
fn edit(letters: &mut Vec<char>, random: &mut StdRng) -> Option<()> {
    if letters.len() < 3 {
        return None;
    }
    let at = random.random_range(1..letters.len());
    let letter = char::from(b'a' + u8::try_from(random.next_u32() % 26).ok()?);
    match random.random_range(0..4) {
        0 => letters[at] = letter,
        1 => drop(letters.remove(at)),
        2 => letters.insert(at, letter),
        _ => letters.swap(at.max(2) - 1, at.max(2)),
    }
    Some(())
}
