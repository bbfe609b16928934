//! The committed document is the one that the handlers make.

use std::{fs, path::Path};

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
