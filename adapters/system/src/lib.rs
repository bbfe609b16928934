//! The machine's own clock and randomness, behind the ports [`Clock`] and [`Tokens`].
//!
//! Everything else in the system is told the time and handed its randomness, so that tests decide
//! both; here is where they come from in earnest.
//!
//! [`Clock`]: chat_core::ports::Clock
//! [`Tokens`]: chat_core::ports::Tokens

mod clock;
mod tokens;

pub use clock::SystemClock;
pub use tokens::SystemTokens;
