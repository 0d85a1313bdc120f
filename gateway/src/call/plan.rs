//! Where a call may go and what it can cost there: the catalogs as they are now, and the price pinned.

use std::time::Duration;

use steward_aggregates::catalog::Provider;
use steward_events::event::{PriceVersion, Target};
use steward_events::id::TenantId;
use steward_events::shard::STEWARD_SHARD;

use super::estimate::Estimate;
use crate::auth::Known;
use crate::error::Error;
use crate::gateway::Edge;
use crate::openai::ChatRequest;

/// How old the catalogs may be where they would refuse a call.
const CATALOG_AGE_MAX: Duration = Duration::from_millis(200);

/// Where a call may go, and for how much.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The targets, in the order to try; at least one.
    pub(super) targets: Vec<Place>,
    /// What it can cost.
    pub(super) estimate: Estimate,
    /// At which price.
    pub(super) price: PriceVersion,
}

/// One place where a call may go.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The provider, and the model's name there.
    pub(super) target: Target,
    /// How the provider is reached.
    pub(super) provider: Provider,
    /// True if the operators set it, not the tenant.
    pub(super) trusted: bool,
}

/// Looks up where `ask` may go. A refusal rests on fresh catalogs, so that what was just set counts.
pub(super) async fn plan(edge: &Edge, known: &Known, ask: &ChatRequest) -> Result<Plan, Error> {
    if let Ok(plan) = look_up(edge, known, ask) {
        return Ok(plan);
    }
    let confirm = |shard| edge.catalogs.confirm(shard, CATALOG_AGE_MAX, edge.config.fresh_wait_max);
    let (own, inherited) = tokio::join!(confirm(known.shard), confirm(STEWARD_SHARD));
    own.and(inherited)
        .map_err(|error| Error::Unavailable(format!("the catalog of models is not up to date: {error}")))?;
    look_up(edge, known, ask)
}

fn look_up(edge: &Edge, known: &Known, ask: &ChatRequest) -> Result<Plan, Error> {
    let (tenant, model) = (&known.holder.tenant, &ask.model);
    let catalogs = edge.catalogs.read();
    let unknown = || Error::NoSuchModel(model.to_string());
    let spec = catalogs.model(tenant, model).ok_or_else(unknown)?;
    let steward = TenantId::steward();
    let place = |target: &Target| {
        let provider = catalogs.provider(tenant, &target.provider)?;
        let trusted = catalogs.provider(&steward, &target.provider) == Some(provider);
        Some(Place { target: target.clone(), provider: provider.clone(), trusted })
    };
    let targets: Vec<Place> = catalogs.route(tenant, model).iter().filter_map(place).collect();
    if targets.is_empty() {
        return Err(unknown());
    }
    let (version, price) =
        catalogs.price_at(tenant, model, edge.clock.now()).ok_or_else(|| Error::NoPrice(model.to_string()))?;
    Ok(Plan { targets, estimate: Estimate::of(ask, spec, price), price: version })
}
