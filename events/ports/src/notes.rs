//! What is worth keeping though no aggregate decides it: who was refused, and who read what people did. Journals of one run
//! and tenant, written behind the answers, at a bounded rate, in which nothing is hidden by noise.
//!
//! An answer does not wait for it. Each principal, and each address of somebody unknown, has a few notes a second kept one
//! by one; what is more is summed, with a sample of what it was about, and the sums are written at the end of the second
//! even if nothing follows. So does each tenant have a bound, and what is over that is summed over all its principals.
//! A full queue or an unavailable log loses notes, and says how many in the log of this process.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steward_events::event::{DenialKind, GrantId};
use steward_events::free_text::shown;
use steward_events::id::{CorrelationId, PrincipalId, SystemPart, TenantId};
use steward_events::ids::Ids;
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::log::EventLog;

mod rate;
mod writer;

use rate::Rate;
use writer::Writer;

/// How many notes wait to be written.
const QUEUE_MAX: usize = 1_024;

/// The longest text that is kept, in characters.
const TEXT_MAX: usize = 300;

/// Whose doing it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// A principal of the tenant, or of `steward`.
    Principal(PrincipalId),
    /// Somebody unknown, from there.
    Address(IpAddr),
    /// Many.
    Many,
}

/// What is noted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// A refusal.
    Denial(DenialKind),
    /// A look at what people did.
    Read,
    /// A yes by this grant alone, which is set aside for a trial.
    Spared(Arc<GrantId>),
}

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// In whose journal; in that of `steward` if there is no such tenant.
    pub tenant: TenantId,
    /// Whose doing.
    pub by: By,
    /// What.
    pub what: What,
    /// The permission that is missing, or the query that was sent.
    pub permission: Option<Permission>,
    /// Where it was wanted.
    pub scope: Option<Scope>,
    /// Why not, or what was asked.
    pub text: String,
    /// The request, if it was read.
    pub correlation: Option<CorrelationId>,
}

impl Note {
    /// That `principal` was refused before its request was read.
    pub fn on_the_bus(tenant: &TenantId, principal: &PrincipalId, kind: DenialKind, why: &str) -> Self {
        Self {
            tenant: tenant.clone(),
            by: By::Principal(principal.clone()),
            what: What::Denial(kind),
            permission: None,
            scope: None,
            text: why.to_owned(),
            correlation: None,
        }
    }

    /// That `principal` may do something only by `grant`, which is set aside for a trial.
    pub fn spared(tenant: &TenantId, principal: &PrincipalId, grant: &GrantId, what: (&Permission, &Scope)) -> Self {
        let (permission, scope) = what;
        Self {
            tenant: tenant.clone(),
            by: By::Principal(principal.clone()),
            what: What::Spared(Arc::new(grant.clone())),
            permission: Some(permission.clone()),
            scope: Some(scope.clone()),
            text: String::new(),
            correlation: None,
        }
    }

    /// That `principal` met `rejection`; none if that is no denial.
    pub fn denial(
        tenant: &TenantId,
        principal: &PrincipalId,
        rejection: &Rejection,
        correlation: &CorrelationId,
    ) -> Option<Self> {
        let what = What::Denial(DenialKind::of(rejection)?);
        // Who really acts, if it was decided by that: many keys of one principal have one share.
        let principal = match rejection {
            Rejection::Forbidden { principal, .. } => principal,
            _ => principal,
        };
        let (permission, scope, text) = match rejection {
            Rejection::Forbidden { permission, scope, reason, .. } => {
                (Some(permission.clone()), Some(scope.clone()), reason.clone())
            }
            other => (None, None, other.to_string()),
        };
        Some(Self {
            tenant: tenant.clone(),
            by: By::Principal(principal.clone()),
            what,
            permission,
            scope,
            text,
            correlation: Some(correlation.clone()),
        })
    }
}

/// Takes notes. Cheap to clone.
#[derive(Clone)]
pub struct Notes {
    rate: Arc<Mutex<Rate>>,
    clock: Arc<dyn Clock>,
    queue: mpsc::Sender<Queued>,
}

/// What the writer is told.
enum Queued {
    /// To write this.
    Note(Note),
    /// That something is summed, and to be written when its time is over.
    Sums,
}

impl Notes {
    /// Starts the writer; it ends with the last clone. `recorder` is the part of Steward that notes what nobody known did.
    pub fn start(log: Arc<dyn EventLog>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, recorder: SystemPart) -> Self {
        let (queue, queued) = mpsc::channel(QUEUE_MAX);
        let rate = Arc::<Mutex<Rate>>::default();
        let writer = Writer::new(log, Arc::clone(&clock), ids, recorder, Arc::clone(&rate));
        tokio::spawn(writer.run(queued));
        Self { rate, clock, queue }
    }

    /// Notes it, by itself or in a sum.
    pub fn note(&self, mut note: Note) {
        note.text = shown(&note.text).chars().take(TEXT_MAX).collect();
        let now = self.clock.now();
        let kept = lock(&self.rate).keep(&note, now);
        let queued = match kept {
            rate::Kept::Alone => Queued::Note(note),
            rate::Kept::SummedFirst => Queued::Sums,
            rate::Kept::Summed => return,
        };
        if let Err(mpsc::error::TrySendError::Full(Queued::Note(note))) = self.queue.try_send(queued) {
            // There is much to write already, so the sums are looked at too.
            lock(&self.rate).sum(&note, now);
        }
    }
}

fn lock(rate: &Mutex<Rate>) -> MutexGuard<'_, Rate> {
    rate.lock().unwrap_or_else(PoisonError::into_inner)
}
