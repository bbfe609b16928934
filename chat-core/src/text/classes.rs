//! Classes: how well a word of a query matches a word of a text.

use super::{
    Word,
    scripts::{is_letter_or_digit, is_unspaced},
};

/// How well a word matches, the worst class first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The text's word equals the query's but for one or two edits.
    Typo = 1,
    /// The text's word contains the query's.
    Part = 2,
    /// The text's word begins with the query's.
    Prefix = 3,
    /// Both words are equal.
    Exact = 4,
}

impl Class {
    /// How many characters a query's word needs at least to be looked for inside other words.
    pub const SHORTEST_PART: usize = 3;

    /// Tells how well `asked`, a query's word, matches the folded `word`; `None` where it does not.
    #[must_use]
    pub fn of(asked: &Word, word: &str) -> Option<Self> {
        let one = asked.as_str();
        if one == word {
            Some(Self::Exact)
        } else if word.starts_with(one) {
            Some(Self::Prefix)
        } else if has_at_least(one, Self::SHORTEST_PART) && word.contains(one) {
            Some(Self::Part)
        } else if is_typo(asked, word) {
            Some(Self::Typo)
        } else {
            None
        }
    }

    /// The class as a number, from 1 to 4.
    #[must_use]
    pub fn points(self) -> u64 {
        self as u64
    }
}

impl Word {
    /// Says whether it is of a script without spaces.
    #[must_use]
    pub fn is_unspaced(&self) -> bool {
        self.as_str().starts_with(is_unspaced)
    }

    /// How many edits away another word may be and still match this word of a query.
    ///
    /// Typos are tolerated from three letters or digits on, and never in scripts without spaces.
    #[must_use]
    pub fn edits(&self) -> usize {
        if self.is_unspaced() {
            return 0;
        }
        let letters = |character: &char| is_letter_or_digit(*character);
        match self.as_str().chars().filter(letters).take(6).count() {
            0..=2 => 0,
            3..=5 => 1,
            _ => 2,
        }
    }
}

/// Says whether the words differ only by the edits allowed; swapped neighbours are one edit.
///
/// The first letter must be right.
fn is_typo(asked: &Word, word: &str) -> bool {
    let one = asked.as_str();
    // This rules out most words cheaply: an index asks about every word that it holds.
    if one.chars().next() != word.chars().next() {
        return false;
    }
    let edits = asked.edits();
    let length = |word: &str| word.chars().count();
    if edits == 0 || length(one).abs_diff(length(word)) > edits {
        return false;
    }
    let letters = |word: &str| word.chars().collect::<Vec<_>>();
    are_within(&letters(one), &letters(word), edits)
}

/// Says whether at most `edits` edits turn one text into the other (optimal string alignment).
///
/// Edits change, leave out, insert or swap neighbouring letters, none of which is edited twice.
/// With few edits this takes time linear in the lengths, where a table of distances would take their
/// product: words can be as long as bodies.
fn are_within(one: &[char], other: &[char], edits: usize) -> bool {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[same..], &other[same..]);
    let (Some((a, one_rest)), Some((b, other_rest))) = (one.split_first(), other.split_first())
    else {
        return one.len().max(other.len()) <= edits;
    };
    let Some(edits) = edits.checked_sub(1) else {
        return false;
    };
    let swapped = match (one_rest.split_first(), other_rest.split_first()) {
        (Some((next_a, one_tail)), Some((next_b, other_tail))) => {
            a == next_b && b == next_a && are_within(one_tail, other_tail, edits)
        }
        _ => false,
    };
    swapped
        || are_within(one_rest, other_rest, edits)
        || are_within(one_rest, other, edits)
        || are_within(one, other_rest, edits)
}

fn has_at_least(text: &str, characters: usize) -> bool {
    text.chars().nth(characters - 1).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::words, *};

    fn class(asked: &str, word: &str) -> Option<Class> {
        let one = |text: &str| words(text).swap_remove(0);
        Class::of(&one(asked), one(word).as_str())
    }

    #[test]
    fn a_word_matches_in_its_best_class() {
        for (asked, word, wanted) in [
            ("ubuntu", "Ubuntu", Some(Class::Exact)),
            ("ubu", "ubuntu", Some(Class::Prefix)),
            ("u", "ubuntu", Some(Class::Prefix)),
            ("bunt", "ubuntu", Some(Class::Part)),
            ("ntu", "ubuntu", Some(Class::Part)),
            ("bu", "ubuntu", None),
            ("ubuntu", "ubu", None),
            // Three to five letters may have one edit of any kind, longer words two.
            ("cat", "cut", Some(Class::Typo)),
            ("cat", "ct", Some(Class::Typo)),
            ("cat", "chat", Some(Class::Typo)),
            ("cat", "cta", Some(Class::Typo)),
            ("cat", "bat", None),
            ("ca", "ce", None),
            ("linux", "lxinu", None),
            ("kernel", "kernle", Some(Class::Typo)),
            ("kernel", "krenle", Some(Class::Typo)),
            ("kernel", "kenel", Some(Class::Typo)),
            ("kernel", "knl", None),
            ("kernel", "ekrnel", None),
            ("12345", "12346", Some(Class::Typo)),
            ("🚀", "🚀", Some(Class::Exact)),
            ("🚀", "🚂", None),
            ("हिन्दी", "हिन्दि", Some(Class::Typo)),
        ] {
            assert_eq!(class(asked, word), wanted, "{asked} {word}");
        }
    }

    #[test]
    fn there_are_no_typos_where_there_are_no_spaces() {
        let pair = |text: &str| words(text).swap_remove(1);
        assert_eq!(Class::of(&pair("กำลั"), pair("กำลิ").as_str()), None);
        assert_eq!(pair("กำลั").edits(), 0);
        let first = words("ก").swap_remove(0);
        assert_eq!(
            Class::of(&first, words("กิ")[0].as_str()),
            Some(Class::Prefix)
        );
    }

    #[test]
    fn words_as_long_as_bodies_are_compared_at_once() {
        let long = "a".repeat(32_000);
        let word = format!("{long}b{long}");
        let asked = words(&format!("{long}{long}cd")).swap_remove(0);
        for _ in 0..100 {
            assert_eq!(Class::of(&asked, &word), None);
        }
    }

    proptest! {
        #[test]
        fn edits_are_counted_as_by_a_table(one in "[ab]{0,7}", other in "[ab]{0,7}", edits in 0..3_usize) {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            let within = are_within(&letters(&one), &letters(&other), edits);
            prop_assert_eq!(within, strsim::osa_distance(&one, &other) <= edits);
        }

        #[test]
        fn a_word_matches_itself_exactly(text in "\\PC{1,20}") {
            for word in words(&text) {
                prop_assert_eq!(Class::of(&word, word.as_str()), Some(Class::Exact));
            }
        }

        #[test]
        fn one_edit_behind_the_first_letter_is_found(
            word in "[a-z]{3,12}",
            place in 1..12_usize,
            letter in proptest::char::range('a', 'z'),
        ) {
            let place = place.min(word.len() - 1);
            let mut changed: Vec<char> = word.chars().collect();
            changed[place] = letter;
            let changed: String = changed.into_iter().collect();
            prop_assert!(class(&word, &changed).is_some());
        }
    }
}
