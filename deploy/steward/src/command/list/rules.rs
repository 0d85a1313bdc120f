//! How the lists of the rules of access are printed.

use serde_json::Value;

use super::cells::{condition, flag, moment, or, text};
use super::nouns::{KnownColumn, KnownList};

/// The lists of rules.
pub(super) const RULES: &[KnownList] = &[
    KnownList {
        noun: "deny",
        columns: DENIAL,
        examples: &["steward deny list --tenant acme", "steward deny list --scope acme/support"],
        make_one: "steward deny set no-secrets --permissions 'secret:*' --on TENANT --roles developer --reason \"audit\"",
    },
    KnownList {
        noun: "separation",
        columns: SEPARATION,
        examples: &["steward separation list --role payer --tenant acme"],
        make_one: "steward separation set four-eyes --roles payer,approver --tenant TENANT",
    },
    KnownList {
        noun: "elevation-rule",
        columns: ELEVATION_RULE,
        examples: &["steward elevation-rule list --tenant acme"],
        make_one: "steward elevation allow break-glass owner --on TENANT --asker-roles developer --longest 1h",
    },
    KnownList {
        noun: "elevation",
        columns: ELEVATION,
        examples: &["steward elevation list --state requested --tenant acme"],
        make_one: "steward elevation request break-glass 30m --reason \"the payments are down\" --tenant TENANT",
    },
    KnownList {
        noun: "review",
        columns: REVIEW,
        examples: &["steward review list --tenant acme"],
        make_one: "steward review start 2026-q4 --on TENANT --due 30d",
    },
];

const DENIAL: &[KnownColumn] = &[
    ("DENIAL", false, |row| text(row, "/denial")),
    ("PERMISSIONS", false, |row| text(row, "/permissions")),
    ("ON", false, |row| text(row, "/on")),
    ("TO", false, whom),
    (
        "CONDITION",
        false,
        |row| if flag(row, "/unless") { format!("unless {}", condition(row)) } else { condition(row) },
    ),
    ("UNTIL", false, |row| moment(row, "/until")),
    ("FROM", false, |row| if flag(row, "/platform") { "platform" } else { "own" }.to_owned()),
    ("WHY", false, |row| text(row, "/reason")),
];

const SEPARATION: &[KnownColumn] = &[
    ("SEPARATION", false, |row| text(row, "/separation")),
    ("ROLES", false, |row| text(row, "/roles")),
    ("ON", false, |row| text(row, "/on")),
    ("BROKEN BY", false, |row| or(text(row, "/broken_by"), "nobody")),
    ("WHY", false, |row| text(row, "/reason")),
];

const ELEVATION_RULE: &[KnownColumn] = &[
    ("RULE", false, |row| text(row, "/rule")),
    ("ROLE", false, |row| text(row, "/role")),
    ("ON", false, |row| text(row, "/on")),
    ("MAY ASK", false, |row| both(row, "/askers", "/asker_roles")),
    ("APPROVE", false, |row| both(row, "/approvers", "/approver_roles")),
    ("SELF", false, |row| if flag(row, "/self_approval") { "yes" } else { "no" }.to_owned()),
    ("LONGEST S", true, |row| text(row, "/longest_s")),
];

const ELEVATION: &[KnownColumn] = &[
    ("ELEVATION", false, |row| text(row, "/elevation")),
    ("BY", false, |row| text(row, "/by")),
    ("ROLE", false, |row| text(row, "/role")),
    ("ON", false, |row| text(row, "/on")),
    ("STATE", false, |row| text(row, "/state")),
    ("UNTIL", false, |row| moment(row, "/until")),
    ("APPROVED BY", false, |row| text(row, "/approved_by")),
    ("WHY", false, |row| text(row, "/reason")),
];

const REVIEW: &[KnownColumn] = &[
    ("REVIEW", false, |row| text(row, "/review")),
    ("ON", false, |row| text(row, "/on")),
    ("DUE", false, |row| moment(row, "/due")),
    ("CONFIRMED", true, |row| text(row, "/confirmed")),
    ("UNREVIEWED", true, |row| text(row, "/unreviewed")),
    ("THEN", false, |row| if flag(row, "/revoke_unreviewed") { "they end" } else { "they are shown" }.to_owned()),
];

fn whom(row: &Value) -> String {
    if flag(row, "/whom/everyone") { "everyone".to_owned() } else { both(row, "/whom/principals", "/whom/roles") }
}

/// Principals, and roles of which the holders are meant.
fn both(row: &Value, principals: &str, roles: &str) -> String {
    match (text(row, principals).as_str(), text(row, roles).as_str()) {
        ("-", "-") => "-".to_owned(),
        (named, "-") => named.to_owned(),
        ("-", roles) => format!("role {roles}"),
        (named, roles) => format!("{named}, role {roles}"),
    }
}
