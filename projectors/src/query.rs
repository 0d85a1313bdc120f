//! Takes queries from the bus: checks that the caller may, and passes each on to the view that answers it.
//!
//! It knows no view by name: [`crate::views`] lists them.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use steward_authority::{AccessRequest, Context, Sight};
use steward_events::event::{DenialKind, QuotaKind};
use steward_events::id::{PrincipalId, TenantId};
use steward_events::quantity::Shard;
use steward_events::rejection::Rejection;
use steward_events::request::Request;
use steward_events::scope::Scope;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::bus::{Failure, QueryService};
use steward_ports::notes::{By, Note, What};
use steward_queries::{Answers, QuerySpec};

use crate::engine::config::Config;
use crate::engine::places::answering;
use crate::engine::read_model::{NoAnswer, Query};
use crate::projectors::Projectors;

impl Projectors {
    async fn try_answer(&self, request: &Request) -> Result<Bytes, NoAnswer> {
        let (noun, verb, tenant) = (request.noun.as_str(), request.verb.as_str(), &request.tenant);
        let unknown = || Rejection::not_found("query", &format!("{noun}.{verb}"));
        let spec = steward_queries::find(noun, verb).ok_or_else(unknown)?;
        check_sender(request, spec)?;
        self.count_in_its_minute(request)?;
        let shard = self.placement.shard(tenant).await?;
        let shard = shard.ok_or_else(|| Rejection::UnknownTenant { tenant: tenant.clone() })?;
        let sight = self.sight(request, shard, spec).await?;
        self.note_reading(request, sight.principal(), spec);
        if let Some(grant) = sight.set_aside() {
            let (permission, scope) = (spec.permission(), Scope::tenant(tenant));
            self.engine.notes.note(Note::spared(tenant, sight.principal(), grant, (&permission, &scope)));
        }
        let view = self.view_of(noun).ok_or_else(unknown)?;
        view.answer(&Query { request, shard, sight: &sight, kept: &self.kept }).await
    }

    /// A tenant may ask only so much in a minute, if it has such a quota.
    fn count_in_its_minute(&self, request: &Request) -> Result<(), Rejection> {
        let limit = self.engine.authority.read().quotas(&request.tenant).limit(QuotaKind::QueriesPerMinute);
        let now = self.engine.ports.clock.monotonic();
        self.per_minute.count((&request.tenant, request.caller()), "queries", limit, now)
    }

    /// Where the caller may see, by permissions that are fresh. A part of Steward sends queries for whom it names.
    async fn sight(&self, request: &Request, shard: Shard, spec: &QuerySpec) -> Result<Sight, NoAnswer> {
        let Config { fresh_age_max, position_wait_max, .. } = self.engine.config;
        let authority = &self.engine.authority;
        authority.confirm(STEWARD_SHARD, fresh_age_max, position_wait_max).await?;
        if shard != STEWARD_SHARD {
            authority.confirm(shard, fresh_age_max, position_wait_max).await?;
        }
        let access = AccessRequest {
            tenant: request.tenant.clone(),
            principal: request.caller().clone(),
            key: None,
            permission: spec.permission(),
            scope: Scope::tenant(&request.tenant),
            context: Context::default(),
        };
        let ask = || {
            let now = self.engine.ports.clock.now();
            let authority = authority.read();
            match spec.answers {
                Answers::OfTheTenant => authority.whole_sight(&access, now),
                Answers::ByScope => authority.sight(&access, now),
            }
        };
        if let Ok(sight) = ask() {
            return Ok(sight);
        }
        // Fresh enough to say yes is not fresh enough to say no: the grant may have been given a moment ago.
        authority.confirm(STEWARD_SHARD, Duration::ZERO, position_wait_max).await?;
        authority.confirm(shard, Duration::ZERO, position_wait_max).await?;
        Ok(ask()?)
    }
}

/// Queries by which is read what people did or keep sealed, as permissions: each look is on record.
/// Whoever reads what a file holds is shown the file first.
const ON_RECORD: &[(&str, &str)] = &[
    ("access", "rehearse"),
    ("access", "least"),
    ("history", "replay"),
    ("audit", "commits"),
    ("task", "show"),
    ("file", "show"),
    ("secret", "open"),
    ("tenant", "export"),
];

impl Projectors {
    /// That somebody reads: in a journal if it is what people did, else in the log of this process.
    fn note_reading(&self, request: &Request, who: &PrincipalId, spec: &QuerySpec) {
        if who.is_system() && spec.only.is_none() {
            return;
        }
        if !ON_RECORD.contains(&(spec.view, spec.verb)) {
            tracing::info!(tenant.id = %request.tenant, principal.id = %who, query = %spec.permission(), "queried");
            return;
        }
        let asked = request.format.read::<serde_json::Value>(&request.body).unwrap_or_default();
        self.engine.notes.note(Note {
            tenant: request.tenant.clone(),
            by: By::Principal(who.clone()),
            what: What::Read,
            permission: Some(spec.permission()),
            scope: None,
            text: asked.to_string(),
            correlation: Some(request.envelope.correlation.clone()),
        });
    }

    fn note_denial(&self, request: &Request, rejection: &Rejection) {
        let (who, correlation) = (request.caller(), &request.envelope.correlation);
        if who.is_system() && !matches!(rejection, Rejection::Forbidden { .. }) {
            return;
        }
        if let Some(note) = Note::denial(&request.tenant, who, rejection, correlation) {
            self.engine.notes.note(note);
        }
    }
}

/// That a query which one part of Steward alone may ask comes from that part, and not for anybody. The bus sees to that
/// too: it hears such a query from no other sender.
fn check_sender(request: &Request, spec: &QuerySpec) -> Result<(), Rejection> {
    let for_somebody = spec.only.is_some() && request.envelope.on_behalf_of.is_some();
    if spec.may_be_asked_by(&request.principal) && !for_somebody {
        return Ok(());
    }
    Err(Rejection::Forbidden {
        principal: request.caller().clone(),
        permission: spec.permission(),
        scope: Scope::tenant(&request.tenant),
        reason: format!("only parts of Steward may use {}", spec.permission()),
        would_allow: "nothing: no role can have this permission".to_owned(),
    })
}

#[async_trait]
impl QueryService for Projectors {
    async fn answer(&self, request: Request) -> Result<Result<Bytes, Rejection>, Failure> {
        match answering(&self.engine.places, &request.tenant, self.try_answer(&request)).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(NoAnswer::Refused(rejection)) => {
                self.note_denial(&request, &rejection);
                Ok(Err(rejection))
            }
            Err(NoAnswer::Failed(reason)) => {
                let subject = request.query_subject();
                tracing::warn!(%subject, %reason, "a query got no answer");
                Err(Failure(reason))
            }
        }
    }

    fn refused(&self, tenant: &TenantId, principal: &PrincipalId, kind: DenialKind, why: &str) {
        self.engine.notes.note(Note::on_the_bus(tenant, principal, kind, why));
    }
}
