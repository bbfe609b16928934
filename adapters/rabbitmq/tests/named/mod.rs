//! The server for the tests, as the environment names it.

use std::{
    env,
    io::{self, Write as _},
};

/// The URL of the server; `None` if it is unset and `CHAT_TEST_REQUIRE` does not ask for one.
pub(crate) fn server() -> Option<String> {
    setting("CHAT_TEST_RABBITMQ_URL")
}

/// A variable about the server; `None` if it is unset and no server is required.
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
