//! Rank: which message comes first.

use std::collections::BTreeSet;

use super::{Class, Token, Word, tokens};

/// A word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The word.
    pub word: Word,
    /// Its position among the words of the query.
    pub position: usize,
}

/// The words of a query that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms(Vec<Term>);

/// How well a message matches, comparable within one query: the higher the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// The class of the word that matches worst.
    pub worst: Class,
    /// The sum of the classes of all words.
    pub sum: u64,
    /// Whether all words of the query stand next to each other, in its order.
    pub is_phrase: bool,
    /// How many words of the message match, up to [`Rank::MOST_MATCHES`].
    pub matches: u64,
}

impl Rank {
    /// How many matching words make a difference.
    pub const MOST_MATCHES: u64 = 15;

    /// The rank as one number in the same order, above 0 and below 2^24, so that a 32-bit float holds it.
    #[must_use]
    pub fn score(&self) -> u64 {
        let sums = Terms::MOST as u64 * Class::Exact.points() + 1;
        let classes = self.worst.points() * sums + self.sum;
        (classes * 2 + u64::from(self.is_phrase)) * (Self::MOST_MATCHES + 1) + self.matches
    }
}

impl Terms {
    /// How many different words of a query count; the rest is ignored.
    pub const MOST: usize = 16;

    /// Takes the first [`Terms::MOST`] different words of a query.
    #[must_use]
    pub fn of(query: &str) -> Self {
        let mut known = BTreeSet::new();
        let terms = tokens(query)
            .into_iter()
            .filter(|token| known.insert(token.word.clone()))
            .map(|Token { word, position, .. }| Term { word, position })
            .take(Self::MOST);
        Self(terms.collect())
    }

    /// The words, in the order of the query.
    #[must_use]
    pub fn as_slice(&self) -> &[Term] {
        &self.0
    }

    /// Says whether there is nothing to search for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ranks a body; `None` where some word matches nowhere in it.
    #[must_use]
    pub fn rank(&self, body: &str) -> Option<Rank> {
        self.rank_tokens(&tokens(body))
    }

    /// Ranks a body that is cut into its words already.
    #[must_use]
    pub fn rank_tokens(&self, body: &[Token]) -> Option<Rank> {
        let mut ranking = Ranking::new(self);
        for token in body {
            if let Some(matched) = self.matched(token.word.as_str()) {
                ranking.note(token.position, &matched);
            }
        }
        ranking.finish()
    }

    /// Tells which terms a folded word of a body matches; `None` where it matches none.
    #[must_use]
    pub fn matched(&self, word: &str) -> Option<Matched> {
        let mut matched = Matched {
            classes: [None; Self::MOST],
            mask: 0,
        };
        for (index, (term, class)) in self.0.iter().zip(&mut matched.classes).enumerate() {
            *class = Class::of(&term.word, word);
            matched.mask |= u16::from(class.is_some()) << index;
        }
        (matched.mask != 0).then_some(matched)
    }
}

/// How a word of a body matches the words of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    classes: [Option<Class>; Terms::MOST],
    /// One bit for each term that it matches.
    mask: u16,
}

/// Ranks bodies, one after the other, by those of their words that match.
#[derive(Debug)]
pub struct Ranking<'a> {
    terms: &'a Terms,
    best: [Option<Class>; Terms::MOST],
    /// Where terms match: ascending positions, with one bit for each term that matches there.
    places: Vec<(usize, u16)>,
    matches: u64,
}

impl<'a> Ranking<'a> {
    /// Begins to rank by these words.
    #[must_use]
    pub fn new(terms: &'a Terms) -> Self {
        Self {
            terms,
            best: [None; Terms::MOST],
            places: Vec::new(),
            matches: 0,
        }
    }

    /// Notes the next word of the body that matches; positions must not decrease.
    pub fn note(&mut self, position: usize, matched: &Matched) {
        for (best, class) in self.best.iter_mut().zip(matched.classes) {
            *best = (*best).max(class);
        }
        match self.places.last_mut() {
            Some((last, mask)) if *last == position => *mask |= matched.mask,
            _ => self.places.push((position, matched.mask)),
        }
        self.matches += 1;
    }

    /// Returns the rank of the body, and starts over for the next; `None` where some term matches nowhere.
    pub fn finish(&mut self) -> Option<Rank> {
        let rank = self.rank();
        self.best = [None; Terms::MOST];
        self.places.clear();
        self.matches = 0;
        rank
    }

