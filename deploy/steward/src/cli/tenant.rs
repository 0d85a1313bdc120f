//! What can be typed about tenants beside the verbs of the tables.

use clap::{Arg, Command};

use super::{flag, option, required};

/// How `steward tenant erase`, `export` and `history` are typed; the other verbs of tenants come from the tables.
pub(super) fn parser() -> Command {
    let name = || required("name", "Name of the tenant").value_name("TENANT");
    Command::new("tenant")
        .about("Commands about a tenant")
        .subcommand_required(true)
        .subcommand(
            Command::new("erase")
                .about("Erase all content of a suspended tenant, for ever; operators only")
                .arg(name())
                .arg(option("confirm", "TENANT", "The same name once more").conflicts_with("plan"))
                .arg(option("reason", "REASON", "Reason, for people; it is not erased, so name nobody in it"))
                .arg(flag("plan", "Only show what would be destroyed and what would stay"))
                .after_help(
                    "The data keys of the tenant and of its people are destroyed when workers.erasure_wait is over; until then \
                     steward tenant cancel-erase keeps it. The history stays and can still be verified.\n\n\
                     Examples:\n  \
                     steward tenant erase acme --plan\n  \
                     steward tenant suspend --tenant acme --reason 'contract ended'\n  \
                     steward tenant erase acme --confirm acme --reason 'contract ended'",
                ),
        )
        .subcommand(
            Command::new("export")
                .about("Write all that a tenant has, readable, into a folder: history, people, tasks, files")
                .arg(name())
                .arg(required("dir", "Folder; one that was broken off is gone on with").value_name("DIR"))
                .after_help(
                    "Needs tenant:export, the permissions of the lists, and a key of the tenant itself for what files hold. \
                     export.json says that it is whole; docs/AUDIT.md describes the rest.\n\n\
                     Example:\n  steward tenant export acme ./acme-export --api-key stw_acme_...",
                ),
        )
        .subcommand(history())
}

fn history() -> Command {
    Command::new("history")
        .about("Who changed what about a tenant, and when: settings, projects, flags, quotas, plan")
        .arg(Arg::new("name").value_name("TENANT").help("Which; the key's own tenant if not given"))
        .arg(option("from", "TIME", "Changes at or after this moment, e.g. 2026-11-01, today, or 2h for two hours ago"))
        .arg(option("to", "TIME", "Changes before this moment"))
        .after_help(
            "r1, r2 … are revisions of the settings: steward tenant revert --to 1 --tenant TENANT goes back to one.",
        )
}
