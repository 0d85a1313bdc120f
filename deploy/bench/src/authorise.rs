//! How long one decision on access takes, within a process, when ten thousand grants are known.

use std::hint::black_box;
use std::time::{Duration, Instant};

use steward_authority::{AccessRequest, Authority, Context};
use steward_events::BoxError;
use steward_events::commit::{Entry, Recorded};
use steward_events::event::{AccessEvent, Event, GrantId, IdentityEvent, TenantEvent};
use steward_events::id::{CommandId, CorrelationId, ModelId, PrincipalId, StreamId, TenantId};
use steward_events::quantity::{Position, Version};
use steward_events::stream::StreamName;
use steward_events::view::View;
use steward_ports::clock::{Clock, SystemClock};

use super::chain::SHARD;
use super::company::MODEL;
use super::figures::Figures;
use super::sample::Sample;

const GRANTS: u64 = 10_000;
const PRINCIPALS: u64 = 1_000;

/// Measures decisions on requests none of which was asked before.
pub(super) fn measure() -> Result<Figures, BoxError> {
    let tenant = TenantId::new("acme")?;
    let clock = SystemClock::default();
    let mut authority = Authority::default();
    let mut fold = |event: Event| -> Result<(), BoxError> {
        let id = StreamId::main();
        let stream = StreamName { shard: SHARD, tenant: tenant.clone(), kind: event.kind(), id };
        let entry = Entry {
            command: CommandId::new("c1")?,
            at: clock.now(),
            actor: principal(0)?,
            on_behalf_of: None,
            key: None,
            causation: None,
            correlation: CorrelationId::new("c1")?,
            body: None,
            events: Vec::new(),
        };
        let (position, version) = (Position(1), Version(1));
        authority.apply(&Recorded { stream: &stream, position, version, index: 0, entry: &entry, event: &event });
        Ok(())
    };
    let timezone = "UTC".to_owned();
    fold(TenantEvent::Created { tenant: tenant.clone(), timezone }.into())?;
    for number in 0..PRINCIPALS {
        let name = format!("bot-{number}");
        fold(IdentityEvent::AccountCreated { principal: principal(number)?, name }.into())?;
    }
    for number in 0..GRANTS {
        let on = format!("acme/project-{}", number / PRINCIPALS).parse()?;
        let grant = GrantId { to: principal(number % PRINCIPALS)?, role: "agent".parse()?, on };
        fold(AccessEvent::RoleGranted { grant, expires: None, condition: None }.into())?;
    }
    let ask = |number: u64, model: &str| -> Result<Duration, BoxError> {
        let request = AccessRequest {
            tenant: tenant.clone(),
            principal: principal(number % PRINCIPALS)?,
            key: None,
            permission: "model:invoke".parse()?,
            scope: format!("acme/project-{}", number / PRINCIPALS).parse()?,
            context: Context { model: Some(ModelId::new(model)?), ..Context::default() },
        };
        let now = clock.now();
        let began = Instant::now();
        let allowed = black_box(&authority).authorise(black_box(&request), now);
        let took = began.elapsed();
        allowed?;
        Ok(took)
    };
    // A principal's rights are prepared at its first request.
    (0..PRINCIPALS).try_for_each(|number| ask(number, "another").map(drop))?;
    let sample = Sample::of((0..GRANTS).map(|number| ask(number, MODEL)).collect::<Result<Vec<_>, _>>()?);
    let mut figures = Figures::default();
    figures.set("authorise.p50_us", sample.quantile_us(0.5));
    figures.set("authorise.p99_us", sample.quantile_us(0.99));
    Ok(figures)
}

fn principal(number: u64) -> Result<PrincipalId, BoxError> {
    Ok(PrincipalId::new(format!("svc_{number}"))?)
}
