//! How each list is printed: its columns, examples, and what to do where it is empty.

use serde_json::Value;

use super::cells::{
    condition, flag, from, last_message, moment, named, or, pairs, percents, price, receiver, subject, targets, text,
};

/// Heading, whether it is a number, and its cell.
pub(super) type KnownColumn = (&'static str, bool, fn(&Value) -> String);

/// What this build knows of a list.
pub(super) struct KnownList {
    /// Its noun.
    pub(super) noun: &'static str,
    /// Its columns.
    pub(super) columns: &'static [KnownColumn],
    /// Typed so.
    pub(super) examples: &'static [&'static str],
    /// What makes the first row; `TENANT` stands for the tenant.
    pub(super) make_one: &'static str,
}

/// All lists that this build knows.
pub(super) const LISTS: &[KnownList] = &[
    KnownList {
        noun: "key",
        columns: KEY,
        examples: &[
            "steward key list --state active",
            "steward key list --principal support-bot --tenant acme",
            "steward key list --unused-since 90d --tenant acme",
        ],
        make_one: "steward key issue support-bot --on TENANT",
    },
    KnownList {
        noun: "grant",
        columns: GRANT,
        examples: &[
            "steward grant list --principal support-bot --tenant acme",
            "steward grant list --scope acme/support",
        ],
        make_one: "steward grant give support-bot agent --on TENANT",
    },
    KnownList {
        noun: "role",
        columns: ROLE,
        examples: &["steward role list --tenant acme"],
        make_one: "steward role define reader --permissions cost:report --tenant TENANT",
    },
    KnownList {
        noun: "user",
        columns: USER,
        examples: &["steward user list --state active --tenant acme"],
        make_one: "steward user invite ana@example.org --tenant TENANT",
    },
    KnownList {
        noun: "account",
        columns: ACCOUNT,
        examples: &["steward account list --tenant acme", "steward account list --unowned true --tenant acme"],
        make_one: "steward account create support-bot --tenant TENANT",
    },
    KnownList {
        noun: "group",
        columns: GROUP,
        examples: &["steward group list --tenant acme", "steward group show support --tenant acme"],
        make_one: "steward group define support --description \"answers customers\" --tenant TENANT",
    },
    KnownList {
        noun: "member",
        columns: MEMBER,
        examples: &[],
        make_one: "steward group join support support-bot --tenant TENANT",
    },
    KnownList {
        noun: "agent",
        columns: AGENT,
        examples: &["steward agent list --model small --tenant acme"],
        make_one: "steward agent define researcher --model small --instructions \"Answer briefly.\" --tenant TENANT",
    },
    KnownList {
        noun: "budget",
        columns: BUDGET,
        examples: &["steward budget list --tenant acme", "steward budget list --scope acme/support --level platform"],
        make_one: "steward budget set TENANT \"$5.00\" --per day",
    },
    KnownList {
        noun: "provider",
        columns: PROVIDER,
        examples: &["steward provider list"],
        make_one: "steward provider set local http://127.0.0.1:9090/v1 --kind openai",
    },
    KnownList {
        noun: "secret",
        columns: SECRET,
        examples: &["steward secret list --tenant acme", "steward secret list --provider openai --tenant acme"],
        make_one: "steward secret set openai --value-file openai.key --tenant TENANT",
    },
    KnownList {
        noun: "model",
        columns: MODEL,
        examples: &["steward model list --tenant acme", "steward model list --provider local"],
        make_one: "steward apply company.toml",
    },
    KnownList {
        noun: "price",
        columns: PRICE,
        examples: &["steward price list --model small"],
        make_one: "steward price set small --input '$1.00/M' --cached '$1.00/M' --output '$1.00/M'",
    },
    KnownList {
        noun: "file",
        columns: FILE,
        examples: &["steward file list --purpose batch --tenant acme"],
        make_one: "curl <gateway>/v1/files -H \"Authorization: Bearer <key>\" -F purpose=batch -F file=@calls.jsonl",
    },
    KnownList {
        noun: "batch",
        columns: BATCH,
        examples: &["steward batch list --state in_progress --tenant acme", "steward batch show batch_1 --tenant acme"],
        make_one: "steward batch submit /v1/chat/completions FILE --on TENANT --tenant TENANT",
    },
    KnownList {
        noun: "channel",
        columns: CHANNEL,
        examples: &[
            "steward channel list --tenant acme",
            "steward channel show ops --tenant acme",
            "steward channel dead-letters --channel ops --tenant acme",
        ],
        make_one: "steward channel set ops webhook --address https://example.com/hook --secret ops-hook --tenant TENANT",
    },
    KnownList {
        noun: "tenant",
        columns: TENANT,
        examples: &["steward tenant list --state suspended", "steward tenant show acme"],
        make_one: "steward tenant create acme",
    },
    KnownList {
        noun: "project",
        columns: PROJECT,
        examples: &["steward project list --tenant acme", "steward project show support --tenant acme"],
        make_one: "steward project create support --tenant TENANT",
    },
    KnownList {
        noun: "flag",
        columns: FLAG,
        examples: &["steward flag list --tenant acme"],
        make_one: "steward flag set new-search 25% --tenant TENANT",
    },
    KnownList {
        noun: "quota",
        columns: QUOTA,
        examples: &["steward quota list --tenant acme"],
        make_one: "steward quota set agents 5 --tenant TENANT",
    },
    KnownList {
        noun: "plan",
        columns: PLAN,
        examples: &["steward plan list", "steward plan list --tenant acme"],
        make_one: "steward plan define starter --quota '{\"quota\": \"agents\", \"limit\": 5}'",
    },
];

