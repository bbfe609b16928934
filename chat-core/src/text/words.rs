//! Words: how bodies and queries are cut into them.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    folding::{fold, fold_emoji},
    scripts::{begins_emoji, is_letter_or_digit, is_mark, is_of_words, is_unspaced},
};

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

/// A word at its place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The word.
    pub word: Word,
    /// Its position among the words; those of neighbours differ by one.
    ///
    /// In a script without spaces a character and the pair that begins with it share a position.
    pub position: usize,
    /// Where it stands in the text, in bytes.
    pub span: Range<usize>,
}

/// Cuts a text into its words, in order.
#[must_use]
pub fn words(text: &str) -> Vec<Word> {
    let tokens = tokens(text);
    tokens.into_iter().map(|token| token.word).collect()
}

/// Cuts a text into its words, with their places.
///
/// A word is one emoji, or a run of letters, marks and decimal digits with at least one letter or digit.
/// Runs of scripts that are written without spaces are cut into single characters and overlapping pairs,
/// since only a dictionary could tell where a word ends.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    let mut cutter = Cutter::of(text);
    if text.is_ascii() {
        // Its clusters are single characters, but for line ends, and none is an emoji.
        cutter.take_characters(0, text);
    } else {
        cutter.take_clusters();
    }
    cutter.end()
}

/// A run of characters of one kind.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    is_unspaced: bool,
}

struct Cutter<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    position: usize,
    run: Option<Run>,
}

