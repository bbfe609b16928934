//! An adapter of your own for one port, checked by the port's laws.
//!
//! ```sh
//! cargo test -p chat-core --features contract --example own_adapter
//! ```

use std::{
    error::Error,
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use chat_core::{
    memory::Memory,
    model::{ApplicationToken, Uid},
    ports::{Ports, Tokens},
};

/// Makes tokens that tell when they were made, for a system whose tokens are no secret.
#[derive(Default)]
struct CountedTokens {
    made: AtomicU64,
}

impl CountedTokens {
    fn next(&self) -> u128 {
        // Multiplying by an odd number spreads the count over all digits, and maps no two counts to
        // the same value modulo 2^128.
        const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        u128::from(self.made.fetch_add(1, Ordering::Relaxed) + 1).wrapping_mul(SPREAD)
    }
}

impl Tokens for CountedTokens {
    fn application_token(&self) -> ApplicationToken {
        let mut rest = self.next();
        let alphabet = ApplicationToken::ALPHABET;
        let letters = (0..ApplicationToken::LENGTH).map(|_| {
            let letter = alphabet[usize::try_from(rest % 62).expect("it is below 62")];
            rest /= 16;
            char::from(letter)
        });
        ApplicationToken::parse(&letters.collect::<String>()).expect("the alphabet makes tokens")
    }

    fn uid(&self) -> Uid {
        Uid::new(self.next())
    }
}

/// The other ports come from memory, or from any adapter crate.
fn ports() -> Ports {
    Ports {
        tokens: std::sync::Arc::new(CountedTokens::default()),
        ..Memory::new().ports()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let token = ports().tokens.application_token();
    writeln!(
        std::io::stdout(),
        "a token that anybody could guess: {}",
        token.as_str()
    )?;
    Ok(())
}

#[cfg(test)]
mod laws {
    chat_core::contract::tokens_contract!(async { Some((super::ports(), ())) });
}
