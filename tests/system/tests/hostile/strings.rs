//! Injection strings in every place: here they have no special meaning.

use anyhow::{Context as _, Result};
use chat_system::{
    client::{Call, percent_encoded},
    operations::{OPERATIONS, Operation, Scene},
};

use crate::{Fault, NotFound, Served, Target, Unsupported, texts::expect_taken, writes};

/// What would break out of a statement, a query, a template, a path or a shell.
const STRINGS: [&str; 38] = [
    "'",
    "' OR '1'='1",
    "'; DROP TABLE messages; --",
    "\" OR \"\"=\"",
    "1; DELETE FROM chats WHERE 1=1",
    "1 UNION SELECT token, name FROM applications",
    "') ON CONFLICT DO NOTHING; --",
    "%' OR 1=1 --",
    "_%",
    "%",
    "\\",
    "\\'",
    "?1 :name @x $1",
    "{0} %s %n %x",
    "*",
    "?",
    "a*",
    "body:* AND NOT (a OR b)",
    "\"a b\"~2^5 +c -d",
    "[* TO *] {a TO b}",
    "/a.*b/ (.*)+$",
    "{\"match_all\": {}}",
    "{\"$gt\": \"\"}",
    "NEAR(a b) ^ a",
    "FLUSHALL\r\nSET a b",
    "*3\r\n$3\r\nSET\r\n",
    "a\r\nX-Injected: yes\r\n\r\n{}",
    "<script>alert(1)</script>",
    "<em>a</em>&amp;",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "${jndi:ldap://localhost/a}",
    "$(touch /tmp/chat-was-here) `id`",
    "; cat /etc/passwd |",
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "!!js/function >\n  a",
    "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]>",
    "=cmd|' /C calc'!A0",
];

/// Returns the operations with this part in their path.
fn named(part: &str) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS
        .iter()
        .filter(move |operation| operation.path.contains(part))
}

#[tokio::test]
async fn a_field_keeps_them_byte_for_byte() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in writes() {
        for text in operation.texts {
            for string in STRINGS {
                let json = serde_json::to_string(string)?;
                expect_taken(&mut target, operation, text, &json, string).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_path_finds_nothing_by_them() -> Result<()> {
    let mut target = Target::open().await?;
    for string in STRINGS {
        let odd = percent_encoded(string);
        let scene = target.scene.clone();
        let mut token = scene.clone();
        token.application.token.clone_from(&odd);
        let mut longer = scene.clone();
        longer.application.token.push_str(&odd);
        let scenes = [
            ("{token}", token),
            ("{token}", longer),
            (
                "{chat}",
                Scene {
                    chat: odd.clone(),
                    ..scene.clone()
                },
            ),
            (
                "{chat}",
                Scene {
                    chat: format!("1{odd}"),
                    ..scene.clone()
                },
            ),
            (
                "{message}",
                Scene {
                    message: odd.clone(),
                    ..scene.clone()
                },
            ),
            (
                "{message}",
                Scene {
                    message: format!("1{odd}"),
                    ..scene.clone()
                },
            ),
            (
                "{id}",
                Scene {
                    letter: odd.clone(),
                    ..scene
                },
            ),
        ];
        for (part, scene) in &scenes {
            for operation in named(part) {
                let call = operation.call(scene)?;
                target.expect(NotFound, operation, &call).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_parameter_is_told_from_them() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in OPERATIONS.iter().filter(|one| !one.parameters.is_empty()) {
        for string in STRINGS {
            let odd = percent_encoded(string);
            for parameter in operation.parameters {
                // Any text is a valid query, and any text may be the id of a dead letter.
                if *parameter == "query" || operation.path.ends_with("dead-letters") {
                    continue;
                }
                for value in [odd.clone(), format!("1{odd}")] {
                    let path = target.scene.fill(operation.path);
                    let call = Call::get(&format!("{path}?{parameter}={value}"))?;
                    target
                        .expect(Fault(parameter), operation, &call)
                        .await
                        .with_context(|| string.to_owned())?;
                }
            }
            // An unknown parameter with that value, and one with that name.
            let path = target.scene.fill(operation.path);
            for query in [format!("unknown={odd}"), format!("{odd}=1"), odd.clone()] {
                let call = Call::get(&format!("{path}?{query}"))?;
                target.expect(Served, operation, &call).await?;
            }
        }
    }
    target.expect_unharmed().await
}

#[tokio::test]
async fn a_header_is_told_from_them() -> Result<()> {
    let mut target = Target::open().await?;
    for operation in OPERATIONS.iter().filter(|one| one.takes_key) {
        for string in STRINGS
            .iter()
            .filter(|string| !string.contains(['\r', '\n']))
        {
            // As an idempotency key it is valid where all its characters are visible, and good for one request.
            let call = operation.call(&target.scene)?.with_key(string)?;
            if string.contains(' ') {
                target
                    .expect(Fault("Idempotency-Key"), operation, &call)
                    .await?;
            } else {
                let call = Call::with_key(call, format!("{}{string}", operation.path.len()))?;
                let first = target.expect(Served, operation, &call).await?;
                let again = target.expect(Served, operation, &call).await?;
                assert_eq!(again.body, first.body, "{string}");
                assert_eq!(again.header("idempotency-replayed"), Some("true"));
            }
            // As a request id it is sent back where all its characters are visible.
            let call = operation
                .call(&target.scene)?
                .with_header("x-request-id", string)?;
            let answer = target.expect(Served, operation, &call).await?;
            let is_same = answer.header("x-request-id") == Some(string);
            assert_eq!(is_same, !string.contains(' '), "{string}");
            // As a content type it is not supported.
            let call = operation
                .call(&target.scene)?
                .with_header("content-type", string)?;
            target.expect(Unsupported, operation, &call).await?;
            // In headers that are not read here it is ignored.
            let mut call = operation.call(&target.scene)?;
            for name in [
                "accept",
                "authorization",
                "cookie",
                "user-agent",
                "x-unknown",
            ] {
                call = call.with_header(name, string)?;
            }
            target.expect(Served, operation, &call).await?;
        }
    }
    target.expect_unharmed().await
}
