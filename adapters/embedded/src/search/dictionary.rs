//! The words of a segment, in memory, and how they match a query.

use chat_core::text::{Matched, Terms, Word};
use tantivy::columnar::StrColumn;

use super::schema::unmarked;

/// Every word of a segment, by its number there.
pub(super) struct Dictionary {
    words: String,
    ends: Vec<usize>,
}

impl Dictionary {
    pub(super) fn read(column: &StrColumn) -> tantivy::Result<Self> {
        let (mut words, mut ends) = (String::new(), Vec::new());
        let mut stream = column.dictionary().stream()?;
        while stream.advance() {
            words.push_str(&String::from_utf8_lossy(stream.key()));
            ends.push(words.len());
        }
        words.shrink_to_fit();
        ends.shrink_to_fit();
        Ok(Self { words, ends })
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() + self.ends.len() * size_of::<usize>()
    }

    fn get(&self, number: usize) -> &str {
        let start = number.checked_sub(1).and_then(|it| self.ends.get(it));
        let end = self.ends.get(number).copied().unwrap_or_default();
        let span = start.copied().unwrap_or_default()..end;
        self.words.get(span).unwrap_or_default()
    }
}

/// How the words of a segment match a query; each is judged when it is met first.
pub(super) struct Judged<'a> {
    dictionary: &'a Dictionary,
    terms: &'a Terms,
    /// For each word what is known of it.
    known: Vec<Known>,
    matched: Vec<Matched>,
}

/// What is known of a word.
#[derive(Clone, Copy)]
enum Known {
    Nothing,
    /// Whether it has a position of its own, and where in `matched` it is, if it matches.
    Judged(bool, Option<u32>),
}

impl<'a> Judged<'a> {
    pub(super) fn new(dictionary: &'a Dictionary, terms: &'a Terms) -> Self {
        Self {
            dictionary,
            terms,
            known: vec![Known::Nothing; dictionary.ends.len()],
            matched: Vec::new(),
        }
    }

    /// Tells whether a word has a position of its own, and how it matches.
    pub(super) fn judge(&mut self, number: u64) -> (bool, Option<&Matched>) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let (advances, place) = match self.known.get(number) {
            Some(Known::Judged(advances, place)) => (*advances, *place),
            Some(Known::Nothing) | None => self.look(number),
        };
        let matched = place.and_then(|place| self.matched.get(place as usize));
        (advances, matched)
    }

    fn look(&mut self, number: usize) -> (bool, Option<u32>) {
        let (word, advances) = unmarked(self.dictionary.get(number));
        let matched = self.terms.matched(&Word::from_folded(word));
        let place = matched.and_then(|matched| {
            let place = u32::try_from(self.matched.len()).ok()?;
            self.matched.push(matched);
            Some(place)
        });
        if let Some(known) = self.known.get_mut(number) {
            *known = Known::Judged(advances, place);
        }
        (advances, place)
    }
}