const KEY: &[KnownColumn] = &[
    ("KEY", false, |row| text(row, "/key")),
    ("ACTS AS", false, |row| named(row, "/principal")),
    ("SCOPE", false, |row| text(row, "/scope")),
    ("STATE", false, |row| text(row, "/state")),
    ("MODELS", false, |row| or(text(row, "/models"), "all it may")),
    ("FROM", false, |row| or(text(row, "/addresses"), "everywhere")),
    ("HOURS", false, |row| or(text(row, "/hours"), "always")),
    ("EXPIRES", false, |row| moment(row, "/expires")),
    ("LAST USED", false, |row| or(moment(row, "/last_used"), "never")),
    ("ISSUED", false, |row| moment(row, "/issued_at")),
];

const GROUP: &[KnownColumn] = &[
    ("GROUP", false, |row| text(row, "/name")),
    ("ID", false, |row| text(row, "/group")),
    ("MEMBERS", true, |row| text(row, "/members")),
    ("FOR", false, |row| text(row, "/description")),
    ("DEFINED", false, |row| moment(row, "/defined_at")),
];

const MEMBER: &[KnownColumn] = &[
    ("MEMBER", false, |row| named(row, "/member")),
    ("STATE", false, |row| text(row, "/state")),
    ("SINCE", false, |row| moment(row, "/joined_at")),
];

const GRANT: &[KnownColumn] = &[
    ("TO", false, |row| named(row, "/to")),
    ("ROLE", false, |row| text(row, "/role")),
    ("ON", false, |row| text(row, "/on")),
    ("STATE", false, |row| text(row, "/state")),
    ("EXPIRES", false, |row| moment(row, "/expires")),
    ("ONLY FOR", false, condition),
    ("GIVEN", false, |row| moment(row, "/given_at")),
];

const ROLE: &[KnownColumn] = &[
    ("ROLE", false, |row| text(row, "/role")),
    ("PERMISSIONS", false, |row| text(row, "/permissions")),
    ("INHERITS", false, |row| text(row, "/inherits")),
    ("FROM", false, from),
];

const USER: &[KnownColumn] = &[
    ("PRINCIPAL", false, |row| text(row, "/principal")),
    ("EMAIL", false, |row| if flag(row, "/erased") { "(erased)".to_owned() } else { text(row, "/email") }),
    ("NAME", false, |row| text(row, "/name")),
    ("STATE", false, |row| text(row, "/state")),
    ("SINCE", false, |row| or(moment(row, "/invited_at"), &moment(row, "/since"))),
];

