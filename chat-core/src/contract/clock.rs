//! The laws of [`Clock`](crate::ports::Clock).

use std::time::Duration;

use crate::ports::Ports;

/// Mounts the laws of the clock as tests; see [the module](crate::contract).
#[doc(hidden)]
#[macro_export]
macro_rules! __clock_contract {
    ($maker:expr) => {
        $crate::__laws!(clock, $maker, [never_runs_back, sleeps_at_least,]);
    };
}

/// A later call answers the same moment or a later one.
pub async fn never_runs_back(ports: Ports) {
    let mut last = ports.clock.now();
    for _ in 0..10_000 {
        let now = ports.clock.now();
        assert!(now >= last, "{now} came after {last}");
        last = now;
    }
}

/// After `sleep(d)` at least `d` has passed.
pub async fn sleeps_at_least(ports: Ports) {
    let before = ports.clock.now();
    let nap = Duration::from_millis(20);
    ports.clock.sleep(nap).await;
    assert!(ports.clock.now().since(before) >= nap);
}
