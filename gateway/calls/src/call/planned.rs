//! Accepted → planned: where a call may go and what it can cost there. The catalogs as they are now, and the price pinned.

use std::sync::Arc;
use std::time::Duration;

use steward_aggregates::catalog::route::hash;
use steward_aggregates::catalog::{CacheTerms, CallFacts, Catalogs, Course, Offer, Provider, RecordedSecret, Standing};
use steward_events::event::{PriceVersion, PromptPolicy, RoutePolicy, RouteTerms, Target, Tokenizer};
use steward_events::id::{ModelId, TenantId};
use steward_events::quantity::NanoDollars;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::clock::Clock;
use steward_ports::live::Live;

use super::accepted::Accepted;
use super::card;
use super::shaped::{Shape, may_change, shaped};
use crate::access::Access;
use crate::admission::Admission;
use crate::dialect::prompt::Spared;
use crate::dialect::{Dialect, Makes, ModelRequest};
use crate::error::Error;
use crate::estimate::{Estimate, Rate};
use crate::targets::{self, Takes, TargetName, Targets};
use crate::tokenizer;

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
    /// The model that its caller asked, and why another one stands in for it.
    pub(super) stands_in: Option<StandsIn>,
}

/// For whom a model stands in.
#[derive(Clone, Debug)]
pub(super) struct StandsIn {
    /// The model that was asked.
    pub(super) asked: ModelId,
    /// Why, in one word for the caller.
    pub(super) why: &'static str,
}

/// Where a call may go, and for how much.
pub(super) struct Plan {
    /// The targets of the route.
    pub(super) targets: Vec<ResolvedTarget>,
    /// Which of them to try, and in which order; at least one.
    pub(super) course: Course,
    /// What it can cost at the dearest of these.
    pub(super) estimate: Estimate,
    /// The vocabulary by which its texts can be counted, if one is known.
    pub(super) tokenizer: Option<Tokenizer>,
    /// What is done with the request before it is sent …
    pub(super) prompt: PromptPolicy,
    /// … and what that spared.
    pub(super) spared: Spared,
    /// The price there.
    pub(super) price: PriceVersion,
    /// Whether its answer is given to others too, and theirs to it.
    pub(super) cache: CacheTerms,
    /// What else the route says.
    pub(super) terms: RouteTerms,
}

/// One place where a call may go.
#[derive(Clone)]
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
    /// What the call can cost there, and at which price; none if it has none now, and then it is in no course.
    pub(super) priced: Option<Priced>,
}

/// What a call can cost at one target.
#[derive(Clone)]
pub(super) struct Priced {
    pub(super) version: PriceVersion,
    pub(super) estimate: Estimate,
}

impl Plan {
    /// The price of calls that go to `target`; that of the dearest if it is none of these targets any more.
    pub(super) fn price_of(&self, target: &Target) -> &PriceVersion {
        let id = target.id();
        let found = self.targets.iter().find(|to| to.target.is(&id)).and_then(|to| to.priced.as_ref());
        found.map_or(&self.price, |priced| &priced.version)
    }

    /// True if a key is a secret of a tenant.
    fn needs_a_secret(&self) -> bool {
        self.targets.iter().any(|target| target.secret.is_some())
    }

    /// Lowers the worst case to what the texts of `request` are in tokens, if they can be counted and are not yet.
    pub(super) async fn count_texts(&mut self, request: &ModelRequest) {
        if let Some(tokenizer) = self.tokenizer.filter(|_| self.estimate.counts_bytes()) {
            let fewer = tokenizer::fewer_than_bytes(tokenizer, &request.body, request.size.bytes).await;
            let at_targets = self.targets.iter_mut().filter_map(|target| target.priced.as_mut());
            for estimate in at_targets.map(|priced| &mut priced.estimate).chain([&mut self.estimate]) {
                *estimate = estimate.clone().with_texts_counted(fewer);
            }
        }
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
    pub(super) access: Arc<Access>,
    pub(super) admission: Arc<Admission>,
    pub(super) catalogs: Arc<Live<Catalogs>>,
    pub(super) targets: Arc<Targets>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fresh_wait_max: Duration,
}

impl Planner {
    /// Reads the request and looks up where it may go.
    pub(super) async fn plan(&self, accepted: Accepted, dialect: &'static dyn Dialect) -> Result<Planned, Error> {
        let mut request = dialect.read(&accepted.body)?;
        let mut plan = self.find(&accepted, &request, dialect).await;
        if let Ok(found) = &plan
            && may_change(found.prompt)
        {
            let shape = Shape { policy: found.prompt, tokenizer: found.tokenizer, room: found.estimate.room() };
            match Box::pin(shaped(dialect, &request, shape)).await {
                Ok(None) => {}
                Ok(Some((shorter, spared))) => {
                    request = shorter;
                    plan = self.find(&accepted, &request, dialect).await.map(|plan| Plan { spared, ..plan });
                }
                Err(why) => plan = Err(why),
            }
        }
        Ok(self.or_stand_in(Planned { accepted, dialect, request, plan, stands_in: None }).await)
    }

