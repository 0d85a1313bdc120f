//! The model calls of one run: makes them, each to its end, and ends them in order when the process stops.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use steward_aggregates::catalog::Catalogs;
use steward_events::event::ModelSpec;
use steward_events::id::{HolderId, ModelId};
use steward_events::ids::Ids;
use steward_events::rejection::Rejection;
use steward_events::sealed::KeyOwner;
use steward_ports::bus::CommandBus;
use steward_ports::clock::Clock;
use steward_ports::contents::ContentStore;
use steward_ports::keys::hear_of_erased;
use steward_ports::live::Live;
use steward_ports::log::EventLog;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::access::{Access, AuthenticatedKey};
use crate::admission::{Admission, AdmissionPorts};
use crate::call::{Accepted, Parts, Pipeline, Reply};
use crate::config::Config;
use crate::contents::files::Files;
use crate::contents::{Contents, Tallies};
use crate::dialect::{Dialect, ToCount};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::revocation;
use crate::run_to_end::{Left, RunToEnd};
use crate::targets::{Lots, Targets};
use crate::tenant_secrets::TenantSecrets;
use crate::tokenizer;
use crate::upstream::Providers;

/// How long cut calls have to record their end.
const CUT_TIME_MAX: Duration = Duration::from_secs(5);

/// What calls need from the world.
pub struct CallsPorts {
    /// Written for the journal of usage only.
    pub log: Arc<dyn EventLog>,
    /// Where leases are asked for, and secrets of tenants.
    pub bus: Arc<dyn CommandBus>,
    /// Where contents are kept beside the log.
    pub contents: Arc<dyn ContentStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Who holds which key, and what they may.
    pub access: Arc<Access>,
    /// Which models there are.
    pub catalogs: Arc<Live<Catalogs>>,
    /// Whom calls go to.
    pub providers: Providers,
    /// Where calls are counted.
    pub metrics: Metrics,
}

/// All model calls of one run.
pub struct Calls {
    pipeline: Arc<Pipeline>,
    pub(crate) access: Arc<Access>,
    pub(crate) catalogs: Arc<Live<Catalogs>>,
    admission: Arc<Admission>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) contents: Arc<Contents>,
    /// The calls that run, each of which must record its end, and what makes calls for nobody who waits.
    pub(crate) tracker: TaskTracker,
    /// Cuts the calls that run.
    cut: CancellationToken,
}

impl Calls {
    /// Ready to make calls; must be called within a tokio runtime.
    pub fn new(ports: CallsPorts, config: &Config) -> Arc<Self> {
        let CallsPorts { log, bus, contents, clock, ids, access, catalogs, providers, metrics } = ports;
        // Prefix and unique part are tokens.
        #[allow(clippy::expect_used)]
        let holder = HolderId::new(format!("gw_{}", ids.unique())).expect("a unique id is a token");
        let lots = Lots::new(&ids.unique());
        let targets = Targets::new(config.targets.clone(), Arc::clone(&clock), metrics.targets.clone(), lots);
        let secrets = Arc::new(TenantSecrets::new(Arc::clone(&bus), Arc::clone(&clock), Arc::clone(&ids)));
        let contents = Arc::new(Contents {
            store: contents,
            secrets: Arc::clone(&secrets),
            catalogs: Arc::clone(&catalogs),
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            tallies: Tallies::new(Arc::clone(&clock), config.kept_per_tenant_bytes_max),
            fresh_wait_max: config.fresh_wait_max,
        });
        let admission = AdmissionPorts { log, bus, clock: Arc::clone(&clock), ids: Arc::clone(&ids) };
        let admission = Admission::new(admission, config.admission.clone(), holder);
        let (tracker, cut) = (TaskTracker::new(), CancellationToken::new());
        let parts = Parts {
            access: Arc::clone(&access),
            catalogs: Arc::clone(&catalogs),
            admission: Arc::clone(&admission),
            providers,
            targets,
            secrets,
            contents: Arc::clone(&contents),
            metrics,
            clock: Arc::clone(&clock),
            tracker: tracker.clone(),
            cut: cut.clone(),
        };
        let pipeline = Arc::new(Pipeline::new(parts, config));
        Arc::new(Self { pipeline, access, catalogs, admission, clock, ids, contents, tracker, cut })
    }

