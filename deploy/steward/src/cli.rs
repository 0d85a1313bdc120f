//! What can be typed. Verbs of commands and lists come from the tables, so a new command or list is here without a line.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};
use steward_events::command::{Audience, COMMANDS, CommandSpec, nouns};

use crate::command::list;
use crate::command::secret;
use crate::command::send::{fields, shorthand};
use crate::command::unused::SINCE;

mod tenant;

mod access;

/// The whole command line.
pub(crate) fn parser() -> Command {
    let mut steward = Command::new("steward")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Permissions, budgets and history for AI agents, event-sourced on NATS JetStream")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(global("config", "FILE", "steward.toml of this process").env("STEWARD_CONFIG"))
        .arg(global("url", "URL", "Address of the gateway; from the configuration if not given").env("STEWARD_URL"))
        .arg(
            global("api-key", "KEY", "API key; the operator's key of this installation if not given")
                .env("STEWARD_API_KEY")
                .hide_env_values(true),
        )
        .arg(global("tenant", "TENANT", "Tenant; the key's own tenant if not given").env("STEWARD_TENANT"))
        .arg(Arg::new("json").long("json").global(true).action(ArgAction::SetTrue).help("Print JSON for machines"))
        .subcommands(roles())
        .subcommands(views())
        .subcommand(flags());
    for noun in nouns() {
        let group = noun_group(noun);
        steward = match steward.find_subcommand_mut(noun) {
            Some(_) => steward.mut_subcommand(noun, |existing| existing.subcommands(group.get_subcommands().cloned())),
            None => steward.subcommand(group),
        };
    }
    for spec in list::queries() {
        let verb = list::verb(spec);
        steward = if steward.find_subcommand(spec.view).is_some() {
            steward.mut_subcommand(spec.view, |existing| existing.subcommand(verb))
        } else {
            let about = format!("Lists of each {}", spec.view);
            steward.subcommand(Command::new(spec.view).about(about).subcommand_required(true).subcommand(verb))
        };
    }
    steward
}

fn global(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help).global(true)
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn required(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).required(true).help(help)
}

fn roles() -> Vec<Command> {
    let listen = || option("listen", "ADDRESS", "Address to listen on, e.g. 127.0.0.1:8081");
    #[cfg_attr(not(feature = "bench"), allow(unused_mut))]
    let mut roles = vec![
        Command::new("up").about("Run everything in one process, with a nats-server of its own").arg(listen()),
        Command::new("bus").about("Run only the nats-server, for roles that run as processes of their own").arg(
            option("join", "DIR", "Join the cluster of the installation in this folder as a further node")
                .value_parser(clap::value_parser!(PathBuf)),
        ),
        Command::new("aggregates").about("Run the handlers of commands").arg(
            option("only", "NOUNS", "Only these nouns, e.g. task,tool").value_delimiter(',').action(ArgAction::Append),
        ),
        Command::new("projectors").about("Run the views and answer queries").arg(option(
            "store",
            "DIR",
            "Folder for the views of this process; no two processes may share a folder",
        )),
        Command::new("workers").about("Run process managers and the tasks of agents"),
        Command::new("gateway").about("Run the gateway: model calls, management API, bus logins").arg(listen()),
        Command::new("doctor").about("Show what is wrong with this installation, and what to do"),
    ];
    #[cfg(feature = "bench")]
    roles.extend([
        bench(),
        Command::new("bench-part")
            .hide(true)
            .about("One process of the bench, for the bench itself")
            .arg(Arg::new("words").action(ArgAction::Append).trailing_var_arg(true).allow_hyphen_values(true)),
    ]);
    roles
}

