//! Where the server for the tests is.

use std::{
    env,
    io::{self, Write as _},
};

/// The URL of the server; `None` where none is named and none is asked for.
pub(crate) fn server() -> Option<String> {
    if let Ok(url) = env::var("CHAT_TEST_RABBITMQ_URL") {
        return Some(url);
    }
    let required = env::var("CHAT_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|name| name.trim() == "rabbitmq"),
        "CHAT_TEST_REQUIRE asks for rabbitmq, and CHAT_TEST_RABBITMQ_URL names no server"
    );
    let _ = writeln!(
        io::stderr(),
        "skipped: CHAT_TEST_RABBITMQ_URL names no server"
    );
    None
}
