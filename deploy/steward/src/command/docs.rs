//! `steward docs`: references made from the tables and types.

use std::fmt::Write as _;

use clap::ArgMatches;
use steward_events::BoxError;
use steward_events::command::{Audience, COMMANDS};
use steward_events::event::NoticeKind;

use crate::command::list;
use crate::command::secret;
use crate::command::send::{fields, shorthand};
use crate::output;

pub(super) fn run(matches: &ArgMatches) -> Result<(), BoxError> {
    match matches.get_one::<String>("page").map(String::as_str) {
        Some("openapi") => output::json(&steward_gateway::openapi())?,
        Some("asyncapi") => output::json(&steward_gateway::asyncapi())?,
        Some("configuration") => output::say_lines(&steward_node::config::page()),
        _ => output::say_lines(&commands()),
    }
    Ok(())
}

/// docs/COMMANDS.md.
pub(super) fn commands() -> String {
    let mut page = String::from(
        "# Commands and queries\n\nMade from the tables in `events/src/command.rs` and `events/queries/src/lib.rs` by `steward docs commands`; \
         a test says so. Each row is a bus subject, a permission, a REST route, an OpenAPI operation and a verb of the command line.\n",
    );
    for spec in COMMANDS.iter().filter(|spec| spec.audience == Audience::Callers) {
        let (noun, verb) = (spec.noun, spec.verb);
        _ = write!(
            page,
            "\n## {noun} {verb}\n\n{}.\n\n| | |\n|---|---|\n| bus | `cmd.<tenant>.<principal>.{noun}.{verb}` |\n| REST | `POST /api/v1/tenants/<tenant>/{}:{verb}` |\n| permission | `{}` |\n",
            spec.help,
            spec.collection(),
            spec.permission()
        );
        let short = shorthand(noun, verb);
        let mut options: Vec<String> = fields(spec)
            .iter()
            .map(|field| {
                let typed = if short.positionals.contains(&field.flag.as_str()) {
                    field.flag.to_uppercase()
                } else {
                    format!("--{}", field.flag)
                };
                format!("- `{typed}`: {}\n", field.help)
            })
            .collect();
        if (noun, verb) == ("secret", "set") {
            options.push(secret::documented());
        }
        if !options.is_empty() {
            _ = write!(page, "\n`steward {noun} {verb}`:\n\n{}", options.concat());
        }
    }
    page.push_str("\n# Queries\n\n| query | bus | REST | permission |\n|---|---|---|---|\n");
    for spec in steward_queries::for_callers() {
        let (view, verb) = (spec.view, spec.verb);
        _ = writeln!(
            page,
            "| {} | `qry.<tenant>.<principal>.{view}.{verb}` | `POST /api/v1/tenants/<tenant>/{view}:{verb}` | `{}` |",
            spec.help,
            spec.permission()
        );
    }
    page.push_str(
        "\n# Notices\n\nWhat a channel may want, by `--notices`: one of these, the first word with `.*`, or `*`.\n\n\
         | notice | tells |\n|---|---|\n",
    );
    for kind in NoticeKind::ALL {
        _ = writeln!(page, "| `{kind}` | {} |", kind.help());
    }
    page.push_str("\n# Lists on the command line\n\nAll pages are fetched unless `--limit` says how long one is; `--json` prints the answer.\n");
    for spec in list::queries() {
        _ = write!(page, "\n## {0} {1}\n\n{2}.\n\n`steward {0} {1}`:\n\n", spec.view, spec.verb, spec.help);
        for (flag, help) in list::options(spec) {
            _ = writeln!(page, "- `--{flag}`: {help}");
        }
    }
    page
}

#[cfg(test)]
mod tests {
    /// Run `steward docs commands > docs/COMMANDS.md` when this fails.
    #[test]
    fn the_page_in_docs_is_this_one() {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/COMMANDS.md");
        assert_eq!(
            std::fs::read_to_string(kept).unwrap_or_default(),
            super::commands(),
            "docs/COMMANDS.md is out of date"
        );
    }
}