#[cfg(feature = "bench")]
fn bench() -> Command {
    let parts: Vec<String> = steward_bench::PARTS.iter().map(|(name, about)| format!("  {name:<12} {about}")).collect();
    Command::new("bench")
        .about("Measure Steward on this machine, beside baselines of the same run")
        .after_help(format!(
            "Starts a mock upstream, a nats-server and every role in a temporary folder, and ends them again.\n\nParts:\n{}",
            parts.join("\n")
        ))
        .arg(option("only", "PARTS", "Only these parts, e.g. gateway,log").value_delimiter(',').action(ArgAction::Append))
        .arg(flag("growth", "Also measure with many tenants, keys, grants, events and gateways; takes long"))
        .arg(
            option("peers", "PROGRAMS", "Also measure nginx and TensorZero, where they are found; or these programs of theirs")
                .num_args(0..)
                .require_equals(true)
                .value_delimiter(',')
                .value_parser(clap::value_parser!(PathBuf)),
        )
        .arg(flag("quick", "One short run, to see that everything works; the figures mean nothing"))
        .arg(option("out", "DIR", "Folder for the files of the processes; a temporary folder if not given"))
        .arg(option("write", "FILE", "Write the tables into this page, and the plots into a folder beside it"))
}

fn docs() -> Command {
    Command::new("docs").about("Print a reference made from the tables and types").arg(
        required("page", "commands, configuration, openapi or asyncapi").value_parser([
            "commands",
            "configuration",
            "openapi",
            "asyncapi",
        ]),
    )
}

fn views() -> Vec<Command> {
    vec![
        Command::new("apply")
            .about("Make the platform as company.toml describes it: show each difference, send the commands")
            .arg(required("file", "company.toml"))
            .arg(flag("plan", "Only show the differences"))
            .arg(flag("prune", "Also take back budgets and grants that are only in the log"))
            .arg(access::rehearse_since())
            .after_help(
                "Differences: + only in the file, ~ other in the file, - only in the log.\n\
                 Exit status: 0 if there is nothing to do or all was done, 1 if something failed, 2 if --plan found something to do.",
            ),
        Command::new("export-config")
            .about("Print what holds as a company.toml, with which steward apply finds nothing to do")
            .arg(
                option("only", "TENANTS", "Only these tenants, without what the platform offers")
                    .value_delimiter(',')
                    .action(ArgAction::Append),
            )
            .after_help("Not in it: people, keys and other secrets, operators and their grants, and prices that are over."),
        Command::new("cost")
            .about("What was spent")
            .arg(
                option("by", "PARTS", "Split by project, principal, key, model, agent, task, day")
                    .value_delimiter(',')
                    .action(ArgAction::Append),
            )
            .arg(option("since", "DAY", "From this day on: 2026-11-01, today, or 7d for a week ago"))
            .arg(option("until", "DAY", "Before this day"))
            .arg(flag("savings", "What was saved instead, by cause: kept and shared answers, and fewer or cheaper input tokens")),
        Command::new("replay")
            .about("A tenant's history: who, what, when and why")
            .arg(option("from", "TIME", "Events recorded at or after this moment, e.g. 2026-11-01, today, or 2h for two hours ago"))
            .arg(option("to", "TIME", "Events recorded before this moment"))
            .arg(
                option("kind", "KINDS", "Only events of these kinds, e.g. ledger,task")
                    .value_delimiter(',')
                    .action(ArgAction::Append),
            )
            .arg(option("last", "COUNT", "Only the last COUNT events").value_parser(clap::value_parser!(u32))),
        import(),
        price(),
        access::access(),
        route(),
        audit(),
        task(),
        tenant::parser(),
        Command::new("config")
            .about("The settings of this process")
            .subcommand_required(true)
            .subcommand(Command::new("show").about("Each setting with its value and where that comes from")),
        docs(),
    ]
}

