//! Texts of every script and length: kept byte for byte, or refused.

use anyhow::{Context as _, Result, ensure};
use chat_system::{
    client::Answer,
    operations::{Longest, Operation, Text},
};
use serde_json::Value;

use crate::{Fault, Served, Target, body_with, call_with, writes};

/// Texts that are easily lost or changed on the way.
const ODD: [&str; 40] = [
    "x",
    " x ",
    "\t\r\n x \n",
    "null",
    "true",
    "0",
    "\"",
    "\\",
    "\\u0041",
    "\\\\\"\\/",
    "\u{1}\u{2}\u{1b}\u{7f}",
    "\u{80}\u{9f}",
    "é",
    "e\u{301}",
    "\u{1e9b}\u{323}",
    "ﬁ ﬀ ß ı İ ǅ",
    "👍",
    "👩🏽‍🚀👨‍👩‍👧‍👦🏳️‍🌈",
    "🇩🇪🇫🇷",
    "❤\u{fe0f}❤\u{fe0e}",
    "𝔘𝔫𝔦 𐍈 𝒳 🀄 𠮷",
    "مرحبا",
    "שלום עולם",
    "你好，世界",
    "ไทย ລາວ ខ្មែរ မြန်မာ",
    "नमस्ते",
    "\u{202e}evil\u{202c}",
    "\u{2066}a\u{2069}",
    "a\u{200b}b\u{200c}c\u{200d}d\u{2060}e",
    "\u{feff}a\u{feff}",
    "\u{fffd}",
    "\u{fffe}\u{ffff}",
    "\u{fdd0}\u{10fffe}\u{10ffff}",
    "\u{e000}\u{f8ff}\u{100000}",
    "\u{2028}\u{2029}x",
    "\u{ad}\u{34f}\u{61c}x",
    "Z̷̢̛̘a̸l̴g̵o̶",
    "a\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}",
    "\u{1f1e6}",
    "x\u{85}\u{a0}\u{3000}",
];

/// What is invisible, but not white space.
const INVISIBLE: [&str; 9] = [
    "\u{200b}",
    "\u{2060}",
    "\u{feff}",
    "\u{2800}",
    "\u{180e}",
    "\u{3164}",
    "\u{ad}",
    "\u{1}",
    "\u{e0020}",
];

/// What is white space and nothing else.
const BLANK: [&str; 14] = [
    "",
    " ",
    "\t",
    "\n",
    "\r",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{a0}",
    "\u{1680}",
    "\u{2003}",
    "\u{2028}",
    "\u{3000}",
    " \u{202f}\u{205f}\u{2029} \n",
];

/// Checks what a write has kept: in its answer, in the thing itself, and in the list that has it.
async fn expect_kept(
    target: &mut Target,
    operation: &Operation,
    text: &Text,
    answer: &Answer,
    wanted: &str,
) -> Result<()> {
    let path = match answer.header("location") {
        Some(location) => location.to_owned(),
        None => target.scene.fill(operation.path),
    };
    let written: Value = answer.json()?;
    let read = target.stage.read(&path).await?;
    for (what, thing) in [("answered", &written), ("read", &read)] {
        let kept = thing[text.name].as_str().unwrap_or_default();
        ensure!(
            kept == wanted,
            "{} is {what} as {kept:?}, not {wanted:?}",
            text.name
        );
    }
    if let Some(number) = read["number"].as_u64() {
        let (list, _) = path.rsplit_once('/').context("a list")?;
        let page = format!("{list}?after={}&limit=1", number - 1);
        let listed = target.stage.read(&page).await?;
        let kept = listed["items"][0][text.name].as_str().unwrap_or_default();
        ensure!(
            kept == wanted,
            "{} is listed as {kept:?}, not {wanted:?}",
            text.name
        );
    }
    Ok(())
}

