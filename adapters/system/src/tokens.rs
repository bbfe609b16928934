//! Randomness that nobody can guess.

use chat_core::{
    model::{ApplicationToken, Uid},
    ports::Tokens,
};
use rand::{RngExt as _, rngs::ThreadRng};

/// Makes tokens and uids from a cryptographic generator that the operating system seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTokens;

#[expect(
    clippy::disallowed_methods,
    reason = "this is the randomness that the others are handed"
)]
fn generator() -> ThreadRng {
    rand::rng()
}

impl Tokens for SystemTokens {
    fn application_token(&self) -> ApplicationToken {
        let mut generator = generator();
        let alphabet = ApplicationToken::ALPHABET;
        let text: String = (0..ApplicationToken::LENGTH)
            .map(|_| char::from(alphabet[generator.random_range(0..alphabet.len())]))
            .collect();
        ApplicationToken::parse(&text).expect("the alphabet makes tokens")
    }

    fn uid(&self) -> Uid {
        Uid::new(generator().random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_the_alphabet_is_as_likely() {
        let mut counts = [0_u32; 128];
        for _ in 0..6_200 {
            for byte in SystemTokens.application_token().as_str().bytes() {
                counts[usize::from(byte)] += 1;
            }
        }
        // 3,200 are expected of each; eight standard deviations off is a fault, not chance.
        for byte in ApplicationToken::ALPHABET {
            let count = counts[usize::from(*byte)];
            assert!(
                (2_750..=3_650).contains(&count),
                "{count} of {}",
                char::from(*byte)
            );
        }
    }

    #[test]
    fn uids_use_all_their_bits() {
        let uids: Vec<[u8; 16]> = (0..200).map(|_| SystemTokens.uid().to_bytes()).collect();
        for byte in 0..16 {
            let or = uids.iter().fold(0, |bits, uid| bits | uid[byte]);
            let and = uids.iter().fold(u8::MAX, |bits, uid| bits & uid[byte]);
            assert_eq!((or, and), (u8::MAX, 0), "byte {byte}");
        }
    }
}
