//! The words of a segment, in memory, and how they match a query.

use chat_core::text::{Matched, Terms};
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

/// How the words of a segment match a query, each judged when it is first met.
pub(super) struct Judged<'a> {
    dictionary: &'a Dictionary,
    terms: &'a Terms,
    /// What is known of each word.
    known: Vec<Known>,
    matched: Vec<Matched>,
}

/// What is known of a word, in four bytes, since there is one for each word of a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known(u32);

impl Known {
    /// It has not been judged.
    const NOTHING: Self = Self(0);
    const JUDGED: u32 = 1;
    const ADVANCES: u32 = 2;
    /// The shift of the place in `matched`, above the flags; it is stored plus one, 0 for no match.
    const PLACE: u32 = 2;

    fn new(advances: bool, place: Option<usize>) -> Self {
        let place = place.and_then(|place| u32::try_from(place + 1).ok());
        let flags = Self::JUDGED | if advances { Self::ADVANCES } else { 0 };
        Self(place.unwrap_or_default() << Self::PLACE | flags)
    }

    fn advances(self) -> bool {
        self.0 & Self::ADVANCES != 0
    }

    fn place(self) -> Option<usize> {
        (self.0 >> Self::PLACE).checked_sub(1).map(|it| it as usize)
    }
}

impl<'a> Judged<'a> {
    pub(super) fn new(dictionary: &'a Dictionary, terms: &'a Terms) -> Self {
        Self {
            dictionary,
            terms,
            known: vec![Known::NOTHING; dictionary.ends.len()],
            matched: Vec::new(),
        }
    }

    /// Tells whether a word has a position of its own, and how it matches.
    pub(super) fn judge(&mut self, number: u64) -> (bool, Option<&Matched>) {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let known = match self.known.get(number) {
            Some(known) if *known != Known::NOTHING => *known,
            _ => self.look(number),
        };
        let matched = known.place().and_then(|place| self.matched.get(place));
        (known.advances(), matched)
    }

    fn look(&mut self, number: usize) -> Known {
        let (word, advances) = unmarked(self.dictionary.get(number));
        let matched = self.terms.matched(word);
        let place = matched.map(|matched| {
            self.matched.push(matched);
            self.matched.len() - 1
        });
        let judged = Known::new(advances, place);
        if let Some(known) = self.known.get_mut(number) {
            *known = judged;
        }
        judged
    }
}