    /// A refusal rests on fresh catalogs, so that what was just set counts; and so does the use of a secret, so that one
    /// that was just replaced or taken from its provider is not used.
    pub(super) async fn find(
        &self,
        accepted: &Accepted,
        request: &ModelRequest,
        dialect: &dyn Dialect,
    ) -> Result<Plan, Error> {
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
        card::check(&offer.spec, (dialect, request), self.clock.now())?;
        let of = (tenant, accepted.key.batch().is_some());
        let targets = self.resolved(of, (request, dialect.makes()), &catalogs, &offer);
        let Some(any) = targets.iter().find_map(|target| target.priced.as_ref()) else {
            return Err(Error::NoPrice(model.to_string()));
        };
        let facts = CallFacts {
            input: any.estimate.probable(0).input,
            tags: &accepted.tags,
            alike: if offer.policy == RoutePolicy::Sticky { alike(accepted) } else { 0 },
            caller: hash([accepted.key.holder.key.as_str().as_bytes()]),
            lot: self.targets.draw(),
        };
        let course = offer.course(targets.iter().map(|target| target.standing(offer.policy)), &facts);
        let may_be_asked = course.order.iter().chain(&course.after_refusal);
        let dearest = may_be_asked
            .filter_map(|number| targets[*number].priced.as_ref())
            .max_by_key(|priced| priced.estimate.worst().money)
            .filter(|_| !course.order.is_empty());
        let Some(Priced { version, estimate }) = dearest.cloned() else {
            return Err(nowhere(model.as_str(), &facts, &course));
        };
        if dialect.makes() == Makes::Sound && may_charge_sound(&targets, &course) {
            return Err(unmeasured(model.as_str()));
        }
        let tokenizer = tokenizer::of(&offer.spec, offer.targets.iter().copied());
        let (prompt, spared, cache, terms) = (offer.prompt, Spared::default(), offer.cache, offer.terms.clone());
        Ok(Plan { targets, course, estimate, tokenizer, prompt, spared, price: version, cache, terms })
    }

    fn resolved(
        &self,
        (tenant, of_batch): (&TenantId, bool),
        (request, makes): (&ModelRequest, Makes),
        catalogs: &Catalogs,
        offer: &Offer<'_>,
    ) -> Vec<ResolvedTarget> {
        let began = self.clock.now();
        // Read once, however many targets and prices there are.
        let mut first: Option<Estimate> = None;
        let mut priced = |target: &Target| {
            let (version, price) = offer.price_at(target, began)?;
            let rate = Rate { price, began, of_batch };
            let estimate = match &first {
                Some(first) => first.at(rate),
                None => first.insert(Estimate::of(request, makes, &offer.spec, rate)).clone(),
            };
            Some(Priced { version, estimate })
        };
        let mut resolved = |&(target, provider): &(&Target, &Provider)| {
            let catalog = if offer.of_platform { TenantId::steward() } else { tenant.clone() };
            let secret = provider.secret().and_then(|secret| catalogs.secret(&catalog, &secret));
            let (name, model) = (target.provider.clone(), target.upstream_model.clone());
            ResolvedTarget {
                target: target.clone(),
                provider: provider.clone(),
                trusted: offer.of_platform,
                health: self.targets.of(&TargetName { catalog, provider: name, model }),
                secret,
                priced: priced(target),
            }
        };
        offer.targets.iter().map(&mut resolved).collect()
    }
}

impl ResolvedTarget {
    /// What the call takes of the provider's minute.
    pub(super) fn takes(&self) -> Takes {
        let tokens = self.priced.as_ref().map(|Priced { estimate, .. }| {
            let output = estimate.output(estimate.output_max);
            estimate.probable(output).total().0
        });
        Takes::of(&self.target, tokens.unwrap_or_default())
    }

    /// How it stands for this call. What the call costs there is summed only where the policy goes by it.
    fn standing(&self, policy: RoutePolicy) -> Standing {
        let cost = self.priced.as_ref().map(|priced| match policy {
            RoutePolicy::LeastCost => priced.estimate.usual_cost(),
            _ => NanoDollars(0),
        });
        Standing { cost, ..self.health.standing() }
    }
}

/// True if a price that may count names a rate for output: of sound nobody says how much was made.
fn may_charge_sound(targets: &[ResolvedTarget], course: &Course) -> bool {
    let may_be_asked = course.order.iter().chain(&course.after_refusal);
    let mut prices = may_be_asked.filter_map(|number| targets[*number].priced.as_ref());
    prices.any(|priced| priced.estimate.rate.price.charges_output())
}

fn unmeasured(model: &str) -> Error {
    Error::bad(
        "model",
        format!(
            "the price of `{model}` names a rate for output, but nobody says how much sound was made; price speech by the \
             call or by its input, of which a character counts as a token"
        ),
    )
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
