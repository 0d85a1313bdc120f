//! From a request on the bus to its reply: read, placed, fresh, allowed, sealed, queued.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use steward_authority::{Allowed, Authority, CHANGES_RIGHTS};
use steward_events::command::{Command, Reference};
use steward_events::event::{DenialKind, GrantId, QuotaKind, Quotas};
use steward_events::id::{PrincipalId, SystemPart, TenantId};
use steward_events::ids::{DerivedIds, Ids};
use steward_events::quantity::{Position, Shard};
use steward_events::rejection::Rejection;
use steward_events::request::{Reply, Request};
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::shard::STEWARD_SHARD;
use steward_events::stream::StreamName;
use steward_ports::bus::{CommandService, Failure};
use steward_ports::clock::Clock;
use steward_ports::keys::Keyring;
use steward_ports::live::{Live, NotFresh};
use steward_ports::log::{EventLog, Filter};
use steward_ports::notes::{Note, Notes};
use steward_ports::per_minute::PerMinute;
use steward_ports::placement::Placement;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::config::HandlerConfig;
use crate::group_commit::{Env, Job};
use crate::idempotency::{Decided, ISSUED_AGO_MAX, ISSUED_AHEAD_MAX};
use crate::pace::Pace;
use crate::seal::{NotSealed, seal};
use crate::skew::Skew;
use crate::streams::Streams;

/// How often to look whether a tenant has been opened.
const OPENING_LOOK: Duration = Duration::from_millis(20);

/// What a handler stands on.
pub struct HandlerPorts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Data keys, to seal content with.
    pub keyring: Arc<Keyring>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of commits and journals; what commands make is named after the command.
    pub ids: Arc<dyn Ids>,
}

/// Decides commands. Any number may serve the same log: the log's expected position is the fence between them.
pub struct Handler {
    pub(crate) env: Arc<Env>,
    keyring: Arc<Keyring>,
    placement: Placement,
    authority: Arc<Live<Authority>>,
    pub(crate) streams: Streams,
    notes: Notes,
    pace: Pace,
    per_minute: PerMinute,
    decided: Decided,
    /// Drops keys of those who are erased.
    _forgets: JoinSet<()>,
}

/// Who sends a command, once it is known that they may.
#[derive(Clone)]
pub(crate) struct Sender {
    /// Who really acts.
    pub(crate) principal: PrincipalId,
    /// With which key, if that is known.
    pub(crate) key: Option<KeyRef>,
    /// The widest scope at which they hold the permission.
    reach: Scope,
    /// The time zone of the tenant that it is about.
    pub(crate) timezone: String,
    /// How many things that tenant may have.
    pub(crate) quotas: Quotas,
    /// The grant that is set aside for a trial and without which they might not.
    set_aside: Option<GrantId>,
}

impl Handler {
    /// Starts to follow the log; must be called within a tokio runtime.
    pub fn new(ports: HandlerPorts, config: HandlerConfig) -> Arc<Self> {
        let HandlerPorts { log, keyring, clock, ids } = ports;
        let pace = Pace::new(config.commands_per_second_max, config.command_bytes_per_second_max);
        let env = Arc::new(Env {
            log: Arc::clone(&log),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            config,
            skew: Skew::default(),
            runtime: tokio::runtime::Handle::current(),
        });
        let authority = Arc::new(Live::start(Arc::clone(&log), Arc::clone(&clock)));
        Arc::new(Self {
            _forgets: keyring.follow(&authority),
            keyring,
            placement: Placement::new(Arc::clone(&log)),
            authority,
            streams: Streams::new(Arc::clone(&env)),
            // What somebody unknown did is none of its business, so nobody speaks for them.
            notes: Notes::start(log, clock, ids, SystemPart::Bootstrap),
            pace,
            per_minute: PerMinute::default(),
            decided: Decided::default(),
            env,
        })
    }

    /// What this handler knows of who may do what: for readiness, and for others in the same process.
    pub fn authority(&self) -> &Live<Authority> {
        &self.authority
    }

    /// Waits until everything recorded so far is known here: it is ready then.
    ///
    /// # Errors
    /// [`NotFresh`] if the log cannot be read in time, or holds what this build cannot read.
    pub async fn caught_up(&self, time_max: Duration) -> Result<(), NotFresh> {
        self.authority.caught_up(time_max).await
    }