const ACCOUNT: &[KnownColumn] = &[
    ("NAME", false, |row| text(row, "/name")),
    ("PRINCIPAL", false, |row| text(row, "/principal")),
    ("STATE", false, |row| text(row, "/state")),
    ("OWNER", false, |row| or(text(row, "/owner"), "nobody")),
    ("CREATED", false, |row| moment(row, "/created_at")),
];

const AGENT: &[KnownColumn] = &[
    ("AGENT", false, |row| text(row, "/agent")),
    ("MODEL", false, |row| text(row, "/spec/model")),
    ("PATTERN", false, |row| text(row, "/spec/pattern")),
    ("STEPS MAX", true, |row| text(row, "/spec/steps_max")),
    ("REVISION", true, |row| text(row, "/revision")),
    ("DEFINED", false, |row| moment(row, "/defined_at")),
];

const BUDGET: &[KnownColumn] = &[
    ("SCOPE", false, |row| text(row, "/scope")),
    ("LEVEL", false, |row| text(row, "/level")),
    ("FOR", false, subject),
    ("PER", false, |row| text(row, "/per")),
    ("LIMIT", true, |row| text(row, "/limit")),
    ("SPENT", true, |row| text(row, "/window/spent")),
    ("HELD", true, |row| text(row, "/window/held")),
    ("FREE", true, |row| text(row, "/window/free")),
    ("KIND", false, |row| if flag(row, "/hard") { "hard" } else { "soft" }.to_owned()),
    ("WARN AT", false, |row| percents(row, "/warn")),
    ("CROSSED", false, |row| percents(row, "/window/warned")),
    ("TURNS", false, |row| moment(row, "/window/to")),
];

const PROVIDER: &[KnownColumn] = &[
    ("PROVIDER", false, |row| text(row, "/provider")),
    ("KIND", false, |row| text(row, "/kind")),
    ("URL", false, |row| text(row, "/url")),
    ("KEY FROM", false, |row| text(row, "/key")),
    ("FROM", false, from),
];

const SECRET: &[KnownColumn] = &[
    ("SECRET", false, |row| text(row, "/secret")),
    ("USED BY", false, |row| or(text(row, "/providers"), "no provider")),
    ("SET", false, |row| moment(row, "/set_at")),
    ("SET BY", false, |row| text(row, "/set_by")),
];

const MODEL: &[KnownColumn] = &[
    ("MODEL", false, |row| text(row, "/model")),
    ("GOES TO", false, targets),
    ("INPUT", true, |row| price(row, "/price/input")),
    ("OUTPUT", true, |row| price(row, "/price/output")),
    ("CONTEXT MAX", true, |row| text(row, "/spec/context_max")),
    ("OUTPUT MAX", true, |row| text(row, "/spec/output_max")),
    ("FEATURES", false, |row| text(row, "/spec/features")),
    ("ENDS", false, |row| moment(row, "/spec/ends")),
    ("FROM", false, from),
];

const PRICE: &[KnownColumn] = &[
    ("MODEL", false, |row| text(row, "/model")),
    ("AT", false, |row| or(text(row, "/target"), "all targets")),
    ("APPLIES FROM", false, |row| moment(row, "/from")),
    ("UNTIL", false, |row| moment(row, "/until")),
    ("INPUT", true, |row| price(row, "/price/input")),
    ("CACHED", true, |row| price(row, "/price/cached")),
    ("OUTPUT", true, |row| price(row, "/price/output")),
    ("FROM", false, from),
];

const FILE: &[KnownColumn] = &[
    ("FILE", false, |row| text(row, "/file")),
    ("NAME", false, |row| or(text(row, "/name"), "(erased)")),
    ("PURPOSE", false, |row| text(row, "/purpose")),
    ("BYTES", true, |row| text(row, "/bytes")),
    ("SCOPE", false, |row| text(row, "/scope")),
    ("KEPT", false, |row| moment(row, "/kept_at")),
    ("ENDS", false, |row| moment(row, "/expires")),
];

