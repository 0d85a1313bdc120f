//! Accepted → planned: where a call may go and what it can cost there. The catalogs as they are now, and the price pinned.

use std::sync::Arc;
use std::time::Duration;

use steward_aggregates::catalog::{Catalogs, Provider};
use steward_events::event::{PriceVersion, Target};
use steward_events::quantity::NanoDollars;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::clock::Clock;
use steward_ports::live::Live;

use super::accepted::Accepted;
use crate::access::AuthenticatedKey;
use crate::dialect::{Dialect, Makes, ModelRequest};
use crate::error::Error;
use crate::estimate::{Estimate, Rate};

/// How old the catalogs may be where they would refuse a call.
const CATALOG_AGE_MAX: Duration = Duration::from_millis(200);

/// A call that was read and looked up.
pub(super) struct Planned {
    pub(super) accepted: Accepted,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) request: ModelRequest,
    /// Where it may go; or why nowhere, which only those hear who may call the model.
    pub(super) plan: Result<Plan, Error>,
}

/// Where a call may go, and for how much.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The targets, in the order to try; at least one.
    pub(super) targets: Vec<ResolvedTarget>,
    /// What it can cost.
    pub(super) estimate: Estimate,
    /// At which price.
    pub(super) price: PriceVersion,
}

/// One place where a call may go.
#[derive(Clone, Debug)]
pub(super) struct ResolvedTarget {
    /// The provider, and the model's name there.
    pub(super) target: Target,
    /// How the provider is reached.
    pub(super) provider: Provider,
    /// True if the operators set it, not the tenant.
    pub(super) trusted: bool,
}

impl Planned {
    /// The most it can cost; nothing if it can go nowhere.
    pub(super) fn worst_cost(&self) -> NanoDollars {
        self.plan.as_ref().map_or(NanoDollars(0), |plan| plan.estimate.worst().money)
    }
}

/// Reads requests and looks them up.
pub(super) struct Planner {
    catalogs: Arc<Live<Catalogs>>,
    clock: Arc<dyn Clock>,
    fresh_wait_max: Duration,
}

impl Planner {
    pub(super) const fn new(catalogs: Arc<Live<Catalogs>>, clock: Arc<dyn Clock>, fresh_wait_max: Duration) -> Self {
        Self { catalogs, clock, fresh_wait_max }
    }

    /// Reads the request and looks up where it may go.
    pub(super) async fn plan(&self, accepted: Accepted, dialect: &'static dyn Dialect) -> Result<Planned, Error> {
        let request = dialect.read(&accepted.body)?;
        let plan = self.find(&accepted.key, &request, dialect.makes()).await;
        Ok(Planned { accepted, dialect, request, plan })
    }

    /// A refusal rests on fresh catalogs, so that what was just set counts.
    async fn find(&self, key: &AuthenticatedKey, request: &ModelRequest, makes: Makes) -> Result<Plan, Error> {
        if let Ok(plan) = self.look_up(key, request, makes) {
            return Ok(plan);
        }
        let confirm = |shard| self.catalogs.confirm(shard, CATALOG_AGE_MAX, self.fresh_wait_max);
        let (own, inherited) = tokio::join!(confirm(key.shard), confirm(STEWARD_SHARD));
        own.and(inherited).map_err(|error| {
            Error::Unavailable(format!("the catalog of models cannot be confirmed to be current: {error}"))
        })?;
        self.look_up(key, request, makes)
    }

    fn look_up(&self, key: &AuthenticatedKey, request: &ModelRequest, makes: Makes) -> Result<Plan, Error> {
        let (tenant, model) = (&key.holder.tenant, &request.model);
        let catalogs = self.catalogs.read();
        let offer = catalogs.offer(tenant, model).ok_or_else(|| Error::NoSuchModel(model.to_string()))?;
        let resolved = |&(target, provider): &(&Target, &Provider)| ResolvedTarget {
            target: target.clone(),
            provider: provider.clone(),
            trusted: offer.of_platform,
        };
        let targets = offer.targets.iter().map(resolved).collect();
        let began = self.clock.now();
        let (version, price) = offer.price_at(began).ok_or_else(|| Error::NoPrice(model.to_string()))?;
        if makes == Makes::Sound && price.charges_output() {
            return Err(Error::bad(
                "model",
                format!(
                    "the price of `{model}` names a rate for output, but nobody says how much sound was made; price speech \
                     by the call or by its input, of which a character counts as a token"
                ),
            ));
        }
        Ok(Plan { targets, estimate: Estimate::of(request, makes, &offer.spec, Rate { price, began }), price: version })
    }
}
