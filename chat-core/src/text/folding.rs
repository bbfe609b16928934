//! Folding: what makes spellings of one word the same.

use unicode_normalization::UnicodeNormalization as _;

use super::scripts::{is_accent, is_of_words, is_style_of_emoji};

/// The Arabic character that only stretches a word.
const TATWEEL: char = '\u{640}';

/// Folds a word: case, accents, width, and the Arabic forms of alef do not matter.
///
/// Composed and decomposed characters give the same result.
/// Characters that cannot be part of a word are left out.
#[must_use]
pub fn fold(word: &str) -> String {
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return word.to_ascii_lowercase();
    }
    fold_all(word)
}

/// Folds any word; [`fold`] has a shortcut for plain ASCII.
fn fold_all(word: &str) -> String {
    word.nfkd()
        .flat_map(fold_case)
        // Folding case can make new accents, such as the dot of a Turkish i.
        .nfkd()
        .filter(|character| is_of_words(*character) && !is_accent(*character))
        .filter(|character| *character != TATWEEL)
        .map(fold_alef)
        .nfc()
        .collect()
}

/// Folds an emoji: skin tone and presentation style do not matter.
pub(super) fn fold_emoji(emoji: &str) -> String {
    let plain: String = emoji
        .chars()
        .filter(|character| !is_style_of_emoji(*character))
        .collect();
    // A skin tone on its own stands for itself.
    if plain.is_empty() {
        emoji.to_owned()
    } else {
        plain
    }
}

/// Folds case by way of upper case, which makes `ß` the same as `ss`, and both small sigmas one.
fn fold_case(character: char) -> impl Iterator<Item = char> {
    character.to_uppercase().flat_map(char::to_lowercase)
}

/// Folds alef wasla; alef with hamza or madda decomposes into alef and an accent, alef wasla does not.
fn fold_alef(character: char) -> char {
    if character == '\u{671}' {
        '\u{627}'
    } else {
        character
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_shorter_way_is_no_other_way(word in "[a-zA-Z0-9]{0,30}") {
            prop_assert_eq!(fold(&word), fold_all(&word));
        }
    }

    #[test]
    fn spellings_of_one_word_are_the_same() {
        for (one, other) in [
            ("Café", "cafe\u{301}"),
            ("café", "CAFE"),
            ("Straße", "STRASSE"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("İstanbul", "istanbul"),
            ("ISPARTA", "ısparta"),
            ("１２ＡＢ", "12ab"),
            ("ﬁn", "fin"),
            ("ёлка", "ЕЛКА"),
            ("Đặng", "đang"),
            ("أحمد", "احمد"),
            ("إسلام", "اسلام"),
            ("آية", "اية"),
            ("ٱلله", "الله"),
            ("كـــتاب", "كتاب"),
            ("كِتَابٌ", "كتاب"),
            ("שָׁלוֹם", "שלום"),
            ("ｶﾞ", "ガ"),
            ("か\u{3099}", "が"),
            ("한", "\u{1112}\u{1161}\u{11AB}"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn other_words_are_others() {
        for (one, other) in [
            ("か", "が"),
            ("हिन्दी", "हन्द"),
            ("กำ", "ก"),
            ("ا", "ب"),
            ("1", "2"),
            ("ø", "o"),
        ] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn the_look_of_an_emoji_does_not_matter() {
        assert_eq!(fold_emoji("👍🏽"), fold_emoji("👍"));
        assert_eq!(fold_emoji("❤\u{FE0F}"), fold_emoji("❤"));
        assert_ne!(fold_emoji("👩\u{200D}🚀"), fold_emoji("👩"));
        assert_eq!(fold_emoji("🏽"), "🏽");
    }

    proptest! {
        #[test]
        fn folding_again_changes_nothing(word in "\\PC{0,12}") {
            let folded = fold(&word);
            prop_assert_eq!(fold(&folded), folded);
        }
    }
}