    async fn decide(&self, request: Request) -> Result<Result<Reply, Rejection>, Failure> {
        if !request.principal.is_system()
            && let Err(busy) = self.pace.count(&request.tenant, request.body.len(), self.env.clock.monotonic())
        {
            return Ok(Err(busy));
        }
        let limit = self.authority.read().quotas(&request.tenant).limit(QuotaKind::CommandsPerMinute);
        let who = (&request.tenant, &request.principal);
        if let Err(busy) = self.per_minute.count(who, "commands", limit, self.env.clock.monotonic()) {
            return Ok(Err(busy));
        }
        self.env.clock_is_right().await?;
        let (command, bytes) = match self.read(&request) {
            Ok(read) => read,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let Some(shard) = self.placement.shard(&request.tenant).await.map_err(unavailable)? else {
            return Ok(Err(Rejection::UnknownTenant { tenant: request.tenant }));
        };
        let sender = match self.allowed(&request, &command, shard).await? {
            Ok(sender) => sender,
            Err(rejection) => return Ok(Err(rejection)),
        };
        if let Err(rejection) = self.check_references(&request.tenant, shard, &command).await? {
            return Ok(Err(rejection));
        }
        let stream =
            StreamName { shard, tenant: request.tenant.clone(), kind: command.aggregate(), id: command.stream() };
        let place = match self.take_place(&stream, &command, &sender).await? {
            Ok(place) => place,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let Some(place) = place else { return self.queue(request, command, bytes, stream, sender).await };
        let reply = self.queue(request, command, bytes, stream.clone(), sender.clone()).await?;
        self.return_if_unused(&stream, place, (&reply, &sender)).await;
        Ok(reply)
    }

    /// Reads the command; names what it makes after its id, so that a retry anywhere makes the same.
    fn read(&self, request: &Request) -> Result<(Command, usize), Rejection> {
        let (bytes, bytes_max) = (request.body.len(), self.env.config.body_bytes_max);
        if bytes > bytes_max {
            return Err(Rejection::invalid("body", format!("has {bytes} bytes; at most {bytes_max} are allowed")));
        }
        let (now, issued_at) = (self.env.clock.now(), request.envelope.issued_at);
        if now.since(issued_at) > ISSUED_AGO_MAX {
            return Err(Rejection::Expired);
        }
        if issued_at > now.plus(ISSUED_AHEAD_MAX) {
            return Err(Rejection::invalid(
                "issued_at",
                format!("{issued_at} is in the future; correct the clock of the sender"),
            ));
        }
        let mut command = Command::read(&request.noun, &request.verb, request.format, &request.body)?;
        let seed = format!("{}\0{}\0{}", request.tenant, request.principal, request.envelope.command);
        command.body_mut().complete(&DerivedIds::from_seed(seed));
        Ok((command, bytes))
    }

    /// Whether the sender may, by what is known and fresh; who they are if so.
    async fn allowed(
        &self,
        request: &Request,
        command: &Command,
        shard: Shard,
    ) -> Result<Result<Sender, Rejection>, Failure> {
        self.confirm(shard, self.env.config.fresh_age_max).await?;
        if command.body().needs_open_tenant() && !self.opened(&request.tenant, shard).await? {
            let reason = format!("tenant {} is being opened; send the command again", request.tenant);
            return Ok(Err(Rejection::stale(reason)));
        }
        let at = self.scope_recorded(&request.tenant, shard, command).await?;
        let ask = || {
            let authority = self.authority.read();
            let now = self.env.clock.now();
            let Request { tenant, principal, .. } = request;
            let allowed = authority.may_send(tenant, principal, command, at.as_ref(), now)?;
            let (timezone, quotas) = (authority.timezone(tenant).to_owned(), authority.quotas(tenant));
            let reach = authority.reach(tenant, principal, command, now);
            let Allowed { principal, key, set_aside, .. } = allowed;
            Ok(Sender { principal, key, reach, timezone, quotas, set_aside })
        };
        let mut decided = ask();
        if decided.is_err() {
            // Fresh enough to say yes is not fresh enough to say no: the grant may have been given a moment ago.
            self.confirm(shard, Duration::ZERO).await?;
            decided = ask();
        }
        if let Ok(Sender { principal, set_aside: Some(grant), .. }) = &decided {
            let (permission, scope) =
                (command.spec().permission(), at.unwrap_or_else(|| command.scope(&request.tenant)));
            self.notes.note(Note::spared(&request.tenant, principal, grant, (&permission, &scope)));
        }
        Ok(decided)
    }

    /// Where the command concerns, if a stream says so: its first event does, and that never changes.
    async fn scope_recorded(
        &self,
        tenant: &TenantId,
        shard: Shard,
        command: &Command,
    ) -> Result<Option<Scope>, Failure> {
        let Some(Reference { kind, id }) = command.body().concerns() else { return Ok(None) };
        let stream = StreamName { shard, tenant: tenant.clone(), kind, id };
        let Some(first) = self.env.log.slot(&stream, Position(0)).await.map_err(unavailable)? else { return Ok(None) };
        let commit = first.commit().map_err(unavailable)?;
        let mut events = commit.entries.iter().flat_map(|entry| &entry.events);
        Ok(events.find_map(|event| event.scope().cloned()))
    }

    async fn confirm(&self, shard: Shard, age_max: Duration) -> Result<(), Failure> {
        let wait_max = self.env.config.fresh_wait_max;
        let confirm = |shard| self.authority.confirm(shard, age_max, wait_max);
        let confirmed = if shard == STEWARD_SHARD {
            confirm(shard).await
        } else {
            let (own, stewards) = tokio::join!(confirm(shard), confirm(STEWARD_SHARD));
            own.and(stewards)
        };
        confirmed.map_err(unavailable)
    }

    /// True once the tenant is open; waits a little, for it may have been created a moment ago.
    async fn opened(&self, tenant: &TenantId, shard: Shard) -> Result<bool, Failure> {
        let since = self.env.clock.monotonic();
        loop {
            if self.authority.read().is_open(tenant) {
                return Ok(true);
            }
            if self.env.clock.monotonic().saturating_sub(since) >= self.env.config.opening_wait_max {
                return Ok(false);
            }
            tokio::time::sleep(OPENING_LOOK).await;
            self.confirm(shard, self.env.config.fresh_age_max).await?;
        }
    }

    /// What the command refers to exists; its own stream cannot know.
    async fn check_references(
        &self,
        tenant: &TenantId,
        shard: Shard,
        command: &Command,
    ) -> Result<Result<(), Rejection>, Failure> {
        for Reference { kind, id } in command.body().references() {
            let stream = StreamName { shard, tenant: tenant.clone(), kind, id };
            if self.env.log.last(&Filter::stream(&stream)).await.map_err(unavailable)? == Position(0) {
                return Ok(Err(Rejection::not_found(kind.as_str(), &stream.id)));
            }
        }
        Ok(Ok(()))
    }

    async fn queue(
        &self,
        request: Request,
        mut command: Command,
        bytes: usize,
        stream: StreamName,
        sender: Sender,
    ) -> Result<Result<Reply, Rejection>, Failure> {
        let body = match seal(&mut command, &request.tenant, &self.keyring).await {
            Ok(body) => body,
            Err(NotSealed::Refused(rejection)) => return Ok(Err(rejection)),
            Err(NotSealed::Failed(error)) => {
                tracing::error!(tenant.id = %request.tenant, %error, "content cannot be sealed");
                return Err(Failure("content cannot be sealed now; send the command again".to_owned()));
            }
        };
        let id = request.envelope.command.clone();
        let name = Decided::name(&request.tenant, &sender.principal, &id);
        let body = (!request.principal.is_system()).then_some(body);
        if body.is_some_and(|body| self.decided.is_another(&name, body)) {
            return Ok(Err(Rejection::Reused { id }));
        }
        let shard = stream.shard;
        let (reply, replied) = oneshot::channel();
        let system = request.principal.is_system();
        let job = Job {
            command,
            id: request.envelope.command,
            issued_at: request.envelope.issued_at,
            on_behalf_of: request.envelope.on_behalf_of.filter(|_| system),
            actor: sender.principal,
            key: sender.key,
            causation: request.envelope.causation,
            correlation: request.envelope.correlation,
            reach: sender.reach,
            body,
            timezone: sender.timezone,
            quotas: sender.quotas,
            bytes,
            reply,
        };
        self.streams.lane(&stream)?.bring(job).await?;
        let lost = |_| Err(Failure("the decision was lost; send the command again".to_owned()));
        let reply = replied.await.unwrap_or_else(lost)?;
        let changed = reply.accepted && !reply.events.is_empty();
        if changed && CHANGES_RIGHTS.contains(&stream.kind) {
            // Who is told that a right is gone finds it gone with the next command, not only once what is known is too old.
            let folded = self.authority.reached(shard, reply.position, self.env.config.fresh_wait_max).await;
            if let Err(error) = folded {
                tracing::warn!(%stream, %error, "a change of rights is recorded and not known here yet");
            }
        }
        if let Some(body) = body.filter(|_| changed) {
            self.decided.remember(name, body);
        }
        Ok(Ok(reply))
    }
}

#[async_trait]
impl CommandService for Handler {
    async fn handle(&self, request: Request) -> Result<Reply, Failure> {
        let (tenant, principal) = (request.tenant.clone(), request.principal.clone());
        let correlation = request.envelope.correlation.clone();
        let decided = self.decide(request).await?;
        let refused = match &decided {
            Ok(reply) => reply.rejection.as_ref(),
            Err(rejection) => Some(rejection),
        };
        if let Some(rejection) = refused.filter(|rejection| is_noted(&principal, rejection))
            && let Some(note) = Note::denial(&tenant, &principal, rejection, &correlation)
        {
            self.notes.note(note);
        }
        match decided {
            Ok(reply) => Ok(reply),
            Err(rejection) => {
                // Refused before any stream was asked, by what is known of the tenant up to here.
                let shard = self.placement.shard(&tenant).await.ok().flatten().unwrap_or(STEWARD_SHARD);
                let position = self.authority.positions().get(usize::from(shard.0)).copied();
                Ok(Reply::refused(rejection, position.unwrap_or_default()))
            }
        }
    }

    fn refused(&self, tenant: &TenantId, principal: &PrincipalId, kind: DenialKind, why: &str) {
        self.notes.note(Note::on_the_bus(tenant, principal, kind, why));
    }
}

/// Parts of Steward meet limits on others' behalf, and who that is is noted where they are known; their own business is only
/// what they must not.
fn is_noted(principal: &PrincipalId, rejection: &Rejection) -> bool {
    !principal.is_system() || matches!(rejection, Rejection::Forbidden { .. })
}

pub(crate) fn unavailable(error: impl std::error::Error) -> Failure {
    tracing::warn!(%error, "a command fails: the log does not confirm what it rests on");
    Failure(format!("{error}; send the command again with the same id"))
}
