//! Which kind a character is of.
//!
//! Most text is ASCII, which is judged without looking into the Unicode tables.

use unicode_properties::{
    GeneralCategory, GeneralCategoryGroup, UnicodeEmoji as _, UnicodeGeneralCategory as _,
};
use unicode_script::{Script, UnicodeScript as _};

/// The scripts that are written without spaces between words.
const UNSPACED: [Script; 8] = [
    Script::Han,
    Script::Hiragana,
    Script::Katakana,
    Script::Hangul,
    Script::Thai,
    Script::Lao,
    Script::Khmer,
    Script::Myanmar,
];

/// The scripts whose marks are accents or vowel signs that writers leave out at will.
const ACCENTED: [Script; 7] = [
    Script::Inherited,
    Script::Latin,
    Script::Greek,
    Script::Cyrillic,
    Script::Arabic,
    Script::Hebrew,
    Script::Syriac,
];

/// Says whether it can be part of a word: a letter, a mark or a decimal digit.
pub(super) fn is_of_words(character: char) -> bool {
    is_letter_or_digit(character) || is_mark(character)
}

/// Says whether it is a letter or a decimal digit.
pub(super) fn is_letter_or_digit(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric();
    }
    character.general_category_group() == GeneralCategoryGroup::Letter
        || character.general_category() == GeneralCategory::DecimalNumber
}

pub(super) fn is_mark(character: char) -> bool {
    !character.is_ascii() && character.general_category_group() == GeneralCategoryGroup::Mark
}

/// Says whether it is a mark that is folded away.
pub(super) fn is_accent(character: char) -> bool {
    // A voicing mark turns a kana into a different letter.
    let is_voicing = matches!(character, '\u{3099}' | '\u{309A}');
    is_mark(character) && !is_voicing && ACCENTED.contains(&character.script())
}

/// Says whether it belongs to a script without spaces.
///
/// A character that several scripts share, such as the prolonged sound mark of kana, belongs to each.
pub(super) fn is_unspaced(character: char) -> bool {
    if character.is_ascii() {
        return false;
    }
    let scripts = character.script_extension();
    UNSPACED.contains(&character.script())
        || (!scripts.is_common()
            && !scripts.is_inherited()
            && UNSPACED
                .iter()
                .any(|script| scripts.contains_script(*script)))
}

/// Says whether an emoji begins with it.
///
/// Digits and letters that can be shown as emoji count as digits and letters.
pub(super) fn begins_emoji(character: char) -> bool {
    !character.is_ascii() && character.is_emoji_char() && !is_letter_or_digit(character)
}

/// Says whether it only changes the look of an emoji: a variation selector or a skin tone.
pub(super) fn is_style_of_emoji(character: char) -> bool {
    matches!(
        character,
        '\u{FE0E}' | '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_say_the_same_of_ascii() {
        for character in '\0'..='\x7F' {
            let group = character.general_category_group();
            let is_digit = character.general_category() == GeneralCategory::DecimalNumber;
            assert_eq!(
                is_letter_or_digit(character),
                group == GeneralCategoryGroup::Letter || is_digit,
                "{character:?}"
            );
            assert_ne!(group, GeneralCategoryGroup::Mark, "{character:?}");
            let scripts = character.script_extension();
            assert!(
                scripts.is_common() || scripts.contains_script(Script::Latin),
                "{character:?}"
            );
        }
    }
}
