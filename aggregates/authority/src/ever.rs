//! Whether somebody could be allowed something at all, whatever it turns out to be about: asked before a request is read.

use steward_events::id::PrincipalId;
use steward_events::permission::Permission;
use steward_events::quantity::NanoDollars;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;

use super::{AccessRequest, Authority, Context, KeyHolder, agent_principal};

impl Authority {
    /// Whether `holder` may use `permission` where its key books, for some model at some cost. A yes promises nothing: the
    /// request itself is authorised when it is known.
    ///
    /// # Errors
    /// As [`Self::authorise`].
    pub fn may_ever(&self, holder: &KeyHolder, permission: &Permission, now: Timestamp) -> Result<(), Rejection> {
        let KeyHolder { tenant, principal, scope, .. } = holder;
        let holds = |principal: &PrincipalId| {
            self.rights(tenant, principal).covering(permission, scope).any(|held| !held.terms.is_over(now))
        };
        let agent = holder.agent.as_ref().map(agent_principal);
        let open = self.is_open(tenant) && self.suspended(tenant).is_none();
        if open && holds(principal) && agent.as_ref().is_none_or(holds) {
            return Ok(());
        }
        let request = AccessRequest {
            tenant: tenant.clone(),
            principal: principal.clone(),
            key: Some(holder.key_ref()),
            permission: permission.clone(),
            scope: scope.clone(),
            context: Context {
                model: holder.models.first().cloned(),
                cost: Some(NanoDollars(0)),
                any_class: true,
                ..Context::default()
            },
        };
        self.authorise(&request, now).map(|_| ())
    }
}