fn import() -> Command {
    let plan = || flag("plan", "Only show what would become of it");
    let from =
        || option("from", "DAY", "First day of prices that have no date; today, or tomorrow where another price holds");
    Command::new("import")
        .about("Take over what another gateway was told")
        .subcommand_required(true)
        .subcommand(
            Command::new("litellm")
                .about("A configuration of LiteLLM's proxy: providers, models, prices, fallbacks, budgets, teams and keys")
                .arg(required("file", "config.yaml"))
                .arg(plan())
                .arg(option("out", "FILE", "Also write the company.toml that is made of it; the file must not be there yet"))
                .arg(option("prices", "FILE", "LiteLLM's price map, for models of which the file says no price"))
                .arg(from())
                .arg(
                    option("value", "NAME=VALUE", "What stands in a variable that the file uses in an address; never a key")
                        .action(ArgAction::Append),
                )
                .after_help(
                    "Each part of the file is told with its line: it maps, maps partly, does not map, or is refused. What maps is \
                     applied as by steward apply; with --plan nothing is asked or sent. Budgets, teams and keys go to --tenant. \
                     Keys of providers are taken over as references only: os.environ/NAME becomes env:NAME.\n\n\
                     Exit status: 0 if all was done or could be, 1 if something failed or is refused.\n\n\
                     Examples:\n  \
                     steward import litellm config.yaml --plan\n  \
                     steward import litellm config.yaml --plan --out company.toml\n  \
                     steward import litellm config.yaml --tenant acme --prices model_prices_and_context_window.json",
                ),
        )
        .subcommand(
            Command::new("litellm-prices")
                .about("LiteLLM's price map, model_prices_and_context_window.json, as prices with dates")
                .arg(required("file", "model_prices_and_context_window.json"))
                .arg(plan())
                .arg(
                    option("models", "MODELS", "Only these, also new ones, by their names in the map; all of the catalog if not given")
                        .value_delimiter(',')
                        .action(ArgAction::Append),
                )
                .arg(flag("limits", "Also set how much models of the catalog read and write"))
                .arg(from())
                .after_help(
                    "A model is found in the map by where its calls go. Prices are exact to the pico-dollar a token; one that is finer \
                     is rounded up, and that is said. A price that holds already is not set again.\n\n\
                     Exit status: 0 if there is nothing to do or all was done, 1 if something failed, 2 if --plan found something to do.\n\n\
                     Examples:\n  \
                     steward import litellm-prices model_prices_and_context_window.json --plan\n  \
                     steward import litellm-prices model_prices_and_context_window.json --models gpt-6.1-sol --from 2026-12-01",
                ),
        )
}

fn price() -> Command {
    Command::new("price").about("Prices of models").subcommand_required(true).subcommand(
        Command::new("check")
            .about("The prices in force beside the list of public prices that is shipped with Steward")
            .arg(
                option("days", "DAYS", "What ends or changes within so many days is soon")
                    .value_parser(clap::value_parser!(u32))
                    .default_value("30"),
            )
            .after_help(
                "Told are models without a price, prices without a source, prices of which the list has a newer one, and prices that \
                 end or change soon.\n\n\
                 Exit status: 0 if nothing is to be done, 1 if something is.",
            ),
    )
}

fn route() -> Command {
    Command::new("route").about("Where model calls go").subcommand_required(true).subcommand(
        Command::new("explain")
            .about("Where a call of a model would go, and why")
            .arg(required("model", "The model, as callers name it"))
            .arg(option("tag", "TAGS", "What the call says of itself").value_delimiter(',').action(ArgAction::Append))
            .arg(option("input-tokens", "COUNT", "How long it is").value_parser(clap::value_parser!(u64)))
            .arg(option("output-tokens", "COUNT", "How much it wants").value_parser(clap::value_parser!(u64))),
    )
}

fn audit() -> Command {
    Command::new("audit")
        .about("Prove that a history is whole")
        .subcommand_required(true)
        .subcommand(
            Command::new("verify")
                .about(
                    "Check the hash chains, the tree and the signed checkpoints of a tenant; with --export without any bus",
                )
                .arg(option("export", "DIR", "Check this export instead of the log"))
                .arg(
                    option("verifier-key", "VKEY", "Trust only this key's signature (see steward audit key)")
                        .action(ArgAction::Append),
                )
                .arg(
                    option("checkpoint", "FILE", "A checkpoint that was kept outside; the history must continue it")
                        .action(ArgAction::Append)
                        .requires("export"),
                )
                .arg(option("commit", "ID", "Also prove this commit, given by position or, in an export, by id or hash"))
                .arg(
                    option("proof", "FILE", "Check only this proof")
                        .conflicts_with_all(["export", "commit"]),
                ),
        )
        .subcommand(
            Command::new("export")
                .about("Write the whole history of a tenant with its proof into a folder")
                .arg(option("out", "DIR", "A new or empty folder").required(true))
                .arg(flag("no-checkpoint", "Export without asking for a new signature first")),
        )
        .subcommand(Command::new("key").about("The public key that verifies a tenant's checkpoints"))
}

