//! Deterministic randomness, for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    model::{ApplicationToken, Uid},
    ports::Tokens,
};

/// Makes the same tokens and uids from the same seed; never use it where tokens must be unguessable.
#[derive(Debug)]
pub struct SeededTokens {
    state: AtomicU64,
}

impl SeededTokens {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    /// The next 64 bits, by `SplitMix64` (Steele, Lea and Flood, 2014).
    fn next(&self) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self
            .state
            .fetch_add(GOLDEN, Ordering::Relaxed)
            .wrapping_add(GOLDEN);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Tokens for SeededTokens {
    fn application_token(&self) -> ApplicationToken {
        let alphabet = ApplicationToken::ALPHABET;
        let text: String = (0..ApplicationToken::LENGTH)
            .map(|_| {
                char::from(alphabet[usize::try_from(self.next() % 62).expect("it is below 62")])
            })
            .collect();
        ApplicationToken::parse(&text).expect("the alphabet makes tokens")
    }

    fn uid(&self) -> Uid {
        Uid::new(u128::from(self.next()) << 64 | u128::from(self.next()))
    }
}
