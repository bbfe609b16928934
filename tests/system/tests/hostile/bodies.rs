//! Bodies of a wrong shape, and what only looks like JSON.

use anyhow::Result;
use chat_system::operations::{Operation, Presence};

use crate::{
    Fault, Invalid, Malformed, Served, Target, body_with, call_with, first_field, forms, writes,
};

/// JSON values that are not strings.
const NO_TEXTS: [&str; 20] = [
    "0",
    "-0",
    "-0.0",
    "5",
    "0.1",
    "1e5",
    "1E+5",
    "1e999",
    "-1e999",
    "1e-999",
    "123456789012345678901234567890123456789012345678901234567890",
    "true",
    "false",
    "[]",
    "[\"x\"]",
    "[[[]]]",
    "{}",
    "{\"name\": \"x\", \"title\": \"x\", \"body\": \"x\"}",
    "{\"$gt\": \"\"}",
    "[null, true, 1e999, {\"a\": []}]",
];

/// What looks like a number, but is none in JSON.
const NO_NUMBERS: [&str; 20] = [
    "01",
    "-01",
    "+1",
    ".5",
    "1.",
    "-",
    "--1",
    "0x10",
    "1e",
    "1e+",
    "1.e5",
    "1_000",
    "1,000",
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "inf",
    "１",
    "1f",
];

/// What looks like a string, but is none in JSON, as it would stand in the body.
const NO_STRINGS: [&[u8]; 27] = [
    b"\"\\ud83d\"",
    b"\"\\udc00\"",
    b"\"\\uDFFFx\"",
    b"\"\\ud83d\\ud83d\"",
    b"\"\\ud83d\\n\"",
    b"\"\\ud83d",
    b"\"\\x41\"",
    b"\"\\u12\"",
    b"\"\\u{41}\"",
    b"\"\\'\"",
    b"\"\\0\"",
    b"\"\\",
    b"\"open",
    b"'single'",
    b"`tick`",
    b"bare",
    b"\"\0\"",
    b"\"\x01\"",
    b"\"line\nbreak\"",
    b"\"tab\tbed\"",
    b"\"\x1b[31m\"",
    b"\"\xff\"",
    b"\"\xc0\x80\"",
    b"\"\xed\xa0\x80\"",
    b"\"\xf0\x9f\x92\"",
    b"\"\xf4\x90\x80\x80\"",
    b"\"\xe9\"",
];

/// Returns a value in `depth` pairs of brackets.
fn nested(depth: usize, open: &str, close: &str) -> String {
    open.repeat(depth) + "1" + &close.repeat(depth)
}

/// Returns the members of a right body, without the braces around them.
fn right_members(operation: &Operation) -> String {
    let right = operation.body.unwrap_or_default();
    right.trim_matches(['{', '}']).to_owned()
}

/// Returns a right body with one more member.
fn with_member(operation: &Operation, member: &[u8]) -> Vec<u8> {
    let right = right_members(operation);
    [b"{", right.as_bytes(), b", ", member, b"}"].concat()
}

