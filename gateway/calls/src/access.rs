//! Key → who acts, and whether they may: from the live authority, and only while that is known to be fresh.
//!
//! Knows how fresh is fresh enough. It must not know how a key came, nor decide anything itself: [`Authority`] does, by
//! the same code as the handler.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use steward_authority::{AccessRequest, Allowed, Authority, Context, KeyHolder, check_reach};
use steward_events::id::{BatchId, DataClass, FlagId, ModelId, PrincipalId, TaskId, TenantId};
use steward_events::permission::Permission;
use steward_events::quantity::{NanoDollars, Shard};
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::secret::tenant_of;
use steward_events::sender::KeyRef;
use steward_events::shard::STEWARD_SHARD;
use steward_ports::clock::Clock;
use steward_ports::live::{Live, NotFresh};
use steward_ports::log::{EventLog, LogError};
use steward_ports::notes::{Note, Notes};
use steward_ports::placement::Placement;

use crate::config::Config;
use crate::error::Error;

/// Who holds which key, and what they may.
pub struct Access {
    authority: Arc<Live<Authority>>,
    placement: Placement,
    clock: Arc<dyn Clock>,
    fresh_age_max: Duration,
    fresh_wait_max: Duration,
    /// Where it is said that somebody went by a grant which is set aside for a trial.
    notes: Notes,
}

/// A key that was found good: who holds it, and where their tenant lives.
#[derive(Clone, Debug)]
pub struct AuthenticatedKey {
    /// Who, with which key.
    pub holder: Arc<KeyHolder>,
    /// The shard of their tenant.
    pub shard: Shard,
}

impl AuthenticatedKey {
    /// The batch that it was made for, if it was.
    pub fn batch(&self) -> Option<BatchId> {
        self.holder.task.as_ref().and_then(TaskId::batch)
    }

    /// Where what comes by this key belongs, and is booked. An operator's key reaches everything, but what comes by it
    /// belongs to its own tenant.
    pub fn place(&self) -> Scope {
        place(&self.holder)
    }
}

/// As [`AuthenticatedKey::place`].
pub(crate) fn place(KeyHolder { scope, tenant, .. }: &KeyHolder) -> Scope {
    if scope.is_within(tenant) { scope.clone() } else { Scope::tenant(tenant) }
}

impl Access {
    /// Starts to follow the log.
    pub fn start(log: &Arc<dyn EventLog>, clock: &Arc<dyn Clock>, config: &Config, notes: Notes) -> Self {
        Self {
            authority: Arc::new(Live::start(Arc::clone(log), Arc::clone(clock))),
            placement: Placement::new(Arc::clone(log)),
            clock: Arc::clone(clock),
            fresh_age_max: config.fresh_age_max,
            fresh_wait_max: config.fresh_wait_max,
            notes,
        }
    }

    /// The live fold, for what only needs to look.
    pub fn authority(&self) -> &Arc<Live<Authority>> {
        &self.authority
    }

    /// Whether `secret` is or was a key, as far as this process has heard: to be asked before anything is asked of the log.
    pub fn has_known(&self, secret: &str) -> bool {
        self.authority.read().has_known(secret)
    }

    /// Who holds `secret`.
    ///
    /// # Errors
    /// [`Error::WrongKey`], or [`Error::Unavailable`] if that cannot be known for sure.
    pub async fn find(&self, secret: &str) -> Result<AuthenticatedKey, Error> {
        let Some(tenant) = tenant_of(secret) else { return Err(Error::WrongKey) };
        let Some(shard) = self.shard(&tenant).await? else { return Err(Error::WrongKey) };
        self.confirm(shard).await?;
        let holder = || {
            let found = self.authority.read().authenticate(secret, self.clock.now());
            found.filter(|at| at.tenant == tenant).map(Arc::new)
        };
        if let Some(holder) = holder() {
            return Ok(AuthenticatedKey { holder, shard });
        }
        if !self.has_known(secret) {
            // Fresh enough to say yes is not fresh enough to say no: it may have been issued a moment ago.
            self.confirm_now(shard).await?;
        }
        let refused = || {
            let ownerless = self.authority.read().ownerless(secret, self.clock.now());
            ownerless.map_or(Error::WrongKey, Error::from)
        };
        holder().map(|holder| AuthenticatedKey { holder, shard }).ok_or_else(refused)
    }

    /// Whether a key that was found may be used from `address` now: asked where it comes in, and nowhere else.
    ///
    /// # Errors
    /// [`Rejection::Forbidden`] with the addresses or hours that would do.
    pub fn admit(&self, holder: &KeyHolder, address: Option<IpAddr>) -> Result<(), Rejection> {
        self.authority.read().admit(holder, address, self.clock.now())
    }

    /// Makes sure that what is known of a tenant's keys and grants, and of the defaults all inherit, is fresh.
    pub async fn confirm(&self, shard: Shard) -> Result<(), NotFresh> {
        self.confirm_within(shard, self.fresh_age_max).await
    }

