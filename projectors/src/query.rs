//! Answers questions: reads them strictly, asks whether the asker may, waits for the state demanded, and answers in the
//! asker's format.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use steward_aggregates::authority::{AccessRequest, Authority, Context};
use steward_events::BoxError;
use steward_events::event::TaskOutput;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::quantity::{Position, Shard};
use steward_events::query::{
    self, CostQuestion, ExplainQuestion, Metrics as MetricsAnswer, MetricsQuestion, QuerySpec, ReplayQuestion,
    TaskListQuestion, TaskQuestion, TaskView, WhoCanQuestion,
};
use steward_events::rejection::Rejection;
use steward_events::request::Request;
use steward_events::scope::Scope;
use steward_events::sealed::Sealed;
use steward_events::shard::STEWARD_SHARD;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::{Failure, QueryService};
use steward_ports::keys::KeyError;
use steward_ports::live::NotFresh;
use steward_ports::log::LogError;

use crate::config::Config;
use crate::cost_report;
use crate::metrics;
use crate::progress::NotReady;
use crate::projectors::Projectors;
use crate::{history, reading, tasks};

mod audit;

/// How many tasks a list has if the question does not say.
const LIST_COUNT: u32 = 100;

/// No answer: by a decision, or because the machinery failed.
enum No {
    Refused(Rejection),
    Failed(String),
}

impl From<Rejection> for No {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

macro_rules! failures {
    ($($error:ty),*) => {$(
        impl From<$error> for No {
            fn from(error: $error) -> Self {
                Self::Failed(error.to_string())
            }
        }
    )*};
}

failures!(NotReady, NotFresh, LogError, KeyError, reading::Error, BoxError);

impl Projectors {
    async fn try_answer(&self, request: &Request) -> Result<Bytes, No> {
        let (view, verb) = (request.noun.as_str(), request.verb.as_str());
        let unknown = || Rejection::not_found("query", &format!("{view}.{verb}"));
        let spec = query::find(view, verb).ok_or_else(unknown)?;
        let tenant = &request.tenant;
        let shard = self.placement.shard(tenant).await?;
        let shard = shard.ok_or_else(|| Rejection::UnknownTenant { tenant: tenant.clone() })?;
        self.authorise(request, shard, spec).await?;
        match (view, verb) {
            ("cost", "report") => {
                let question: CostQuestion = read(request)?;
                let (of, min_position) = (tenant.clone(), question.min_position);
                let report = self.cost.read(shard, min_position, move |rows| cost_report::report(rows, &of, &question));
                write(request, &report.await??)
            }
            ("task", "list") => {
                let question: TaskListQuestion = read(request)?;
                let (of, count_max) = (tenant.clone(), question.count_max.unwrap_or(LIST_COUNT));
                let list = self.tasks.read(shard, question.min_position, move |rows| tasks::list(rows, &of, count_max));
                write(request, &list.await?)
            }
            ("task", "show") => {
                let question: TaskQuestion = read(request)?;
                write(request, &self.task(tenant, shard, question).await?)
            }
            ("history", "replay") => {
                let question: ReplayQuestion = read(request)?;
                let time_max = self.config.answer_time_max;
                write(request, &history::replay(&*self.ports.log, shard, tenant, &question, time_max).await??)
            }
            ("access", "explain") => {
                let question: ExplainQuestion = read(request)?;
                let (tenant, at) = (tenant.clone(), question.at);
                let explain = move |view: &Authority, now| view.explain(&tenant, &question, now);
                write(request, &self.at(request, shard, at, explain).await?)
            }
            ("access", "who-can") => {
                let question: WhoCanQuestion = read(request)?;
                let (tenant, at) = (tenant.clone(), question.at);
                let who_can = move |view: &Authority, now| view.who_can(&tenant, &question, now);
                write(request, &self.at(request, shard, at, who_can).await?)
            }
            ("audit", verb) => self.audit(request, shard, verb).await,
            ("metrics", "read") => {
                let MetricsQuestion {} = read(request)?;
                write(request, &MetricsAnswer { text: self.metrics_of(tenant, shard).await? })
            }
            _ => Err(unknown().into()),
        }
    }