impl<'a> Cutter<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            text,
            tokens: Vec::new(),
            position: 0,
            run: None,
        }
    }

    /// Takes the whole text, in which each emoji is a word.
    fn take_clusters(&mut self) {
        for (start, cluster) in self.text.grapheme_indices(true) {
            if cluster.chars().next().is_some_and(begins_emoji) {
                self.end_run(start);
                self.add(fold_emoji(cluster), start..start + cluster.len());
                self.position += 1;
            } else {
                self.take_characters(start, cluster);
            }
        }
    }

    /// Takes a part of the text that begins at `start` and has no emoji.
    fn take_characters(&mut self, start: usize, part: &str) {
        for (offset, character) in part.char_indices() {
            self.take(start + offset, character);
        }
    }

    /// Ends the last run, and returns the tokens.
    fn end(mut self) -> Vec<Token> {
        self.end_run(self.text.len());
        self.tokens
    }

    /// Takes the next character, which continues a run, begins one, or ends one.
    fn take(&mut self, start: usize, character: char) {
        if !is_of_words(character) {
            self.end_run(start);
            return;
        }
        // A mark belongs to the run of the character that it stands on.
        let goes_on = is_mark(character) && self.run.is_some();
        let is_unspaced = is_unspaced(character);
        if goes_on || self.run.is_some_and(|run| run.is_unspaced == is_unspaced) {
            return;
        }
        self.end_run(start);
        self.run = Some(Run { start, is_unspaced });
    }

    fn end_run(&mut self, end: usize) {
        let Some(run) = self.run.take() else { return };
        let whole = self.text.get(run.start..end).unwrap_or_default();
        if !whole.contains(is_letter_or_digit) {
            return;
        }
        if run.is_unspaced {
            self.add_pairs(run.start, whole);
        } else if self.add(fold(whole), run.start..end) {
            self.position += 1;
        }
    }

    /// Adds each character of a run, and each pair.
    fn add_pairs(&mut self, start: usize, run: &str) {
        let characters: Vec<(Range<usize>, String)> = run
            .grapheme_indices(true)
            .map(|(offset, cluster)| {
                let start = start + offset;
                (start..start + cluster.len(), fold(cluster))
            })
            .filter(|(_, folded)| !folded.is_empty())
            .collect();
        for (index, (span, folded)) in characters.iter().enumerate() {
            self.add(folded.clone(), span.clone());
            if let Some((next_span, next)) = characters.get(index + 1) {
                self.add(format!("{folded}{next}"), span.start..next_span.end);
            }
            self.position += 1;
        }
    }

    /// Adds a word and returns true, unless folding left nothing of it.
    fn add(&mut self, folded: String, span: Range<usize>) -> bool {
        if folded.is_empty() {
            return false;
        }
        self.tokens.push(Token {
            word: Word(folded),
            position: self.position,
            span,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.0).collect()
    }

    #[test]
    fn texts_of_many_scripts_fall_into_words() {
        let cases: [(&str, &[&str]); 27] = [
            ("", &[]),
            ("*** ... _", &[]),
            ("Hello, world!", &["hello", "world"]),
            (
                "foo_bar don't FooBar",
                &["foo", "bar", "don", "t", "foobar"],
            ),
            ("x² ½ ①", &["x"]),
            ("12:30 3.14", &["12", "30", "3", "14"]),
            (
                "https://example.org/a/b?c=d",
                &["https", "example", "org", "a", "b", "c", "d"],
            ),
            ("fn main() { a+=b; }", &["fn", "main", "a", "b"]),
            ("<ann42> @bob: #rust", &["ann42", "bob", "rust"]),
            ("/etc/apt/sources.list", &["etc", "apt", "sources", "list"]),
            ("naïve Ångström", &["naive", "angstrom"]),
            ("Привет, мир", &["привет", "мир"]),
            ("γειά σου", &["γεια", "σου"]),
            ("السلام عليكم", &["السلام", "عليكم"]),
            ("שלום עולם", &["שלום", "עולם"]),
            ("हिन्दी में", &["हिन्दी", "में"]),
            ("日本語", &["日", "日本", "本", "本語", "語"]),
            (
                "東京タワー",
                &["東", "東京", "京", "京タ", "タ", "タワ", "ワ", "ワー", "ー"],
            ),
            ("한국", &["한", "한국", "국"]),
            ("กำลัง", &["กำ", "กำลั", "ลั", "ลัง", "ง"].map(|it| it)),
            ("Rust入門", &["rust", "入", "入門", "門"]),
            ("第3回", &["第", "3", "回"]),
            ("go 🚀🚀!", &["go", "🚀", "🚀"]),
            ("👍🏽 ❤\u{FE0F}", &["👍", "❤"]),
            (
                "👩\u{200D}👩\u{200D}👧🇩🇪",
                &["👩\u{200D}👩\u{200D}👧", "🇩🇪"],
            ),
            ("1\u{FE0F}\u{20E3} #\u{FE0F}\u{20E3}", &["1"]),
            ("a\u{200D}b \u{301} ـ", &["a", "b"]),
        ];
        for (text, wanted) in cases {
            let wanted: Vec<String> = wanted.iter().map(|word| fold_case(word)).collect();
            assert_eq!(folded(text), wanted, "{text}");
        }
    }

    /// Folds an expected word, which the cases spell as people write it.
    fn fold_case(word: &str) -> String {
        let folded = fold(word);
        if folded.is_empty() {
            word.to_owned()
        } else {
            folded
        }
    }

    #[test]
    fn neighbours_have_positions_that_differ_by_one() {
        let positions = |text: &str| -> Vec<usize> {
            tokens(text).iter().map(|token| token.position).collect()
        };
        assert_eq!(positions("a - b 🚀 c"), [0, 1, 2, 3]);
        assert_eq!(positions("日本語 a"), [0, 0, 1, 1, 2, 3]);
        assert_eq!(positions("a ـ b"), [0, 1]);
    }

    #[test]
    fn a_token_knows_where_it_stands() {
        let text = "Él, 日本 👍🏽";
        let stands: Vec<&str> = tokens(text)
            .iter()
            .map(|token| &text[token.span.clone()])
            .collect();
        assert_eq!(stands, ["Él", "日", "日本", "本", "👍🏽"]);
    }

    proptest! {
        #[test]
        fn tokens_stand_in_order_and_are_folded(text in "\\PC{0,40}") {
            let tokens = tokens(&text);
            for token in &tokens {
                prop_assert!(!token.word.0.is_empty());
                let part = text.get(token.span.clone());
                prop_assert!(part.is_some_and(|part| !part.is_empty()));
            }
            for pair in tokens.windows(2) {
                prop_assert!(pair[0].span.start <= pair[1].span.start);
                prop_assert!(pair[1].position - pair[0].position <= 1);
            }
        }

        #[test]
        fn the_shorter_way_cuts_no_other_tokens(text in "[\\x00-\\x7f]{0,60}") {
            let mut cutter = Cutter::of(&text);
            cutter.take_clusters();
            prop_assert_eq!(tokens(&text), cutter.end());
        }

        #[test]
        fn what_separates_can_be_anything(words in prop::collection::vec("[a-z0-9]{1,6}", 0..6)) {
            let spaced = folded(&words.join(" "));
            prop_assert_eq!(&spaced, &words);
            prop_assert_eq!(folded(&words.join("_-/")), spaced);
        }

        #[test]
        fn case_and_composition_do_not_matter(text in "[a-zA-Zà-öÀ-Ö ]{0,20}") {
            use unicode_normalization::UnicodeNormalization as _;
            prop_assert_eq!(words(&text.to_uppercase()), words(&text));
            prop_assert_eq!(words(&text.nfd().collect::<String>()), words(&text));
        }
    }
}
