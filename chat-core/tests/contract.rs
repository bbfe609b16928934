//! The laws, on the ports in memory.

use std::sync::Arc;

use chat_core::{
    contract::{
        clock_contract,
        counter::{Forget, Forgetful},
        counter_contract, counter_forgetting_contract, queue_contract, repository_contract,
        search_contract, tokens_contract,
    },
    memory::Memory,
    ports::{Ports, SearchIndex},
};

fn memory() -> Ports {
    Memory::new().ports()
}

mod clock {
    use super::*;
    clock_contract!(async { Some((memory(), ())) });
}

mod tokens {
    use super::*;
    tokens_contract!(async { Some((memory(), ())) });
}

mod counter {
    use super::*;
    counter_contract!(async { Some((memory(), ())) });
}

mod counter_with_a_queue_apart {
    use super::*;
    counter_contract!(async { Some((Memory::apart().ports(), ())) });
}

mod counter_that_forgets {
    use super::*;
    counter_forgetting_contract!(async {
        let memory = Memory::new();
        let ports = memory.ports();
        let forget: Forget = Box::new(move |sequence| {
            memory.counter.forget(&sequence);
            Box::pin(std::future::ready(()))
        });
        Some((Forgetful { ports, forget }, ()))
    });
}

mod queue {
    use super::*;
    queue_contract!(async { Some((memory(), ())) });
}

mod repository {
    use super::*;
    repository_contract!(async { Some((memory(), ())) });
}

mod search {
    use super::*;
    search_contract!(async { Some((Memory::new().search as Arc<dyn SearchIndex>, ())) });
}