    /// Whether the asker may, by permissions that are fresh. A part of Steward asks for whom it names.
    async fn authorise(&self, request: &Request, shard: Shard, spec: &QuerySpec) -> Result<(), No> {
        let Config { fresh_age_max, position_wait_max, .. } = self.config;
        self.authority.confirm(STEWARD_SHARD, fresh_age_max, position_wait_max).await?;
        if shard != STEWARD_SHARD {
            self.authority.confirm(shard, fresh_age_max, position_wait_max).await?;
        }
        let access = AccessRequest {
            tenant: request.tenant.clone(),
            principal: asker(request).clone(),
            key: None,
            permission: spec.permission(),
            scope: Scope::tenant(&request.tenant),
            context: Context::default(),
        };
        self.authority.read().authorise(&access, self.ports.clock.now())?;
        Ok(())
    }

    async fn task(&self, tenant: &TenantId, shard: Shard, question: TaskQuestion) -> Result<TaskView, No> {
        let TaskQuestion { task, min_position } = question;
        let (of, id) = (tenant.clone(), task.clone());
        let found = self.tasks.read(shard, min_position, move |rows| tasks::show(rows, &of, &id)).await?;
        let found = found.ok_or_else(|| Rejection::not_found("task", &task))?;
        let mut view = found.view;
        if let Some(output) = &found.output {
            match self.open(output).await {
                Ok(output) => view.output = Some(output.text),
                Err(KeyError::Erased(_)) => view.reason = Some("the answer was erased".to_owned()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(view)
    }

    async fn open(&self, output: &Sealed<TaskOutput>) -> Result<TaskOutput, KeyError> {
        let key = self.ports.keyring.find(output.owner()).await?;
        output.open(&key).map_err(|error| KeyError::WrongMasterKey(output.owner().vault_name(), error))
    }

    /// Asks the permissions as they are, or as they were at a moment; of the future nothing is known.
    async fn at<T>(
        &self,
        request: &Request,
        shard: Shard,
        at: Option<Timestamp>,
        ask: impl FnOnce(&Authority, Timestamp) -> T,
    ) -> Result<T, No> {
        let now = self.ports.clock.now();
        match at {
            Some(at) if at > now => Err(Rejection::invalid("at", format!("{at} is yet to come")).into()),
            Some(at) => {
                let view = self.moments.at(shard, &request.tenant, at, self.config.answer_time_max).await?;
                Ok(ask(&view, at))
            }
            None => Ok(ask(&self.authority.read(), now)),
        }
    }

    /// A tenant's own metrics; the reserved tenant's are those of all.
    async fn metrics_of(&self, tenant: &TenantId, shard: Shard) -> Result<String, No> {
        let sums = if tenant.is_steward() {
            let mut all = Vec::new();
            for shard in 0..self.ports.log.shards() {
                all.extend(self.metrics.read(Shard(shard), None::<Position>, metrics::of_shard).await?);
            }
            all
        } else {
            let of = tenant.clone();
            self.metrics.read(shard, None, move |rows| metrics::of_tenant(rows, &of)).await?
        };
        let text = metrics::label(sums, self.config.tenants_labelled_max).text();
        text.map_err(|error| No::Failed(error.to_string()))
    }
}

/// Who asks; the bus vouches for the sender, and only parts of Steward may speak for others.
fn asker(request: &Request) -> &PrincipalId {
    match &request.envelope.on_behalf_of {
        Some(whom) if request.principal.is_system() => whom,
        _ => &request.principal,
    }
}

fn read<T: DeserializeOwned>(request: &Request) -> Result<T, No> {
    request.format.read_named(&request.body).map_err(|reason| Rejection::invalid("body", reason).into())
}

fn write<T: Serialize>(request: &Request, answer: &T) -> Result<Bytes, No> {
    Ok(request.format.write(answer).map(Bytes::from)?)
}

#[async_trait]
impl QueryService for Projectors {
    async fn answer(&self, request: Request) -> Result<Result<Bytes, Rejection>, Failure> {
        match self.try_answer(&request).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(No::Refused(rejection)) => Ok(Err(rejection)),
            Err(No::Failed(reason)) => {
                let subject = request.query_subject();
                tracing::warn!(%subject, %reason, "a question got no answer");
                Err(Failure(reason))
            }
        }
    }
}
