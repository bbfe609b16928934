//! The README's table of settings is the one that `api print-settings` prints.

use std::{fs, path::Path};

use chat_runtime::settings::reference::markdown_table;

#[test]
fn the_readme_has_the_table_of_settings() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(readme).expect("README.md stands at the root");
    let table = text
        .split_once("<!-- settings -->")
        .and_then(|(_, rest)| rest.split_once("<!-- /settings -->"))
        .map(|(table, _)| table.trim())
        .expect("README.md marks the table by `<!-- settings -->` and `<!-- /settings -->`");
    let renew = "put what `cargo run --bin api print-settings` prints between the marks";
    assert_eq!(table, markdown_table().trim(), "{renew}");
}
