//! The program `api`: serves the HTTP API, and on the embedded set does everything else, too.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Requests allocate much and briefly, on every core at once, which this allocator is made for.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    chat_runtime::program::conclude(chat_api::run())
}