const BATCH: &[KnownColumn] = &[
    ("BATCH", false, |row| text(row, "/batch")),
    ("STATE", false, |row| text(row, "/state")),
    ("CALLS", false, |row| text(row, "/endpoint")),
    ("LINES", true, |row| text(row, "/lines")),
    ("ANSWERED", true, |row| text(row, "/counts/completed")),
    ("FAILED", true, |row| text(row, "/counts/failed")),
    ("SCOPE", false, |row| text(row, "/scope")),
    ("SUBMITTED", false, |row| moment(row, "/submitted_at")),
];

const CHANNEL: &[KnownColumn] = &[
    ("CHANNEL", false, |row| text(row, "/channel")),
    ("KIND", false, |row| text(row, "/kind")),
    ("GOES TO", false, receiver),
    ("NOTICES", false, |row| or(text(row, "/notices"), "all")),
    ("STATE", false, |row| text(row, "/state")),
    ("WAITING", true, |row| text(row, "/waiting")),
    ("DEAD", true, |row| text(row, "/dead")),
    ("LAST", false, last_message),
];

/// The columns of dead letters.
pub(super) const DEAD_LETTER: &[KnownColumn] = &[
    ("CHANNEL", false, |row| text(row, "/channel")),
    ("MESSAGE", false, |row| text(row, "/message")),
    ("WHAT", false, |row| text(row, "/kind")),
    ("TITLE", false, |row| text(row, "/title")),
    ("ATTEMPTS", true, |row| text(row, "/attempts")),
    ("WHY", false, |row| text(row, "/reason")),
    ("MADE", false, |row| moment(row, "/made_at")),
];

const PROJECT: &[KnownColumn] = &[
    ("PROJECT", false, |row| text(row, "/project")),
    ("NAME", false, |row| text(row, "/name")),
    ("STATE", false, |row| text(row, "/state")),
    ("CREATED", false, |row| moment(row, "/created_at")),
    ("REASON", false, |row| text(row, "/reason")),
];

const FLAG: &[KnownColumn] = &[
    ("FLAG", false, |row| text(row, "/flag")),
    ("STATE", false, |row| text(row, "/spec/state")),
    ("ON FOR", false, |row| text(row, "/spec/on_for")),
    ("OFF FOR", false, |row| text(row, "/spec/off_for")),
    ("FROM", false, |row| if flag(row, "/of_plan") { "plan" } else { "tenant" }.to_owned()),
];

const QUOTA: &[KnownColumn] = &[
    ("QUOTA", false, |row| text(row, "/quota")),
    ("LIMIT", true, |row| or(text(row, "/limit"), "none")),
    ("TAKEN", true, |row| text(row, "/taken")),
    ("OPERATORS", true, |row| text(row, "/platform")),
    ("TENANT", true, |row| text(row, "/tenant")),
    ("PLAN", true, |row| text(row, "/plan")),
];

const PLAN: &[KnownColumn] = &[
    ("PLAN", false, |row| text(row, "/plan")),
    ("REVISION", true, |row| text(row, "/revision")),
    ("TENANTS", true, |row| text(row, "/tenants")),
    ("QUOTAS", false, |row| pairs(row, "/spec/quotas", ("/quota", "/limit"))),
    ("FLAGS", false, |row| pairs(row, "/spec/flags", ("/flag", "/state"))),
    ("BUDGETS", false, |row| pairs(row, "/spec/budgets", ("/limit", "/per"))),
];

const TENANT: &[KnownColumn] = &[
    ("TENANT", false, |row| text(row, "/tenant")),
    ("STATE", false, |row| text(row, "/state")),
    ("TIME ZONE", false, |row| text(row, "/timezone")),
    ("SHARD", true, |row| text(row, "/shard")),
    ("CREATED", false, |row| moment(row, "/created_at")),
    ("REASON", false, |row| text(row, "/reason")),
];
