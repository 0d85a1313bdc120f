//! The verbs that are no command or query of the tables: what they take, and the help they give.

use clap::{Arg, ArgAction, Command};

use super::{flag, option};

/// All of them, in the order in which help shows them.
pub(super) fn all() -> Vec<Command> {
    vec![apply(), cost(), replay(), access(), audit(), task(), config(), docs()]
}

fn apply() -> Command {
    Command::new("apply")
            .about("Make the platform as company.toml says: show the difference, send the commands")
            .arg(who("file", "company.toml"))
            .arg(flag("plan", "Only show the difference"))
}

fn cost() -> Command {
    Command::new("cost")
            .about("What was spent")
            .arg(
                option("by", "PARTS", "Split by project, principal, key, model, agent, task, day")
                    .value_delimiter(',')
                    .action(ArgAction::Append),
            )
            .arg(option("since", "DAY", "From this day on, e.g. 2026-11-01 or today"))
            .arg(option("until", "DAY", "Before this day"))
}

fn replay() -> Command {
    Command::new("replay")
            .about("A tenant's history: who, what, when and why")
            .arg(option("from", "TIME", "Recorded from this moment on"))
            .arg(option("to", "TIME", "Recorded before this moment"))
            .arg(
                option("kind", "KINDS", "Only of these aggregates, e.g. ledger,task")
                    .value_delimiter(',')
                    .action(ArgAction::Append),
            )
            .arg(option("last", "COUNT", "Only the last so many").value_parser(clap::value_parser!(u32)))
}

fn access() -> Command {
    Command::new("access")
            .about("Who may do what, and why")
            .subcommand_required(true)
            .subcommand(
                Command::new("explain")
                    .about("Whether someone may, why, and what would allow it")
                    .arg(who("principal", "Principal id, or a service account's name"))
                    .arg(who("permission", "noun:verb, e.g. budget:set"))
                    .arg(who("scope", "tenant or tenant/project"))
                    .arg(at()),
            )
            .subcommand(
                Command::new("who-can")
                    .about("Who may do something at a scope")
                    .arg(who("permission", "noun:verb, e.g. budget:set"))
                    .arg(who("scope", "tenant or tenant/project"))
                    .arg(at()),
            )
}

fn audit() -> Command {
    Command::new("audit")
            .about("Proof that the history is whole")
            .subcommand_required(true)
            .subcommand(
                Command::new("verify")
                    .about("Check every hash chain of a tenant, its tree and what was signed of it; an export without any bus")
                    .arg(option("export", "DIR", "Check this export instead of the log"))
                    .arg(
                        option("verifier-key", "VKEY", "Only this key's signature counts (steward audit key)")
                            .action(ArgAction::Append),
                    )
                    .arg(
                        option("checkpoint", "FILE", "A checkpoint kept outside: the history must go on from it")
                            .action(ArgAction::Append)
                            .requires("export"),
                    )
                    .arg(option("commit", "ID", "Also prove this commit: its position, or in an export its id or hash"))
                    .arg(
                        option("proof", "FILE", "Check a proof that was handed on, and nothing else")
                            .conflicts_with_all(["export", "commit"]),
                    ),
            )
            .subcommand(
                Command::new("export")
                    .about("Write a tenant's whole history with its proof into a folder")
                    .arg(option("out", "DIR", "A new or empty folder").required(true))
                    .arg(flag("no-checkpoint", "Do not have the history signed first")),
            )
            .subcommand(Command::new("key").about("The public key that verifies a tenant's checkpoints"))
}

fn task() -> Command {
    Command::new("task")
            .about("Tasks of agents")
            .subcommand_required(true)
            .subcommand(
                Command::new("list")
                    .about("A tenant's tasks, newest first")
                    .arg(option("count", "COUNT", "At most so many").value_parser(clap::value_parser!(u32))),
            )
            .subcommand(Command::new("show").about("One task with its steps").arg(who("task", "The task's id")))
            .subcommand(Command::new("watch").about("Follow one task to its end").arg(who("task", "The task's id")))
}

fn config() -> Command {
    Command::new("config")
            .about("The settings of this process")
            .subcommand_required(true)
            .subcommand(Command::new("show").about("Each setting with its value and where that comes from"))
}

fn docs() -> Command {
    Command::new("docs").about("Print a reference made from the tables and types").arg(
            who("page", "commands, configuration, openapi or asyncapi")
                .value_parser(["commands", "configuration", "openapi", "asyncapi"]),
        )
}

fn at() -> Arg {
    option("at", "TIME", "At a moment in the past, e.g. 2026-11-01")
}

fn who(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).required(true).help(help)
}
