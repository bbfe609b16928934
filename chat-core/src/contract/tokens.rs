//! The laws of [`Tokens`](crate::ports::Tokens).

use std::collections::{BTreeSet, HashSet};

use crate::ports::Ports;

/// Mounts the laws of the tokens as tests; see [the module](crate::contract).
#[doc(hidden)]
#[macro_export]
macro_rules! __tokens_contract {
    ($maker:expr) => {
        $crate::__laws!(
            tokens,
            $maker,
            [tokens_use_the_whole_alphabet, tokens_and_uids_differ,]
        );
    };
}

/// Every letter and digit turns up, so 32 of them hold 190 bits.
pub async fn tokens_use_the_whole_alphabet(ports: Ports) {
    // A character that is as likely as the others is missing from 32,000 with odds of e^-516.
    let seen: BTreeSet<u8> = (0..1_000)
        .flat_map(|_| {
            ports
                .tokens
                .application_token()
                .as_str()
                .bytes()
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(seen.len(), 62);
}

/// No two of many are the same.
pub async fn tokens_and_uids_differ(ports: Ports) {
    let tokens: HashSet<_> = (0..10_000)
        .map(|_| ports.tokens.application_token())
        .collect();
    let uids: HashSet<_> = (0..10_000).map(|_| ports.tokens.uid()).collect();
    assert_eq!((tokens.len(), uids.len()), (10_000, 10_000));
}