    /// Makes a call. Dropping the future tells that the client has gone; what was started is recorded all the same.
    ///
    /// # Errors
    /// Why it was not made, or got no good answer.
    pub async fn make(self: &Arc<Self>, dialect: &'static dyn Dialect, accepted: Accepted) -> Result<Reply, Error> {
        let (calls, left) = (Arc::clone(self), Left::default());
        let hears = left.clone();
        let running = async move { calls.pipeline.run(accepted, dialect, &hears).await }.in_current_span();
        let caught = AssertUnwindSafe(running).catch_unwind();
        RunToEnd::new(caught, left, &self.tracker).await.unwrap_or_else(|_| {
            tracing::error!("a call ended with an error of the gateway");
            Err(Error::Unanswered("the call ended with an error of the gateway".to_owned()))
        })
    }

    /// What files hold.
    pub fn files(&self) -> Files {
        Files(Arc::clone(&self.contents))
    }

    /// The models that this key may call, and what is known of each.
    ///
    /// # Errors
    /// If the tenant is suspended, and may call none.
    pub fn models(&self, key: &AuthenticatedKey) -> Result<Vec<(ModelId, ModelSpec)>, Error> {
        let tenant = &key.holder.tenant;
        if let Some(reason) = self.access.authority().read().suspended(tenant) {
            return Err(Rejection::Suspended { tenant: tenant.clone(), reason: reason.to_owned() }.into());
        }
        let catalogs = self.catalogs.read();
        let may_call = |model: &&ModelId| self.access.may_name(key, model);
        let models = catalogs.models(tenant).into_iter().filter(may_call);
        Ok(models.filter_map(|model| Some((model.clone(), catalogs.offer(tenant, model)?.spec))).collect())
    }

    /// About how many tokens a request is: exactly what its texts are, if the model's vocabulary is known, else a token for
    /// every four bytes. Nothing is called.
    ///
    /// # Errors
    /// If this key may not call the model.
    pub async fn count_tokens(&self, key: &AuthenticatedKey, request: &ToCount) -> Result<u64, Error> {
        let ToCount { model, messages, bytes, body } = request;
        if !self.models(key)?.iter().any(|(known, _)| known == model) {
            return Err(Error::NoSuchModel(model.to_string()));
        }
        let tokenizer = {
            let catalogs = self.catalogs.read();
            let offer = catalogs.offer(&key.holder.tenant, model);
            offer.and_then(|offer| tokenizer::of(&offer.spec, offer.targets))
        };
        Ok(tokenizer::about(tokenizer, body, (*messages, *bytes)).await)
    }

    /// Hands back what was lent for calls that can no longer come, until `shutdown`.
    pub fn watch_revocations(&self, shutdown: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let (access, admission, clock) =
            (Arc::clone(&self.access), Arc::clone(&self.admission), Arc::clone(&self.clock));
        revocation::watch(access, admission, clock, shutdown)
    }

    /// Drops from memory what is kept of tenants that are erased, until `shutdown`.
    pub fn watch_erasures(&self, shutdown: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let (secrets, cache) = (Arc::clone(&self.contents.secrets), self.pipeline.cache());
        let hearing = hear_of_erased(Arc::downgrade(self.access.authority()), move |owner| {
            if let KeyOwner::Tenant(tenant) = owner {
                secrets.forget(tenant);
                cache.forget(tenant);
            }
        });
        async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = hearing => {}
            }
        }
    }

    /// Lets running calls end while `connections` do, cuts those that take longer than `time_max`, and closes the leases.
    pub async fn drain(&self, connections: impl Future<Output = ()>, time_max: Duration) {
        self.tracker.close();
        let calm = async {
            connections.await;
            self.tracker.wait().await;
        };
        if tokio::time::timeout(time_max, calm).await.is_err() {
            tracing::warn!(calls = self.tracker.len(), "calls that still ran were cut");
        }
        self.cut.cancel();
        if tokio::time::timeout(CUT_TIME_MAX, self.tracker.wait()).await.is_err() {
            tracing::error!(calls = self.tracker.len(), "calls did not record their end in time and stay unsettled");
        }
        self.admission.drain().await;
    }
}