/// Writes a text and checks that it is kept byte for byte.
pub(super) async fn expect_taken(
    target: &mut Target,
    operation: &Operation,
    text: &Text,
    json: &str,
    wanted: &str,
) -> Result<()> {
    let call = call_with(operation, &target.scene, body_with(operation, text, json))?;
    let answer = target.expect(Served, operation, &call).await?;
    expect_kept(target, operation, text, &answer, wanted)
        .await
        .context(call.to_string())
}

#[tokio::test]
async fn every_text_is_kept_byte_for_byte_in_every_field() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in writes() {
        for text in operation.texts {
            for odd in ODD.iter().chain(&INVISIBLE) {
                let json = serde_json::to_string(odd)?;
                expect_taken(&mut target, operation, text, &json, odd).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn escapes_say_the_same_as_the_letters_that_they_stand_for() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in writes() {
        for text in operation.texts {
            for (json, wanted) in [
                (r#""\u0061\u00e9\u4f60""#, "aé你"),
                (r#""\ud83d\ude00""#, "😀"),
                (r#""\uD83D\uDE00\ud83d\ude00""#, "😀😀"),
                (r#""\uDBFF\uDFFF""#, "\u{10ffff}"),
                (r#""\b\f\n\r\t\"\\\/x""#, "\u{8}\u{c}\n\r\t\"\\/x"),
                (r#""\u0001\u001f\u007f""#, "\u{1}\u{1f}\u{7f}"),
                (r#""\\u0000""#, "\\u0000"),
                (r#""\\ud83d""#, "\\ud83d"),
                ("\"\u{7f}\"", "\u{7f}"),
                (r#""\ufeff\ufffe\uffff""#, "\u{feff}\u{fffe}\u{ffff}"),
            ] {
                expect_taken(&mut target, operation, text, json, wanted).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn blank_texts_and_nul_are_faults() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in writes() {
        for text in operation.texts {
            for blank in BLANK {
                let json = serde_json::to_string(blank)?;
                let body = body_with(operation, text, &json);
                let call = call_with(operation, &target.scene, body)?;
                target.expect(Fault(text.name), operation, &call).await?;
            }
            for nul in [
                r#""\u0000""#,
                r#""a\u0000""#,
                r#""\u0000a""#,
                r#""a\u0000b""#,
            ] {
                let body = body_with(operation, text, nul);
                let call = call_with(operation, &target.scene, body)?;
                target.expect(Fault(text.name), operation, &call).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_text_is_as_long_as_it_may_be_and_no_longer() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in writes() {
        for text in operation.texts {
            for letter in ["a", "é", "ß", "你", "🦀", "\u{1}", "\u{301}", "\u{10ffff}"] {
                let most = match text.longest {
                    Longest::Characters(most) => most,
                    Longest::Bytes(most) => most / letter.len(),
                };
                let longest = letter.repeat(most);
                let json = serde_json::to_string(&longest)?;
                expect_taken(&mut target, operation, text, &json, &longest).await?;
                // One letter more, and where bytes are counted, one byte more.
                let mut longer = vec![longest.clone() + letter];
                if let Longest::Bytes(bytes) = text.longest {
                    longer.push(longest.clone() + &"a".repeat(bytes + 1 - longest.len()));
                }
                for longer in longer {
                    let json = serde_json::to_string(&longer)?;
                    let body = body_with(operation, text, &json);
                    let call = call_with(operation, &target.scene, body)?;
                    target.expect(Fault(text.name), operation, &call).await?;
                }
            }
            // Escapes are counted as what they stand for.
            let escaped = match text.longest {
                Longest::Characters(most) => r"\ud83e\udd80".repeat(most),
                Longest::Bytes(most) => r"\ud83e\udd80".repeat(most / 4),
            };
            let wanted = "🦀".repeat(escaped.len() / 12);
            let json = format!("\"{escaped}\"");
            expect_taken(&mut target, operation, text, &json, &wanted).await?;
        }
    }
    target.expect_unharmed().await
}
