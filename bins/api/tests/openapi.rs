//! The committed document is the one that the handlers make.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

#[test]
fn the_committed_document_is_the_one_of_the_handlers() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let committed = fs::read_to_string(file).unwrap_or_default();
    let made = chat_api::document::json();
    let renew = "cargo run --bin api print-openapi > bins/api/openapi.json";
    for (line, (made, committed)) in made.lines().zip(committed.lines()).enumerate() {
        assert_eq!(
            made,
            committed,
            "line {} differs; renew it by: {renew}",
            line + 1
        );
    }
    assert_eq!(
        made.trim_end(),
        committed.trim_end(),
        "one is longer; renew it by: {renew}"
    );
}

/// A page that shows one problem for all statuses teaches none of them.
#[test]
fn every_response_that_is_a_problem_shows_the_problems_that_it_can_be() {
    let document: Value = serde_json::from_str(&chat_api::document::json()).unwrap();
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|path| path.as_object().unwrap().values());
    let mut shown = BTreeSet::new();
    for operation in operations {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let Some(content) = response["content"].get("application/problem+json") else {
                continue;
            };
            let description = response["description"].as_str().unwrap();
            let told = description.matches("`: ").count();
            let examples = content["examples"].as_object().unwrap();
            assert_eq!(examples.len(), told, "of {description}");
            for (code, example) in examples {
                let place = example["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
                let problem = &document.pointer(place).unwrap()["value"];
                assert_eq!(problem["code"], **code);
                assert_eq!(problem["status"].to_string(), *status);
                shown.insert(code.clone());
            }
        }
    }
    let examples = document["components"]["examples"].as_object().unwrap();
    assert_eq!(shown, examples.keys().cloned().collect());
}