    /// Makes sure that it holds all that was recorded when this is called. Before a no: what would have allowed it may
    /// have been recorded a moment ago.
    pub async fn confirm_now(&self, shard: Shard) -> Result<(), NotFresh> {
        self.confirm_within(shard, Duration::ZERO).await
    }

    async fn confirm_within(&self, shard: Shard, age_max: Duration) -> Result<(), NotFresh> {
        let confirm = |shard| self.authority.confirm(shard, age_max, self.fresh_wait_max);
        if shard == STEWARD_SHARD {
            return confirm(shard).await;
        }
        if self.authority.is_fresh(shard, age_max) && self.authority.is_fresh(STEWARD_SHARD, age_max) {
            return Ok(());
        }
        let (own, inherited) = tokio::join!(confirm(shard), confirm(STEWARD_SHARD));
        own.and(inherited)
    }

    /// Ends with why `check` says no, as soon as that is heard of: at once if it is known already.
    pub(crate) async fn until_revoked(&self, shard: Shard, check: impl Fn() -> Result<(), Rejection>) -> Rejection {
        let (Some(mut own), Some(mut inherited)) = (self.authority.moves(shard), self.authority.moves(STEWARD_SHARD))
        else {
            return std::future::pending().await;
        };
        loop {
            if let Err(why) = check() {
                return why;
            }
            tokio::select! {
                Ok(()) = own.changed() => {}
                Ok(()) = inherited.changed() => {}
                // The folds have ended with this process.
                else => return std::future::pending().await,
            }
        }
    }

    /// Whether `holder` may, as far as is known now. Confirm freshness first.
    pub fn authorise(
        &self,
        holder: &KeyHolder,
        tenant: &TenantId,
        permission: Permission,
        scope: Scope,
        context: Context,
    ) -> Result<(), Rejection> {
        self.allowed(holder, tenant, permission, scope, context).map(|_| ())
    }

    fn allowed(
        &self,
        holder: &KeyHolder,
        tenant: &TenantId,
        permission: Permission,
        scope: Scope,
        context: Context,
    ) -> Result<Allowed, Rejection> {
        let request = request(holder, tenant, permission, scope, context);
        self.authority.read().authorise_holder(holder, &request, self.clock.now())
    }

    /// Says where it is heard that `holder` needs a grant which is set aside: it is given back then.
    fn note_spared(&self, holder: &KeyHolder, allowed: &Allowed, what: (&Permission, &Scope)) {
        if let Some(grant) = &allowed.set_aside {
            self.notes.note(Note::spared(&holder.tenant, &holder.principal, grant, what));
        }
    }

    /// Whether the key may call some model at some cost: who may call none is told so before the request is read. A no rests
    /// on all that was recorded.
    ///
    /// # Errors
    /// [`Error::Rejected`], or [`Error::Unavailable`] if that cannot be known for sure.
    pub async fn may_call_something(&self, AuthenticatedKey { holder, shard }: &AuthenticatedKey) -> Result<(), Error> {
        let check = || self.authority.read().may_ever(holder, &Permission::model_invoke(), self.clock.now());
        if check().is_err() {
            self.confirm_now(*shard).await?;
            check()?;
        }
        Ok(())
    }

    /// The flags of the key's holder in `tenant`, as soon as they are not what the caller has `seen`; as they are after
    /// `time_max`.
    ///
    /// # Errors
    /// [`Error::Rejected`] who may not read them, or not any more; [`Error::Unavailable`] if that cannot be known for sure.
    pub async fn flags_unless(
        &self,
        key: &AuthenticatedKey,
        tenant: &TenantId,
        seen: impl Fn(&[(FlagId, bool)]) -> bool,
        time_max: Duration,
    ) -> Result<Vec<(FlagId, bool)>, Error> {
        let unknown = || Rejection::UnknownTenant { tenant: tenant.clone() };
        let shard = self.shard(tenant).await?.ok_or_else(unknown)?;
        let (Some(mut own), Some(mut inherited)) = (self.authority.moves(shard), self.authority.moves(STEWARD_SHARD))
        else {
            return Err(unknown().into());
        };
        self.confirm(shard).await?;
        let scope = if key.holder.tenant == *tenant { key.place() } else { Scope::tenant(tenant) };
        let flags = || {
            let may = Permission::flag_read();
            self.authorise(&key.holder, tenant, may, scope.clone(), Context::default())?;
            Ok::<_, Rejection>(self.authority.read().flags_of(tenant, &key.holder.principal))
        };
        if flags().is_err() {
            // A no rests on all that was recorded.
            self.confirm_now(shard).await?;
        }
        let changed = async {
            loop {
                let now = flags()?;
                if !seen(&now) {
                    return Ok(now);
                }
                tokio::select! {
                    Ok(()) = own.changed() => {}
                    Ok(()) = inherited.changed() => {}
                    // The folds have ended with this process.
                    else => return Ok(now),
                }
            }
        };
        match tokio::time::timeout(time_max, changed).await {
            Ok(changed) => changed,
            Err(_) => Ok(flags()?),
        }
    }

