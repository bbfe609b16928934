//! Where the server for the tests is.

use std::{
    env,
    io::{self, Write as _},
};

/// The URL of the server; `None` where none is named and none is asked for.
pub(crate) fn server() -> Option<String> {
    setting("CHAT_TEST_RABBITMQ_URL")
}

/// What is said of the server; `None` where it is not said and no server is asked for.
pub(crate) fn setting(name: &str) -> Option<String> {
    if let Ok(value) = env::var(name) {
        return Some(value);
    }
    let required = env::var("CHAT_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name.trim() == "rabbitmq"),
        "CHAT_TEST_REQUIRE asks for rabbitmq, and {name} is not set"
    );
    let _ = writeln!(io::stderr(), "skipped: {name} is not set");
    None
}
