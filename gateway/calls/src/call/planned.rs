//! Accepted → planned: where a call may go and what it can cost there. The catalogs as they are now, and the price pinned.

use std::sync::Arc;
use std::time::Duration;

use steward_aggregates::catalog::route::hash;
use steward_aggregates::catalog::{CacheTerms, CallFacts, Catalogs, Course, Offer, Provider, RecordedSecret};
use steward_events::event::{PriceVersion, RoutePolicy, Target};
use steward_events::id::TenantId;
use steward_events::quantity::NanoDollars;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::clock::Clock;
use steward_ports::live::Live;

use super::accepted::Accepted;
use crate::dialect::{Dialect, Makes, ModelRequest};
use crate::error::Error;
use crate::estimate::{Estimate, Rate};
use crate::targets::{self, TargetName, Targets};

/// How old the catalogs may be where they would refuse a call, or say which secret counts.
const CATALOG_AGE_MAX: Duration = Duration::from_millis(200);
/// Bytes of a request by which it is found alike to others: long enough for a prompt that a provider keeps, short enough that
/// a conversation stays alike while it grows.
const ALIKE_BYTES_MAX: usize = 1_024;

/// A call that was read and looked up.
pub(super) struct Planned {
    pub(super) accepted: Accepted,
    pub(super) dialect: &'static dyn Dialect,
    pub(super) request: ModelRequest,
    /// Where it may go; or why nowhere, which only those hear who may call the model.
    pub(super) plan: Result<Plan, Error>,
}

/// Where a call may go, and for how much.
pub(super) struct Plan {
    /// The targets of the route.
    pub(super) targets: Vec<ResolvedTarget>,
    /// Which of them to try, and in which order; at least one.
    pub(super) course: Course,
    /// What it can cost.
    pub(super) estimate: Estimate,
    /// At which price.
    pub(super) price: PriceVersion,
    /// Whether its answer is given to others too, and theirs to it.
    pub(super) cache: CacheTerms,
}

/// One place where a call may go.
pub(super) struct ResolvedTarget {
    /// The provider, and the model's name there.
    pub(super) target: Target,
    /// How the provider is reached.
    pub(super) provider: Provider,
    /// True if the operators set it, not the tenant.
    pub(super) trusted: bool,
    /// How it is doing.
    pub(super) health: Arc<targets::Target>,
    /// The secret that is its key, if a secret is.
    pub(super) secret: Option<RecordedSecret>,
}

impl Plan {
    /// True if a key is a secret of a tenant.
    fn needs_a_secret(&self) -> bool {
        self.targets.iter().any(|target| target.secret.is_some())
    }
}

impl Planned {
    /// The most it can cost; nothing if it can go nowhere.
    pub(super) fn worst_cost(&self) -> NanoDollars {
        self.plan.as_ref().map_or(NanoDollars(0), |plan| plan.estimate.worst().money)
    }
}

/// Reads requests and looks them up.
pub(super) struct Planner {
    pub(super) catalogs: Arc<Live<Catalogs>>,
    pub(super) targets: Arc<Targets>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fresh_wait_max: Duration,
}

impl Planner {
    /// Reads the request and looks up where it may go.
    pub(super) async fn plan(&self, accepted: Accepted, dialect: &'static dyn Dialect) -> Result<Planned, Error> {
        let request = dialect.read(&accepted.body)?;
        let plan = self.find(&accepted, &request, dialect).await;
        Ok(Planned { accepted, dialect, request, plan })
    }

    /// A refusal rests on fresh catalogs, so that what was just set counts; and so does the use of a secret, so that one
    /// that was just replaced or taken from its provider is not used.
    async fn find(&self, accepted: &Accepted, request: &ModelRequest, dialect: &dyn Dialect) -> Result<Plan, Error> {
        if let Ok(plan) = self.look_up(accepted, request, dialect)
            && !plan.needs_a_secret()
        {
            return Ok(plan);
        }
        let confirm = |shard| self.catalogs.confirm(shard, CATALOG_AGE_MAX, self.fresh_wait_max);
        let (own, inherited) = tokio::join!(confirm(accepted.key.shard), confirm(STEWARD_SHARD));
        own.and(inherited).map_err(|error| {
            Error::Unavailable(format!("the catalog of models cannot be confirmed to be current: {error}"))
        })?;
        self.look_up(accepted, request, dialect)
    }

    fn look_up(&self, accepted: &Accepted, request: &ModelRequest, dialect: &dyn Dialect) -> Result<Plan, Error> {
        let (tenant, model) = (&accepted.key.holder.tenant, &request.model);
        let catalogs = self.catalogs.read();
        let offer = catalogs.offer(tenant, model).ok_or_else(|| Error::NoSuchModel(model.to_string()))?;
        if let Some(field) = dialect.builds_on(request).filter(|_| offer.of_platform && !tenant.is_steward()) {
            return Err(shared_by_tenants(field, model.as_str()));
        }
        let (began, makes) = (self.clock.now(), dialect.makes());
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
        let of_batch = accepted.key.batch().is_some();
        let estimate = Estimate::of(request, makes, &offer.spec, Rate { price, began, of_batch });
        let targets = self.resolved(tenant, &catalogs, &offer);
        let facts = CallFacts {
            input: estimate.probable(0).input,
            tags: &accepted.tags,
            alike: if offer.policy == RoutePolicy::Sticky { alike(accepted) } else { 0 },
            lot: self.targets.draw(),
        };
        let course = offer.course(targets.iter().map(|target| target.health.standing()), &facts);
        if course.order.is_empty() {
            return Err(nowhere(model.as_str(), &facts, &course));
        }
        Ok(Plan { targets, course, estimate, price: version, cache: offer.cache })
    }

    fn resolved(&self, tenant: &TenantId, catalogs: &Catalogs, offer: &Offer<'_>) -> Vec<ResolvedTarget> {
        let resolved = |&(target, provider): &(&Target, &Provider)| {
            let catalog = if offer.of_platform { TenantId::steward() } else { tenant.clone() };
            let secret = provider.secret().and_then(|secret| catalogs.secret(&catalog, &secret));
            let (name, model) = (target.provider.clone(), target.upstream_model.clone());
            ResolvedTarget {
                target: target.clone(),
                provider: provider.clone(),
                trusted: offer.of_platform,
                health: self.targets.of(&TargetName { catalog, provider: name, model }),
                secret,
            }
        };
        offer.targets.iter().map(resolved).collect()
    }
}

/// The same number for calls of one key that begin alike.
fn alike(accepted: &Accepted) -> u64 {
    let beginning = &accepted.body[..accepted.body.len().min(ALIKE_BYTES_MAX)];
    hash([accepted.key.holder.key.as_str().as_bytes(), &[0], beginning])
}

/// What a provider of the platform keeps is kept for all tenants in one account: who knows its name could read another's.
fn shared_by_tenants(field: &str, model: &str) -> Error {
    let message = format!(
        "`{field}` names what the provider keeps, and all tenants share the account of `{model}`; send what was said before \
         again, or route the model to a provider of your own"
    );
    Error::bad(field, message)
}

/// No target of the route is for this call.
fn nowhere(model: &str, facts: &CallFacts<'_>, course: &Course) -> Error {
    let why: Vec<String> =
        course.left_out.iter().map(|(number, why)| format!("target {}: {why}", number + 1)).collect();
    let (input, tags) = (facts.input, facts.tags.join(", "));
    Error::BadRequest {
        param: None,
        message: format!(
            "the route of the model `{model}` has no target for this call of about {input} input tokens and the tags [{tags}]: {}",
            why.join("; ")
        ),
    }
}
