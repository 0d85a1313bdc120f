//! Who may do what, and why: now by the live permissions, earlier by the same fold ended earlier; the rules beside roles
//! and grants; and who holds what, for those who review it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use steward_authority::{Authority, read_changes};
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_queries::{ExplainQuery, LeastQuery, RehearseQuery, SimulateQuery, WhoCanQuery};

use crate::engine::Engine;
use crate::engine::read_model::{KeepsRows, NoAnswer, Query, ReadModel};
use crate::engine::runner::Runner;

mod budget;
mod effects;
pub mod past_views;
mod rehearsal;
mod review;
mod rules;
mod scan;
pub mod usage;
mod uses;
mod wanted;

use past_views::PastViews;
use usage::AccessUse;

/// The read model: the permissions themselves, and what was recorded of their use.
pub struct AccessView {
    engine: Arc<Engine>,
    past: PastViews<Authority>,
    uses: Arc<Runner<AccessUse>>,
}

impl AccessView {
    /// Over the engine's permissions and log.
    pub fn new(engine: &Arc<Engine>) -> Self {
        let ports = &engine.ports;
        let past = PastViews::new(Arc::clone(&ports.log), Arc::clone(&ports.clock), engine.config.moments_held_max);
        Self { engine: Arc::clone(engine), past, uses: engine.runner() }
    }

    /// Asks the permissions as they are, or as they were at a moment; of the future nothing is known.
    async fn at<T>(
        &self,
        query: &Query<'_>,
        at: Option<Timestamp>,
        ask: impl FnOnce(&Authority, Timestamp) -> T,
    ) -> Result<T, NoAnswer> {
        let now = self.engine.ports.clock.now();
        match at {
            Some(at) if at > now => Err(Rejection::invalid("at", format!("{at} is in the future")).into()),
            Some(at) => {
                let time_max = self.engine.config.answer_time_max;
                let view = self.past.at(query.shard, query.tenant(), at, time_max).await?;
                Ok(ask(&view, at))
            }
            None => Ok(ask(&self.engine.authority.read(), now)),
        }
    }
}

#[async_trait]
impl ReadModel for AccessView {
    fn nouns(&self) -> &'static [&'static str] {
        &["access", "deny", "separation", "elevation-rule", "elevation", "review", "data-class"]
    }

    fn rows(&self) -> Option<Arc<dyn KeepsRows>> {
        Some(Arc::<Runner<_>>::clone(&self.uses))
    }

    async fn answer(&self, query: &Query<'_>) -> Result<Bytes, NoAnswer> {
        match (query.noun(), query.verb()) {
            ("access", "explain") => {
                let asked: ExplainQuery = query.read()?;
                query.check(&asked.scope)?;
                let explain = |view: &Authority, now| view.explain(query.tenant(), &asked, now);
                query.write(&self.at(query, asked.at, explain).await?)
            }
            ("access", "who-can") => {
                let asked: WhoCanQuery = query.read()?;
                query.check(&asked.scope)?;
                let who_can = |view: &Authority, now| view.who_can(query.tenant(), &asked, now);
                query.write(&self.at(query, asked.at, who_can).await?)
            }
            ("access", "review") => query.write(&self.review(query).await?),
            ("access", "role-use") => query.write(&self.role_use(query)?),
            ("access", "simulate") => {
                let asked: SimulateQuery = query.read()?;
                let commands = read_changes(&asked.changes)?;
                let simulate = |view: &Authority, now| {
                    view.simulate(query.tenant(), &commands, asked.question.as_ref(), asked.after.as_ref(), now)
                };
                query.write(&self.at(query, asked.at, simulate).await??)
            }
            ("access", "rehearse") => {
                let asked: RehearseQuery = query.read()?;
                query.write(&rehearsal::rehearse(&self.engine, query, &asked).await?)
            }
            ("access", "least") => {
                let asked: LeastQuery = query.read()?;
                query.write(&uses::least(&self.engine, query, &asked).await?)
            }
            _ => self.rules(query).await,
        }
    }
}
