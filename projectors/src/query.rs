//! Answers questions: reads them strictly, asks whether the asker may, waits for the state demanded, and answers in the
//! asker's format.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use steward_aggregates::authority::{AccessRequest, Authority, Context};
use steward_events::BoxError;
use steward_events::bus::{Failure, QueryService, Request};
use steward_events::clock::Clock;
use steward_events::event::TaskOutput;
use steward_events::id::{PrincipalId, TenantId};
use steward_events::keys::{KeyError, Keyring};
use steward_events::live::{Live, NotFresh};
use steward_events::log::{EventLog, LogError};
use steward_events::placement::{Placement, STEWARD_SHARD};
use steward_events::quantity::{Position, Shard};
use steward_events::query::{
    self, CostQuestion, ExplainQuestion, Metrics as MetricsAnswer, MetricsQuestion, QuerySpec, ReplayQuestion,
    TaskListQuestion, TaskQuestion, TaskView, VerifyQuestion, WhoCanQuestion,
};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::sealed::Sealed;
use steward_events::store::Store;

use crate::access_history::Moments;
use crate::config::Config;
use crate::cost_report::{self, CostReport};
use crate::metrics::{self, Metrics};
use crate::projector::Projector;
use crate::runner::{NotReady, Progress, Runner, Stage};
use crate::tasks::{self, Tasks};
use crate::{history, reading, verify};

/// How many tasks a list has if the question does not say.
const LIST_COUNT: u32 = 100;

/// What read models need of the world.
#[derive(Clone)]
pub struct ProjectorPorts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Where rows are kept.
    pub store: Arc<dyn Store>,
    /// Opens answers of tasks for those who may read them.
    pub keyring: Arc<Keyring>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// All read models.
pub struct Projectors {
    ports: ProjectorPorts,
    config: Config,
    placement: Placement,
    authority: Live<Authority>,
    moments: Moments<Authority>,
    cost: Arc<Runner<CostReport>>,
    tasks: Arc<Runner<Tasks>>,
    metrics: Arc<Runner<Metrics>>,
}

/// How far one view is in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which view.
    pub view: &'static str,
    /// Which shard.
    pub shard: Shard,
    /// How far, and whether it may be asked.
    pub progress: Progress,
}

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
    /// The read models over `ports`. They answer once [`Self::run`] has caught up. Needs a tokio runtime.
    pub fn new(ports: ProjectorPorts, config: Config) -> Arc<Self> {
        let (log, clock) = (&ports.log, &ports.clock);
        Arc::new(Self {
            placement: Placement::new(Arc::clone(log)),
            authority: Live::start(Arc::clone(log), Arc::clone(clock)),
            moments: Moments::new(Arc::clone(log), Arc::clone(clock), config.moments_held_max),
            cost: Arc::new(Runner::new(Arc::clone(log), &ports.store, config.clone())),
            tasks: Arc::new(Runner::new(Arc::clone(log), &ports.store, config.clone())),
            metrics: Arc::new(Runner::new(Arc::clone(log), &ports.store, config.clone())),
            ports,
            config,
        })
    }

    /// Keeps all views current until `shutdown`, then makes durable what they have.
    ///
    /// # Errors
    /// If that last step fails; the log rebuilds what is lost.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), BoxError> {
        let mut views = JoinSet::new();
        views.spawn(Arc::clone(&self.cost).run(shutdown.clone()));
        views.spawn(Arc::clone(&self.tasks).run(shutdown.clone()));
        views.spawn(Arc::clone(&self.metrics).run(shutdown.clone()));
        while views.join_next().await.is_some() {}
        // A view that has stopped must not end the process: the others answer, and readiness says which it is.
        shutdown.cancelled().await;
        let store = Arc::clone(&self.ports.store);
        tokio::task::spawn_blocking(move || store.flush()).await?
    }

    /// How far each view is in each shard.
    pub fn status(&self) -> Vec<Status> {
        fn of<P: Projector>(runner: &Runner<P>) -> impl Iterator<Item = Status> + '_ {
            runner.progress().map(|(shard, progress)| Status { view: P::NAME, shard, progress })
        }
        of(&self.cost).chain(of(&self.tasks)).chain(of(&self.metrics)).collect()
    }

    /// How many positions each view has yet to come, over all shards.
    ///
    /// # Errors
    /// If the log does not say where it ends.
    pub async fn lag(&self) -> Result<Vec<(&'static str, u64)>, LogError> {
        let sum = |lags: Vec<(Shard, u64)>| lags.into_iter().map(|(_, lag)| lag).sum();
        Ok(vec![
            (CostReport::NAME, sum(self.cost.lag().await?)),
            (Tasks::NAME, sum(self.tasks.lag().await?)),
            (Metrics::NAME, sum(self.metrics.lag().await?)),
        ])
    }

    /// Whether questions can be answered.
    ///
    /// # Errors
    /// The first thing in the way.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(reason) = self.authority.stopped() {
            return Err(format!("the view of permissions has stopped: {reason}"));
        }
        let hindrance = self.status().into_iter().find_map(|Status { view, shard, progress }| match progress.stage {
            Stage::Current => None,
            Stage::CatchingUp => Some(format!("{view} of shard {shard} is catching up, at {}", progress.position)),
            Stage::Stopped(reason) => Some(format!("{view} of shard {shard} has stopped: {reason}")),
        });
        hindrance.map_or(Ok(()), Err)
    }

    /// The projected metrics of all tenants as they are now, as OpenMetrics text.
    pub fn metrics_text(&self) -> String {
        let text = self.all_metrics().and_then(|all| Ok(metrics::label(all, self.config.tenants_labelled_max).text()?));
        text.unwrap_or_else(|error| {
            tracing::error!(%error, "projected metrics cannot be read");
            String::new()
        })
    }

    fn all_metrics(&self) -> Result<Vec<(String, metrics::Sums)>, BoxError> {
        Ok(self.metrics.peek(metrics::of_shard)?.into_iter().flatten().collect())
    }

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
            ("audit", "verify") => {
                let VerifyQuestion {} = read(request)?;
                write(request, &self.verify(tenant, shard).await?)
            }
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
        at: Option<steward_events::clock::Timestamp>,
        ask: impl FnOnce(&Authority, steward_events::clock::Timestamp) -> T,
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

    async fn verify(&self, tenant: &TenantId, shard: Shard) -> Result<query::Verification, No> {
        let checkpoints = [
            (CostReport::NAME, self.cost.checkpoint(shard)?),
            (Tasks::NAME, self.tasks.checkpoint(shard)?),
            (Metrics::NAME, self.metrics.checkpoint(shard)?),
        ];
        let time_max = self.config.answer_time_max;
        Ok(verify::verify(&*self.ports.log, shard, tenant, &checkpoints, time_max).await?)
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
