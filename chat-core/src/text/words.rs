//! Words: what bodies and queries fall into, folded so that spelling does not matter.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// One folded word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(String);

impl Word {
    /// The folded characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Cuts a text into its words, in order.
///
/// A word is a run of letters, marks and decimal digits; case, accents and width are folded away.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let folded: String = text
        .nfkd()
        .filter(|character| !is_combining_mark(*character))
        .flat_map(char::to_lowercase)
        .collect();
    folded
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| Word(word.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_width_do_not_matter() {
        let plain = words("cafe foo bar 12");
        assert_eq!(words("Café FOO_bar １２"), plain);
        assert_eq!(words("Cafe\u{301}, foo-bar: 12!"), plain);
    }
}
