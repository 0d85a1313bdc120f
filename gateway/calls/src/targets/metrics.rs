//! What is counted of targets. Labels have few values: of the platform's targets the provider, which operators name; of those
//! that tenants set themselves only that they are such.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::TargetName;
use super::breaker::State;

/// The provider of targets that tenants set themselves. No id of a provider has blanks.
const OF_TENANTS: &str = "set by tenants";

/// Targets, by provider and by how they are dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    provider: String,
    state: &'static str,
}

/// The counters of targets. Cheap to clone: all clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct TargetMetrics {
    state: Family<Labels, Gauge>,
    transitions: Family<Labels, Counter>,
}

impl TargetMetrics {
    pub(crate) fn register(&self, gateway: &mut Registry) {
        gateway.register("target_state", "Targets that are not asked as usual, by state", self.state.clone());
        gateway.register("target_transitions", "Changes of targets to a state", self.transitions.clone());
    }

    /// A target went from one state to another.
    pub(super) fn moved(&self, name: &TargetName, from: State, to: State) {
        self.forgotten(name, from);
        if to != State::Closed {
            self.state.get_or_create(&labels(name, to)).inc();
        }
        self.transitions.get_or_create(&labels(name, to)).inc();
    }

    /// A target is no longer in this state.
    pub(super) fn forgotten(&self, name: &TargetName, state: State) {
        if state != State::Closed {
            self.state.get_or_create(&labels(name, state)).dec();
        }
    }
}

fn labels(name: &TargetName, state: State) -> Labels {
    let provider = if name.catalog.is_steward() { name.provider.as_str() } else { OF_TENANTS };
    Labels { provider: provider.to_owned(), state: word(state) }
}

const fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half_open",
    }
}
