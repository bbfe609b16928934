//! A program's metrics, and how they are written for Prometheus.

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use crate::vitals::Signs;

/// The prefix of every metric's name.
pub const PREFIX: &str = "chat";

/// The content type of the format of `OpenMetrics`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Makes a registry that has the program's version and nothing else yet.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version of this program", version);
    registry
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DependencyLabels {
    dependency: &'static str,
}

/// Adds the health of each dependency as a gauge.
pub fn register_signs(registry: &mut Registry, signs: &Signs) {
    let up = Family::<DependencyLabels, Gauge>::default();
    for (dependency, sign) in signs.named() {
        let labels = DependencyLabels { dependency };
        up.get_or_create(&labels).set(sign.is_ok().into());
    }
    registry.register(
        "dependency_up",
        "Whether a dependency works (1) or not (0)",
        up,
    );
}

/// Encodes both registries: what was counted, and what was gathered for this scrape.
///
/// # Errors
///
/// Fails when a metric cannot be written, which is a bug.
pub fn text(counted: &Registry, gathered: &Registry) -> Result<String, fmt::Error> {
    let mut whole = String::new();
    text::encode_registry(&mut whole, counted)?;
    text::encode_registry(&mut whole, gathered)?;
    text::encode_eof(&mut whole)?;
    Ok(whole)
}

/// Makes a counter and registers it.
pub(crate) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}
