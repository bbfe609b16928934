//! Faults of a system under load, and what it keeps through them.
//!
//! Each test breaks programs, servers or the paths between them, and ends with the same check: what was
//! answered 201 is stored once, unchanged, under its number (unless the fault itself destroys data), counts and
//! search match the rows, and no 5xx was answered but 503. Each adds a row to the table of `tests/run faults`.
//! They take long: `tests/run` has a quick selection in `live` and `kill`.

mod cluster;
mod disk;
mod elasticsearch;
mod embedded;
mod mariadb;
mod paths;
mod programs;
mod rabbitmq;
mod redis;

use std::{
    env,
    fs::read_to_string,
    hash::{BuildHasher as _, RandomState},
};

use anyhow::{Context as _, Result, ensure};
use chat_system::live::LiveSet;
use rand::{SeedableRng as _, rngs::StdRng};

/// Seeds the randomness of a test; `CHAT_SEED` repeats a run.
fn dice() -> Result<StdRng> {
    let seed = match env::var("CHAT_SEED") {
        Ok(seed) => seed.parse().context("CHAT_SEED is no number")?,
        Err(_) => RandomState::new().hash_one("seed"),
    };
    eprintln!("CHAT_SEED={seed}");
    Ok(StdRng::seed_from_u64(seed))
}

/// Checks that an `api` has logged that numbers leap, since something may have been lost.
fn expect_told(live: &LiveSet) -> Result<()> {
    let mut said = String::new();
    for api in &live.programs.apis {
        said += &read_to_string(api.launch().log()).context("reading a log")?;
    }
    let is_told = |line: &str| {
        line.contains("a run of the counter was admitted") && !line.contains("\"epoch\":1,")
    };
    ensure!(said.lines().any(is_told), "nobody told that numbers leap");
    Ok(())
}
