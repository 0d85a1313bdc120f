//! Options of `steward access`.

use clap::{Arg, Command};

use super::{flag, option, required};

/// `steward access`.
pub(super) fn access() -> Command {
    let at = || option("at", "TIME", "Answer for this moment of the past, e.g. 2026-11-01");
    Command::new("access")
        .about("Who may do what, and why")
        .subcommand_required(true)
        .subcommand(
            Command::new("explain")
                .about("Whether a principal may do something, why, and what would allow it")
                .arg(required("principal", "Principal or key id, or a service account's name"))
                .arg(required("permission", "noun:verb, e.g. budget:set"))
                .arg(required("scope", "tenant or tenant/project"))
                .arg(option(
                    "address",
                    "ADDRESS",
                    "As if it came from there, for a key that may be used only from some",
                ))
                .arg(at()),
        )
        .subcommand(
            Command::new("who-can")
                .about("Who may do something at a scope")
                .arg(required("permission", "noun:verb, e.g. budget:set"))
                .arg(required("scope", "tenant or tenant/project"))
                .arg(at()),
        )
        .subcommand(review())
        .subcommands(supposed())
}

fn review() -> Command {
    Command::new("review")
        .about("Who holds what, since when, from whom, used when; and what a reviewer says to it")
        .arg(option("principal", "PRINCIPAL", "Only of this principal: an id, or a service account's name"))
        .arg(option("role", "ROLE", "Only of this role"))
        .arg(option("scope", "SCOPE", "Only at this scope and below"))
        .arg(option("review", "REVIEW", "Only what this review has to look at, and nobody has confirmed"))
        .arg(
            option("unused-days", "DAYS", "Only grants that were not used for so many days")
                .value_parser(clap::value_parser!(u32)),
        )
        .arg(flag("csv", "Print CSV, for a spreadsheet"))
        .arg(flag("confirm", "Confirm all that is listed, in the review given").requires("review"))
        .arg(flag("revoke", "Revoke all that is listed, in the review given").requires("review").conflicts_with("confirm"))
        .arg(option("reason", "TEXT", "Reason, for people"))
        .after_help(
            "Used is what was recorded: a command that decided something, a model call, a look at history. Days are those of UTC.\n\n\
             Examples:\n  \
             steward access review --tenant acme\n  \
             steward access review --unused-days 90 --csv --tenant acme\n  \
             steward review start 2026-q4 --on acme --due 30d --revoke-unreviewed true\n  \
             steward access review --review 2026-q4 --role agent --confirm --reason \"still needed\" --tenant acme\n  \
             steward access review --review 2026-q4 --unused-days 90 --revoke --tenant acme",
        )
}

/// What would be, or would have been.
fn supposed() -> [Command; 3] {
    let with = || option("with", "FILE", "A file of commands; each is a [[change]]");
    let example = "FILE, for example:\n\n  [[change]]\n  command = \"grant.revoke\"\n  to = \"support-bot\"\n  role = \"developer\"\n  \
                   on = \"acme\"\n\n  [[change]]\n  command = \"budget.set\"\n  scope = \"acme/support\"\n  limit = \"$5\"\n  per = \"day\"";
    [
        Command::new("simulate")
            .about("For whom which rights would change if commands were sent; and one question, before and after them")
            .arg(with())
            .arg(option("principal", "WHO", "Ask about this principal or key").requires("permission"))
            .arg(option("permission", "NOUN:VERB", "What is asked, e.g. budget:set").requires("principal"))
            .arg(option("scope", "SCOPE", "Where; the whole tenant if not given"))
            .arg(option("model", "MODEL", "Of which model"))
            .arg(option("cost", "DOLLARS", "At which cost at most, e.g. $0.50"))
            .arg(option("at", "TIME", "With the rights of this moment of the past, e.g. 2026-11-01"))
            .after_help(example),
        Command::new("rehearse")
            .about("Which past calls, commands and refusals would have been answered otherwise, had commands been sent before")
            .arg(with().required(true))
            .arg(option("since", "TIME", "From when on, e.g. 2026-11-01 or 30d for the last 30 days").default_value("30d"))
            .arg(option("until", "TIME", "Until when; until now if not given"))
            .after_help(example),
        Command::new("least")
            .about("Which grants were used and for what, and the smaller ones that would have done")
            .arg(option("since", "TIME", "From when on").default_value("90d"))
            .arg(option("principal", "WHO", "Of this principal alone"))
            .arg(option("trial", "TIME", "Set aside until then what was not used, e.g. 14d: its first use gives it back, else it is revoked"))
            .after_help("Calls and commands are recorded; lists and reports that somebody looked at mostly are not, so a grant that was not used may yet be needed. A trial finds out, and refuses nobody."),
    ]
}

/// `steward apply --rehearse`.
pub(super) fn rehearse_since() -> Arg {
    let help = "Also show what roles, grants and budgets of the file would have changed since then, e.g. 30d";
    option("rehearse", "TIME", help).requires("plan")
}