fn task() -> Command {
    Command::new("task")
        .about("Tasks of agents")
        .subcommand_required(true)
        .subcommand(
            Command::new("list")
                .about("The tasks of a tenant, newest first")
                .arg(option("count", "COUNT", "At most COUNT rows").value_parser(clap::value_parser!(u32))),
        )
        .subcommand(Command::new("show").about("One task with its steps").arg(required("task", "The task's id")))
        .subcommand(Command::new("watch").about("Follow one task to its end").arg(required("task", "The task's id")))
}

fn flags() -> Command {
    let read = Command::new("read")
        .about("All feature flags, on or off for the caller or another principal")
        .arg(option(
            "principal",
            "PRINCIPAL",
            "Service account by its name, or any principal by its id; the caller if not given",
        ))
        .after_help("Examples:\n  steward flag read --tenant acme --principal support-bot");
    Command::new("flag").about("Feature flags").subcommand_required(true).subcommand(read)
}

fn noun_group(noun: &'static str) -> Command {
    let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    let mut group = Command::new(noun).about(format!("Commands about {article} {noun}")).subcommand_required(true);
    let typed_otherwise = |spec: &&CommandSpec| (spec.noun, spec.verb) == ("tenant", "erase");
    let specs = COMMANDS.iter().filter(|spec| spec.noun == noun && spec.audience == Audience::Callers);
    for spec in specs.filter(|spec| !typed_otherwise(spec)) {
        let short = shorthand(spec.noun, spec.verb);
        let mut verb = Command::new(spec.verb).about(spec.help);
        verb = if (spec.noun, spec.verb) == ("secret", "set") {
            // What is typed stands in the list of processes and in the shell's history.
            verb.arg(secret::value_file()).after_help(secret::EXAMPLES)
        } else {
            verb.arg(option("body", "JSON", "The whole body as JSON, instead of options").conflicts_with("field"))
        };
        for field in fields(spec) {
            let positional = short.positionals.iter().position(|name| *name == field.flag);
            let mut arg = Arg::new(field.flag.clone())
                .help(field.help.clone())
                .value_name(field.flag.to_uppercase())
                .group("field");
            arg = match positional {
                Some(at) => arg.index(at + 1),
                None => arg.long(field.flag.clone()),
            };
            verb = verb.arg(match field.many {
                // Hours name days with commas.
                true if field.flag == "hours" => arg.action(ArgAction::Append),
                true => arg.action(ArgAction::Append).value_delimiter(','),
                false => arg,
            });
        }
        verb = verb.group(clap::ArgGroup::new("field").multiple(true));
        if (spec.noun, spec.verb) == ("role", "remove") {
            verb = verb.arg(flag("plan", "Only show who holds the role, and what each would lose"));
        }
        if (spec.noun, spec.verb) == ("task", "submit") {
            verb = verb.arg(flag("watch", "Follow the task to its end"));
        }
        group = group.subcommand(verb);
    }
    if noun == "key" { group.subcommand(unused()) } else { group }
}

fn unused() -> Command {
    Command::new("unused")
        .about("Keys that work and that nobody uses, the longest unused first")
        .arg(
            option("since", "TIME", "Not used since this moment, nor issued later: 2026-11-01, or 90d for 90 days ago")
                .default_value(SINCE),
        )
        .after_help(
            "Examples:\n  steward key unused --since 90d --tenant acme\n  steward key unused --since 2026-11-01 --json",
        )
}

#[cfg(test)]
mod tests {
    /// An option of a command that is called as a global one would take that one's value: an API key as a key's id.
    #[test]
    fn no_option_of_a_command_shadows_a_global_one() {
        let parser = super::parser();
        let globals: Vec<_> = parser.get_arguments().filter(|arg| arg.is_global_set()).map(clap::Arg::get_id).collect();
        // What only parts of Steward send is not typed.
        for spec in super::COMMANDS.iter().filter(|spec| spec.audience == super::Audience::Callers) {
            for field in super::fields(spec) {
                assert!(!globals.iter().any(|id| **id == *field.flag), "{spec:?} --{}", field.flag);
            }
        }
        for spec in super::list::queries() {
            for arg in super::list::verb(spec).get_arguments() {
                assert!(!globals.contains(&arg.get_id()), "{} {} --{}", spec.view, spec.verb, arg.get_id());
            }
        }
    }

    #[test]
    fn the_parser_is_sound() {
        super::parser().debug_assert();
    }
}