    /// Whether the key may do this where what comes by it belongs. A no rests on all that was recorded.
    ///
    /// # Errors
    /// [`Error::Rejected`], or [`Error::Unavailable`] if that cannot be known for sure.
    pub async fn may(&self, key: &AuthenticatedKey, permission: &Permission) -> Result<(), Error> {
        let AuthenticatedKey { holder, shard } = key;
        let place = key.place();
        let check = || self.allowed(holder, &holder.tenant, permission.clone(), place.clone(), Context::default());
        let allowed = if let Ok(allowed) = check() {
            allowed
        } else {
            self.confirm_now(*shard).await?;
            check()?
        };
        self.note_spared(holder, &allowed, (permission, &place));
        Ok(())
    }

    /// That `holder` may send what asks for `permission` to `tenant` at all; whether it is allowed there is decided there.
    pub fn check_reach(holder: &KeyHolder, tenant: &TenantId, permission: Permission) -> Result<(), Rejection> {
        check_reach(holder, &request(holder, tenant, permission, Scope::tenant(tenant), Context::default()))
    }

    /// Whether `principal`, with this key, may act at all: nobody may in a tenant that is suspended.
    pub fn still_holds(&self, key: &KeyRef, principal: &PrincipalId) -> bool {
        let authority = self.authority.read();
        let ended = authority.ended(key, principal, &key.tenant, self.clock.now());
        let open = !authority.is_out_of_hours(key, self.clock.now());
        ended.is_none() && open && authority.suspended(&key.tenant).is_none()
    }

    /// Whether `principal`, with this key, may read all that is recorded in its tenant, as far as is known now.
    pub fn may_read_log(&self, key: &KeyRef, principal: &PrincipalId) -> bool {
        let request = AccessRequest {
            tenant: key.tenant.clone(),
            principal: principal.clone(),
            key: Some(key.clone()),
            permission: Permission::history_replay(),
            scope: Scope::tenant(&key.tenant),
            context: Context::default(),
        };
        self.authority.read().authorise(&request, self.clock.now()).is_ok()
    }

    /// Where `tenant` lives.
    pub async fn shard(&self, tenant: &TenantId) -> Result<Option<Shard>, Error> {
        let shard = tokio::time::timeout(self.fresh_wait_max, self.placement.shard(tenant)).await;
        shard
            .unwrap_or_else(|_| Err(LogError::Unavailable("no answer in time".into())))
            .map_err(|error| Error::Unavailable(error.to_string()))
    }

    /// Whether `key` may call `model` at all, with data of some class: what it is shown of models.
    pub(crate) fn may_name(&self, AuthenticatedKey { holder, .. }: &AuthenticatedKey, model: &ModelId) -> bool {
        let (model, cost) = (Some(model.clone()), Some(NanoDollars(0)));
        let context = Context { model, cost, any_class: true, ..Context::default() };
        self.authorise(holder, &holder.tenant, Permission::model_invoke(), holder.scope.clone(), context).is_ok()
    }

    /// Whether `key` may call `model` at this cost with data of this class, as far as is known now.
    pub(crate) fn may_invoke(
        &self,
        AuthenticatedKey { holder, .. }: &AuthenticatedKey,
        model: &ModelId,
        cost: NanoDollars,
        data_class: Option<&DataClass>,
    ) -> Result<(), Rejection> {
        let (model, cost, data_class) = (Some(model.clone()), Some(cost), data_class.cloned());
        let context = Context { model, cost, data_class, ..Context::default() };
        self.authorise(holder, &holder.tenant, Permission::model_invoke(), holder.scope.clone(), context)
    }

    /// The same for a call that will be made: what it needs of grants that are set aside is noted.
    pub(crate) fn will_invoke(
        &self,
        key: &AuthenticatedKey,
        model: &ModelId,
        cost: NanoDollars,
        data_class: Option<&DataClass>,
    ) -> Result<(), Rejection> {
        let (holder, invoke) = (&key.holder, Permission::model_invoke());
        let (model, cost, data_class) = (Some(model.clone()), Some(cost), data_class.cloned());
        let context = Context { model, cost, data_class, ..Context::default() };
        let allowed = self.allowed(holder, &holder.tenant, invoke.clone(), holder.scope.clone(), context)?;
        self.note_spared(holder, &allowed, (&invoke, &holder.scope));
        Ok(())
    }
}

fn request(
    holder: &KeyHolder,
    tenant: &TenantId,
    permission: Permission,
    scope: Scope,
    context: Context,
) -> AccessRequest {
    let (tenant, principal) = (tenant.clone(), holder.principal.clone());
    AccessRequest { tenant, principal, key: Some(holder.key_ref()), permission, scope, context }
}
