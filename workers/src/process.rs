//! Process managers: each follows the log and sends commands. One entry each in [`ALL`].
//!
//! A process manager keeps nothing of its own that the log does not tell: it may be killed anywhere and begins again.
//! Several may run at once, so each command it sends must decide nothing when it comes twice.

use std::future::Future;
use std::pin::Pin;

use steward_events::event::AggregateKind;
use steward_ports::live::NotFresh;
use steward_ports::log::LogError;
use tokio_util::sync::CancellationToken;

use crate::{Config, WorkerPorts};

pub mod checkpoint_signing;
pub mod lease_expiry;
pub mod task_ends;
pub mod tenant_placing;

/// Why a process manager stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be followed, or holds what this build cannot read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its view of the log has stopped.
    #[error(transparent)]
    View(#[from] NotFresh),
}

/// A process manager at work: ends well only when told to stop.
pub type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// One process manager.
pub struct ProcessManager {
    /// What it is called in logs and in readiness.
    pub name: &'static str,
    /// Which kinds it reads.
    pub reads: &'static [AggregateKind],
    /// Starts it.
    pub run: fn(&WorkerPorts, &Config, CancellationToken) -> Running,
}

/// All of them.
pub const ALL: &[ProcessManager] = &[
    ProcessManager {
        name: "lease_expiry",
        reads: lease_expiry::READS,
        run: |ports, _, shutdown| Box::pin(lease_expiry::run(ports.clone(), shutdown)),
    },
    ProcessManager {
        name: "tenant_placing",
        reads: tenant_placing::READS,
        run: |ports, _, shutdown| Box::pin(tenant_placing::run(ports.clone(), shutdown)),
    },
    ProcessManager {
        name: "task_ends",
        reads: task_ends::READS,
        run: |ports, _, shutdown| Box::pin(task_ends::run(ports.clone(), shutdown)),
    },
    ProcessManager {
        name: "checkpoint_signing",
        reads: checkpoint_signing::READS,
        run: |ports, config, shutdown| {
            Box::pin(checkpoint_signing::run(ports.clone(), config.transparency.clone(), shutdown))
        },
    },
];

#[cfg(test)]
mod tests {
    use steward_aggregates::authority::Authority;
    use steward_aggregates::catalog::Catalogs;
    use steward_events::view::View;

    use super::*;
    use crate::task::open_tasks::OpenTasks;

    /// Who reads a kind, of all live views and process managers. There is no `_`: a new kind asks each of them.
    fn readers(kind: AggregateKind) -> &'static [&'static str] {
        match kind {
            AggregateKind::Registry => &["tenant_placing"],
            AggregateKind::Tenant => &["authority", "open tasks", "tenant_placing"],
            AggregateKind::Identity => &["authority", "task_ends"],
            AggregateKind::Access => &["authority"],
            AggregateKind::Ledger => &["lease_expiry", "task_ends"],
            AggregateKind::Usage => &["lease_expiry"],
            AggregateKind::Catalog => &["catalogs"],
            AggregateKind::Agent => &["open tasks"],
            AggregateKind::Task => &["open tasks", "task_ends"],
            AggregateKind::Denials => &[],
            AggregateKind::Checkpoint => &["checkpoint_signing"],
        }
    }

    #[test]
    fn each_kind_is_read_by_those_whom_the_table_names() {
        let views = [("authority", Authority::KINDS), ("catalogs", Catalogs::KINDS), ("open tasks", OpenTasks::KINDS)];
        let managers = ALL.iter().map(|manager| (manager.name, manager.reads));
        let all: Vec<_> = views.into_iter().chain(managers).collect();
        for kind in AggregateKind::ALL {
            let found: Vec<&str> =
                all.iter().filter(|(_, reads)| reads.contains(&kind)).map(|(name, _)| *name).collect();
            assert_eq!(found, readers(kind), "{kind}");
        }
    }
}