    fn rank(&self) -> Option<Rank> {
        let count = self.terms.0.len();
        let (mut worst, mut sum) = (Class::Exact, 0);
        for class in self.best.iter().take(count) {
            let class = (*class)?;
            worst = worst.min(class);
            sum += class.points();
        }
        (count > 0).then(|| Rank {
            worst,
            sum,
            is_phrase: self.stand_together(),
            matches: self.matches.min(Rank::MOST_MATCHES),
        })
    }

    /// Says whether the words match next to each other somewhere, in the order of the query.
    fn stand_together(&self) -> bool {
        let first = self.terms.0.first().map_or(0, |term| term.position);
        let matches_at = |position: usize, index: usize| {
            let place = self.places.binary_search_by_key(&position, |place| place.0);
            let mask = place.ok().and_then(|place| self.places.get(place));
            mask.is_some_and(|(_, mask)| mask & (1 << index) != 0)
        };
        self.places.iter().any(|(start, mask)| {
            let mut terms = self.terms.0.iter().enumerate();
            mask & 1 != 0
                && terms.all(|(index, term)| matches_at(start + term.position - first, index))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(query: &str, body: &str) -> Option<u64> {
        Terms::of(query).rank(body).map(|rank| rank.score())
    }

    #[test]
    fn the_better_body_has_the_higher_score() {
        for (query, better, worse) in [
            // The worst word decides, then all words.
            ("red car", "redder car", "red cap"),
            ("red car", "red car", "red cars"),
            ("red car", "red cars", "redder cars"),
            // Then words next to each other in the query's order.
            ("red car", "my red car", "a car so red"),
            ("red car", "red car", "red old car car car"),
            ("日本", "日本と日本", "日本"),
            // Then how many words match.
            ("car", "car car", "car"),
            ("car", "car cars", "car"),
        ] {
            assert!(
                score(query, better) > score(query, worse),
                "{query}: {better} / {worse}"
            );
            assert!(score(query, worse).is_some(), "{query}: {worse}");
        }
    }

    #[test]
    fn every_word_must_match() {
        assert_eq!(score("red car", "red bus"), None);
        assert_eq!(score("red", ""), None);
        assert_eq!(score("***", "***"), None);
    }

    #[test]
    fn matches_beyond_the_fifteenth_make_no_difference() {
        assert_eq!(score("a", &"a ".repeat(15)), score("a", &"a ".repeat(99)));
        assert!(score("a", &"a ".repeat(15)) > score("a", &"a ".repeat(14)));
    }

    #[test]
    fn sixteen_different_words_count() {
        let many: Vec<String> = (10..40)
            .map(|number| format!("{number} {number}"))
            .collect();
        let terms = Terms::of(&many.join(" "));
        let words: Vec<&str> = terms.0.iter().map(|term| term.word.as_str()).collect();
        assert_eq!(words.len(), Terms::MOST);
        assert_eq!((words[0], words[15]), ("10", "25"));
    }

    #[test]
    fn a_score_fits_a_float() {
        let highest = Rank {
            worst: Class::Exact,
            sum: 64,
            is_phrase: true,
            matches: 15,
        };
        assert!(highest.score() < 1 << 24);
    }

    proptest! {
        #[test]
        fn scores_are_in_the_order_of_ranks(one in ranks(), other in ranks()) {
            prop_assert_eq!(one.cmp(&other), one.score().cmp(&other.score()));
            prop_assert!(one.score() > 0);
        }

        #[test]
        fn a_body_is_found_by_itself(body in "\\PC{1,30}") {
            let terms = Terms::of(&body);
            prop_assume!(!terms.is_empty());
            let rank = terms.rank(&body).expect("it is found");
            prop_assert_eq!(rank.worst, Class::Exact);
            prop_assert!(rank.is_phrase);
        }
    }

    fn ranks() -> impl Strategy<Value = Rank> {
        let classes = [Class::Typo, Class::Part, Class::Prefix, Class::Exact];
        let worst = prop::sample::select(classes.to_vec());
        (worst, 1..=64_u64, any::<bool>(), 1..=15_u64).prop_map(
            |(worst, sum, is_phrase, matches)| Rank {
                worst,
                sum,
                is_phrase,
                matches,
            },
        )
    }
}
