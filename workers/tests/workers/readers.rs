//! Who reads what is recorded: one table of all live views and process managers.

use steward_aggregates::catalog::Catalogs;
use steward_authority::Authority;
use steward_events::event::AggregateKind;
use steward_events::view::View;
use steward_workers::{BATCHES_READ, TASKS_READ, process};

/// Who reads a kind. There is no `_`: a new kind asks each of them.
fn readers(kind: AggregateKind) -> &'static [&'static str] {
    match kind {
        AggregateKind::Registry => &["tenant_placing"],
        AggregateKind::Tenant => &[
            "authority",
            "batches",
            "tasks",
            "tenant_placing",
            "plan_budgets",
            "quota_places",
            "channel_delivery",
            "erasure",
        ],
        AggregateKind::Identity => &["authority", "task_ends", "channel_delivery", "erasure"],
        AggregateKind::Access => &["authority", "channel_delivery", "trials"],
        AggregateKind::Ledger => &["lease_expiry", "task_ends", "plan_budgets", "channel_delivery"],
        AggregateKind::Usage => &["lease_expiry"],
        AggregateKind::Catalog => &["catalogs", "channel_delivery"],
        AggregateKind::Agent => &["authority", "tasks", "quota_places"],
        AggregateKind::Task => &["tasks", "task_ends", "quota_places", "channel_delivery"],
        AggregateKind::Quota => &["authority", "quota_places"],
        AggregateKind::Batch => &["batches", "task_ends", "channel_delivery"],
        AggregateKind::File | AggregateKind::Reads => &[],
        AggregateKind::Denials => &["channel_delivery", "trials"],
        AggregateKind::Channel => &["channel_delivery"],
        AggregateKind::Checkpoint => &["checkpoint_signing"],
    }
}

#[test]
fn each_kind_has_the_readers_of_the_table() {
    let views = [
        ("authority", Authority::KINDS),
        ("catalogs", Catalogs::KINDS),
        ("batches", BATCHES_READ),
        ("tasks", TASKS_READ),
    ];
    let managers = process::ALL.iter().map(|manager| (manager.name, manager.reads));
    let all: Vec<_> = views.into_iter().chain(managers).collect();
    for kind in AggregateKind::ALL {
        let found: Vec<&str> = all.iter().filter(|(_, reads)| reads.contains(&kind)).map(|(name, _)| *name).collect();
        assert_eq!(found, readers(kind), "{kind}");
    }
}
