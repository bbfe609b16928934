//! What makes a body no JSON, in words of our own.

use std::fmt;

use serde_json::error::Category;

/// Why a body is not JSON.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It breaks JSON's grammar.
    #[error("{}", Place(.0))]
    Syntax(#[from] serde_json::Error),
    /// It is not UTF-8.
    #[error("it is not UTF-8 after byte {}", .0.valid_up_to())]
    Encoding(#[from] std::str::Utf8Error),
    /// An escape names half a character.
    #[error("it holds a surrogate without its other half")]
    LoneSurrogate,
}

/// Where the grammar is broken, without the parser's own wording.
struct Place<'a>(&'a serde_json::Error);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.classify() {
            Category::Eof => "it ends too early, in",
            Category::Io | Category::Syntax | Category::Data => "it is wrong at",
        };
        let (line, column) = (self.0.line(), self.0.column());
        write!(formatter, "{what} line {line}, column {column}")
    }
}

/// Checks what the parser does not look at in values that it skips.
pub(super) fn check_encoding(json: &[u8]) -> Result<&str, Malformed> {
    let json = std::str::from_utf8(json)?;
    if has_lone_surrogate(json) {
        return Err(Malformed::LoneSurrogate);
    }
    Ok(json)
}

/// Says whether an escape names one half of a character without the other.
///
/// The parser finds that in strings that it decodes, not in what it skips.
/// (In JSON a backslash occurs in strings alone, so nothing else has to be parsed here.)
fn has_lone_surrogate(json: &str) -> bool {
    let mut rest = json;
    while let Some((_, escape)) = rest.split_once('\\') {
        rest = match unit(escape) {
            Some(0xD800..=0xDBFF) => {
                let low = escape.get(5..).and_then(|it| it.strip_prefix('\\'));
                match low.and_then(unit) {
                    Some(0xDC00..=0xDFFF) => escape.get(11..).unwrap_or_default(),
                    _ => return true,
                }
            }
            Some(0xDC00..=0xDFFF) => return true,
            // Skip the escaped character: a backslash there does not begin an escape of its own.
            _ => {
                let mut characters = escape.chars();
                characters.next();
                characters.as_str()
            }
        };
    }
    false
}

/// Reads `uXXXX`.
fn unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix('u')?.get(..4)?;
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hexadecimal
        .then(|| u16::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::has_lone_surrogate;

    #[test]
    fn a_surrogate_needs_its_other_half() {
        for lone in [
            r"\ud83d",
            r"\ude00",
            r"\ud83d\ud83d\ude00",
            r"\ud83dx\ude00",
            r"\ud83d\\ude00",
            r"\\\ud83d",
            r"\ud83d\n",
        ] {
            assert!(has_lone_surrogate(lone), "{lone}");
        }
        for whole in [
            r"",
            r"\",
            r"\u",
            r"\u00",
            r"\ud83d\uDE00\u0041\\",
            r"\\ud83d",
            r"\né\u00e9",
        ] {
            assert!(!has_lone_surrogate(whole), "{whole}");
        }
    }
}
