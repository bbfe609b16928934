//! The program `sync`: audits and repairs counts and pending creations.

use std::process::ExitCode;

fn main() -> ExitCode {
    chat_runtime::program::conclude(chat_sync::run())
}
