//! The laws, on the operating system's clock and randomness.

use std::sync::Arc;

use chat_adapter_system::{SystemClock, SystemTokens};
use chat_core::{
    contract::{clock_contract, tokens_contract},
    memory::Memory,
    ports::Ports,
};

fn system() -> Ports {
    let clock = Arc::new(SystemClock::default());
    let tokens = Arc::new(SystemTokens);
    Ports {
        clock,
        tokens,
        ..Memory::new().ports()
    }
}

mod clock {
    use super::*;
    clock_contract!(async { Some((system(), ())) });
}

mod tokens {
    use super::*;
    tokens_contract!(async { Some((system(), ())) });
}
