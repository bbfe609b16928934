//! The program `worker`: stores what `api` accepted.

use std::process::ExitCode;

fn main() -> ExitCode {
    chat_runtime::program::conclude(chat_worker::run())
}