#[tokio::test]
async fn what_is_no_text_is_a_fault_of_its_field() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in writes() {
        for text in operation.texts {
            for value in NO_TEXTS {
                let call = call_with(operation, &target.scene, body_with(operation, text, value))?;
                target.expect(Fault(text.name), operation, &call).await?;
            }
            let verdict = match text.presence {
                Presence::Required => Fault(text.name),
                Presence::Clearable | Presence::Optional => Served,
            };
            let call = call_with(operation, &target.scene, body_with(operation, text, "null"))?;
            target.expect(verdict, operation, &call).await?;
        }
    }
    for operation in forms() {
        for value in NO_TEXTS {
            let member = format!("\"unknown\": {value}");
            let body = with_member(operation, member.as_bytes());
            let call = call_with(operation, &target.scene, body)?;
            target.expect(Fault("unknown"), operation, &call).await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_is_no_object_is_invalid() -> Result<()> {
    let mut target = Target::open().await?;
    let deep = [10, 1_000, 100_000].map(|depth| nested(depth, "[", "]"));
    for operation in forms() {
        let mut bodies: Vec<&str> = NO_TEXTS
            .iter()
            .copied()
            .filter(|text| !text.starts_with('{'))
            .collect();
        bodies.extend([
            "null",
            "\"\"",
            "\"{}\"",
            "[{}]",
            "[{\"name\": \"a\"}, {}]",
            " \r\n\t5 ",
        ]);
        bodies.extend(deep.iter().map(String::as_str));
        for body in bodies {
            let call = call_with(operation, &target.scene, body)?;
            target.expect(Invalid, operation, &call).await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn depth_makes_no_difference() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let known = first_field(operation);
        for (depth, open, close) in [
            (10, "[", "]"),
            (1_000, "[", "]"),
            (100_000, "[", "]"),
            (10, "{\"\":", "}"),
            (1_000, "{\"\":", "}"),
            (40_000, "{\"\":", "}"),
            (1_000, "[{\"a\":", "}]"),
        ] {
            let deep = nested(depth, open, close);
            for (body, verdict) in [
                (
                    format!("{{\"{known}\": {deep}}}").into_bytes(),
                    Fault(known),
                ),
                (
                    with_member(operation, format!("\"unknown\": {deep}").as_bytes()),
                    Fault("unknown"),
                ),
                // The closing brackets are missing, or the last is of the wrong kind.
                (format!("{{\"{known}\": {deep}").into_bytes(), Malformed),
                (
                    format!("{{\"unknown\": {}", open.repeat(depth)).into_bytes(),
                    Malformed,
                ),
                (format!("{{\"{known}\": {deep}]").into_bytes(), Malformed),
            ] {
                let call = call_with(operation, &target.scene, body)?;
                target.expect(verdict, operation, &call).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_only_looks_like_json_is_malformed() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let (right, field) = (right_members(operation), first_field(operation));
        let mut bodies: Vec<Vec<u8>> = [
            "{@} x",
            "{@}{@}",
            "{@},",
            "{@,}",
            "{,@}",
            "{@,,\"a\": 1}",
            "[@]",
            "{@",
            "@",
            "@}",
            "{{@}}",
            "{@}}",
            "{@]",
            "({@})",
            "/* a */ {@}",
            "{@} // a",
            "{@ /* a */}",
            "{@} # a",
            "{'?': 'a'}",
            "{?: \"a\"}",
            "{\"?\": a}",
            "{\"?\" \"a\"}",
            "{\"?\":: \"a\"}",
            "{\"?\"}",
            "{\"?\":}",
            "{\"?\": \"a\" \"b\"}",
            "{\"?\": \"a\", 5}",
            "{5: \"a\"}",
            "{null: 1}",
            "{\"?\": undefined}",
            "{\"?\": None}",
            "{\"?\": True}",
            "{\"?\": nul}",
            "{\"?\": nulll}",
            "nul",
            "tru",
            "True",
            "undefined",
            "NaN",
            " ",
            "\r\n\t ",
            ",",
            ":",
            "\"",
            "\\",
            "<a/>",
            "?=a",
            "--a\r\n",
            "\u{feff}{@}",
            "{@}\u{feff}",
            "{\u{a0}@}",
            "{\u{b}@}",
            "{\u{c}@}",
            "\0",
            "{@}\0",
            "{\0@}",
            "\u{2028}{@}",
        ]
        .iter()
        .map(|form| {
            let body = form.replace('@', &right).replace('?', field);
            body.into_bytes()
        })
        .collect();
        let utf16 = || format!("{{{right}}}").encode_utf16().collect::<Vec<u16>>();
        bodies.push(utf16().into_iter().flat_map(u16::to_le_bytes).collect());
        bodies.push(utf16().into_iter().flat_map(u16::to_be_bytes).collect());
        bodies.push([b"\xff\xfe".as_slice(), right.as_bytes()].concat());
        for body in bodies {
            let call = call_with(operation, &target.scene, body)?;
            target.expect(Malformed, operation, &call).await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_is_no_string_or_number_is_malformed_wherever_it_stands() -> Result<()> {
    let mut target = Target::open().await?;
    let numbers = NO_NUMBERS.iter().map(|number| number.as_bytes());
    let wrong: Vec<&[u8]> = NO_STRINGS.into_iter().chain(numbers).collect();
    for operation in forms() {
        let known = first_field(operation);
        for value in &wrong {
            for (before, after) in [
                (format!("\"{known}\": "), ""),
                ("\"unknown\": ".to_owned(), ""),
                ("\"unknown\": [1, ".to_owned(), "]"),
                ("\"unknown\": {\"a\": ".to_owned(), "}"),
                ("\"unknown\": {".to_owned(), ": 1}"),
                (String::new(), ": \"a\""),
            ] {
                let member = [before.as_bytes(), value, after.as_bytes()].concat();
                // Also beside a field that is at fault itself: malformed JSON is reported first.
                for body in [
                    [b"{", &*member, b"}"].concat(),
                    [b"{\"unknown\": 5, ", &*member, b"}"].concat(),
                    [b"{", &*member, b", \"unknown\": 5}"].concat(),
                ] {
                    let call = call_with(operation, &target.scene, body)?;
                    target.expect(Malformed, operation, &call).await?;
                }
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_field_that_is_given_twice_is_a_fault() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let field = first_field(operation);
        let (start, end) = field.split_at(1);
        let escaped = format!("\\u{:04x}{end}", u32::from(start.as_bytes()[0]));
        for body in [
            format!("{{\"{field}\": \"a\", \"{field}\": \"b\"}}"),
            format!("{{\"{field}\": \"a\", \"{field}\": \"a\"}}"),
            format!("{{\"{field}\": null, \"{field}\": \"a\"}}"),
            format!("{{\"{field}\": \"a\", \"{field}\": null}}"),
            format!("{{\"{field}\": \"a\", \"{escaped}\": \"b\"}}"),
            format!(
                "{{{}}}",
                vec![format!("\"{field}\": \"a\""); 5_000].join(",")
            ),
        ] {
            let call = call_with(operation, &target.scene, body)?;
            target.expect(Fault(field), operation, &call).await?;
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_field_that_nobody_knows_is_a_fault_whatever_it_is_called() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        for name in [
            "",
            " ",
            "unknown",
            "__proto__",
            "constructor",
            "$where",
            "a.b",
            "a\u{0}",
            "é",
            "👍",
            "\u{202e}eman",
            "' OR '1'='1",
            "id",
            "application_id",
            "deleted_at",
        ] {
            let key = serde_json::to_string(name)?;
            let body = with_member(operation, format!("{key}: \"a\"").as_bytes());
            let call = call_with(operation, &target.scene, body)?;
            target.expect(Fault(name), operation, &call).await?;
        }
        // Names are compared exactly: case, spaces and NUL make another name.
        let field = first_field(operation);
        for name in [
            field.to_uppercase(),
            format!(" {field}"),
            format!("{field}\u{0}"),
        ] {
            let key = serde_json::to_string(&name)?;
            let call = call_with(operation, &target.scene, format!("{{{key}: \"a\"}}"))?;
            target.expect(Invalid, operation, &call).await?;
        }
        let many: Vec<String> = (0..9_000)
            .map(|index| format!("\"unknown{index}\":1"))
            .collect();
        for body in [
            format!("{{\"{}\": 1}}", "long".repeat(50_000)),
            format!("{{\"{}\": 1}}", "👍".repeat(50_000)),
            format!("{{{}}}", many.join(",")),
        ] {
            let call = call_with(operation, &target.scene, body)?;
            let answer = target.expect(Invalid, operation, &call).await?;
            // How much of the request is repeated in the answer is bounded.
            assert!(
                answer.body.len() < 64 * 1_024,
                "{} bytes",
                answer.body.len()
            );
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn what_may_be_empty_may_be_empty_alone() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in forms() {
        let verdict = if operation.may_be_empty() {
            Served
        } else {
            Malformed
        };
        let call = call_with(operation, &target.scene, "")?;
        target.expect(verdict, operation, &call).await?;
    }
    target.expect_unharmed().await
}
