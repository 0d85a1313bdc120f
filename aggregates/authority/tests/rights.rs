//! Every row of the command and query tables, tried from inside, above and beside, and with every kind of key, as a file
//! that people read and reviews see change: `tests/rights.txt`. To accept a change, run with `RIGHTS=accept`.
//!
//! Each row is about the project `acme/support`, where it can be. What no row may ever give is also said in code, below.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end at once

use std::fmt::Write as _;

use steward_aggregates::spec::fold;
use steward_authority::{AccessRequest, Authority, Context};
use steward_events::command::{Audience, COMMANDS, Command, CommandSpec};
use steward_events::event::{AccessEvent, AgentEvent, Event, GrantId, IdentityEvent, KeyHash, TenantEvent};
use steward_events::id::{KeyId, PrincipalId, TenantId};
use steward_events::rejection::Rejection;
use steward_events::request::Format;
use steward_events::scope::Scope;
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;
use steward_queries::{Answers, QUERIES, QuerySpec};

const START: Timestamp = Timestamp(1_000_000);
const NOW: Timestamp = Timestamp(5_000_000);
const LATER: Timestamp = Timestamp(9_000_000);

/// What a key is narrowed by, in words.
type Narrowed<'a> = &'a [(&'a str, &'a str)];

/// Where every row is tried.
const HERE: &str = "acme/support";

/// Who tries, and what it is: the key's name is the sender.
const SENDERS: &[(&str, &str)] = &[
    ("above", "key_above"),       // an owner of the tenant
    ("inside", "key_inside"),     // an owner of the project
    ("beside", "key_beside"),     // an owner of another project
    ("other", "key_other"),       // an owner of another tenant
    ("operator", "op_key_root"),  // an operator
    ("name", "p_above"),          // the owner of the tenant, under their own name
    ("models", "key_models"),     // all others are keys of the owner of the tenant: for one model
    ("scope", "key_scope"),       // for the project
    ("elsewhere", "key_else"),    // for another project
    ("permission", "key_budget"), // for budgets
    ("ending", "key_ending"),     // until later
    ("expired", "key_expired"),
    ("revoked", "key_revoked"),
    ("task", "key_task"),     // of a task
    ("orphan", "key_orphan"), // of a task whose submitter's key was revoked
    ("disabled", "key_disabled"),
    ("suspended", "key_above"), // while the tenant is suspended
];

/// Who may nothing here, whatever the row: each for a reason of its own.
const NEVER: &[&str] = &["beside", "other", "elsewhere", "expired", "revoked", "orphan", "disabled"];

/// What the body of a command is, about the project where it can be. A new row needs one.
fn example(spec: &CommandSpec) -> &'static str {
    match (spec.noun, spec.verb) {
        ("tenant", "create") => r#"{"tenant":"new"}"#,
        ("tenant", "suspend") => r#"{"reason":"unpaid"}"#,
        ("tenant", "resume" | "cancel-erase" | "set-plan") | ("checkpoint", "request") => "{}",
        ("tenant", "set") => r#"{"contact":"it@example.com"}"#,
        ("tenant", "revert") => r#"{"to":1}"#,
        ("project", "rename") => r#"{"project":"support","name":"Support"}"#,
        ("project", _) => r#"{"project":"support"}"#,
        ("flag", "set") => r#"{"flag":"search","state":"25%"}"#,
        ("flag", "remove") => r#"{"flag":"search"}"#,
        ("quota", "set") => r#"{"quota":"keys","limit":5}"#,
        ("quota", "remove") => r#"{"quota":"keys"}"#,
        ("plan", "define") => r#"{"plan":"starter"}"#,
        ("user", "invite") => r#"{"profile":{"email":"ana@example.com"}}"#,
        ("tenant", "erase") => r#"{"confirm":"acme"}"#,
        ("user", "erase") => r#"{"principal":"p_disabled"}"#,
        ("user", "disable" | "enable") => r#"{"principal":"svc_bot"}"#,
        ("user", "set") => r#"{"principal":"svc_bot","profile":{"email":"ana@example.com"}}"#,
        ("account", "create") => r#"{"name":"bot"}"#,
        ("account", "set-owner") => r#"{"account":"svc_bot","owner":"p_inside"}"#,
        ("key", "issue") => {
            r#"{"principal":"svc_bot","scope":"acme/support",
                "hash":"0000000000000000000000000000000000000000000000000000000000000000"}"#
        }
        ("key", "rotate") => {
            r#"{"key":"key_bot",
                "hash":"0000000000000000000000000000000000000000000000000000000000000000"}"#
        }
        ("key", "revoke") => r#"{"key":"key_bot"}"#,
        ("role", "define") => r#"{"role":"mine","permissions":["task:list"]}"#,
        ("role", "remove") => r#"{"role":"mine"}"#,
        ("deny", "set") => {
            r#"{"denial":"no-sales","permissions":["cost:report"],"on":"acme/support","reason":"why",
                "whom":{"principals":["svc_bot"]}}"#
        }
        ("deny", "remove") => r#"{"denial":"no-lists"}"#,
        ("separation", "set") => r#"{"separation":"two","roles":["billing","agent"],"on":"acme/support"}"#,
        ("separation", "remove") => r#"{"separation":"apart"}"#,
        ("elevation", "allow") => {
            r#"{"rule":"mine","role":"agent","on":"acme/support","askers":["svc_bot"],"longest_s":60}"#
        }
        ("elevation", "disallow") => r#"{"rule":"glass"}"#,
        ("elevation", "request") => r#"{"rule":"glass","duration_s":60,"reason":"why"}"#,
        ("elevation", "approve" | "refuse" | "end") => r#"{"elevation":"elv_1"}"#,
        ("review", "start") => {
            r#"{"review":"new","on":"acme/support","due":"1970-01-01T00:00:09Z","revoke_unreviewed":true}"#
        }
        ("review", "confirm" | "revoke") => {
            r#"{"review":"q4","grants":[{"to":"p_inside","role":"owner","on":"acme/support"}]}"#
        }
        ("review", "close") => r#"{"review":"q4"}"#,
        ("data-class", "set") => r#"{"scope":"acme/support","class":"public"}"#,
        ("grant", "give" | "revoke") | ("trial", "stop") => r#"{"to":"svc_bot","role":"agent","on":"acme/support"}"#,
        ("group", "define") => r#"{"name":"helpers"}"#,
        ("group", "join" | "leave") => r#"{"group":"g_helpers","member":"svc_bot"}"#,
        ("group", "remove") => r#"{"group":"g_helpers"}"#,
        ("trial", "start") => r#"{"to":"svc_bot","role":"agent","on":"acme/support","until":"2027-01-01T00:00:00Z"}"#,
        ("budget", "set") => r#"{"scope":"acme/support","limit":"$1"}"#,
        ("budget", "remove") => r#"{"scope":"acme/support","unit":"money","per":"total"}"#,
        ("provider", "set") => r#"{"provider":"mine","kind":"openai","url":"https://example.com"}"#,
        ("model", "set") => r#"{"model":"small","spec":{"context_max":10,"output_max":10}}"#,
        ("route", "set") => r#"{"model":"small","targets":[]}"#,
        ("price", "set") => r#"{"model":"small","price":{"input":1,"cached":1,"output":1}}"#,
        ("cache", "set") => r#"{"model":"small","ttl_s":60}"#,
        ("prompt", "set") => r#"{"model":"small","compress":true}"#,
        ("cache", "purge") => r#"{"model":"small"}"#,
        ("secret", "set") => r#"{"secret":"mine","value":"sk-example"}"#,
        ("secret", "remove") => r#"{"secret":"mine"}"#,
        ("channel", "set") => r#"{"channel":"ops","kind":"webhook","url":"https://example.com","secret":"mine"}"#,
        ("channel", "remove" | "test") => r#"{"channel":"ops"}"#,
        ("channel", "redeliver") => r#"{"channel":"ops","message":"msg_1"}"#,
        ("agent", "define") => r#"{"agent":"researcher","spec":{"model":"small","instructions":""}}"#,
        ("task", "submit") => r#"{"agent":"researcher","input":{"prompt":"why"},"scope":"acme/support"}"#,
        ("task", "cancel") => r#"{"task":"t_1"}"#,
        ("file", "remove") => r#"{"file":"file-1","scope":"acme/support"}"#,
        ("batch", "submit") => r#"{"endpoint":"/v1/embeddings","input_file":"file-1","scope":"acme/support"}"#,
        ("batch", "cancel") => r#"{"batch":"batch_1"}"#,
        _ => panic!("{spec:?} has no example here: add one, and read its new row in rights.txt"),
    }
}

struct World(Authority);

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

impl World {
    fn tell(&mut self, of: &str, event: impl Into<Event>) {
        fold(&mut self.0, &tenant(of), START, event);
    }

    fn person(&mut self, of: &str, who: &str, role: &str, on: &str) {
        let principal: PrincipalId = who.parse().unwrap();
        self.tell(of, IdentityEvent::AccountCreated { principal: principal.clone(), name: who.to_owned() });
        let grant = GrantId { to: principal, role: role.parse().unwrap(), on: on.parse().unwrap() };
        self.tell(of, AccessEvent::RoleGranted { grant, expires: None, condition: None });
    }

    /// A key of `who`: what it is narrowed by comes as words.
    fn key(&mut self, of: &str, key: &str, who: &str, narrowed: Narrowed<'_>) {
        let said = |what: &str| narrowed.iter().find(|(name, _)| *name == what).map(|(_, value)| *value);
        let reach = said("scope").unwrap_or(if of == "steward" { "*" } else { of });
        let parent = said("parent").map(|id| KeyRef { tenant: tenant(of), key: id.parse::<KeyId>().unwrap() });
        self.tell(
            of,
            IdentityEvent::KeyIssued {
                key: key.parse().unwrap(),
                principal: who.parse().unwrap(),
                hash: KeyHash::of(key),
                scope: reach.parse().unwrap(),
                models: said("model").map(|model| model.parse().unwrap()).into_iter().collect(),
                expires: said("until").map(|until| Timestamp(until.parse().unwrap())),
                agent: parent.as_ref().map(|_| "researcher".parse().unwrap()),
                task: parent.as_ref().map(|_| "t_1".parse().unwrap()),
                permissions: said("permission").map(|pattern| pattern.parse().unwrap()).into_iter().collect(),
                parent,
                addresses: vec![],
                hours: vec![],
                line: None,
            },
        );
    }

    fn new() -> Self {
        let mut world = Self(Authority::default());
        for of in ["steward", "acme", "globex"] {
            world.tell(of, TenantEvent::Created { tenant: tenant(of), timezone: "UTC".to_owned() });
        }
        world.person("steward", "op_root", "owner", "*");
        world.person("globex", "p_other", "owner", "globex");
        for (who, role, on) in [
            ("p_above", "owner", "acme"),
            ("p_inside", "owner", HERE),
            ("p_beside", "owner", "acme/sales"),
            ("p_disabled", "owner", "acme"),
            ("svc_bot", "agent", HERE),
        ] {
            world.person("acme", who, role, on);
        }
        world.key("steward", "key_root", "op_root", &[]);
        world.key("globex", "key_other", "p_other", &[]);
        let (later, past) = (LATER.0.to_string(), (NOW.0 - 1).to_string());
        let keys: &[(&str, &str, Narrowed<'_>)] = &[
            ("key_above", "p_above", &[]),
            ("key_inside", "p_inside", &[]),
            ("key_beside", "p_beside", &[]),
            ("key_models", "p_above", &[("model", "small")]),
            ("key_scope", "p_above", &[("scope", HERE)]),
            ("key_else", "p_above", &[("scope", "acme/sales")]),
            ("key_budget", "p_above", &[("permission", "budget:*")]),
            ("key_ending", "p_above", &[("until", &later)]),
            ("key_expired", "p_above", &[("until", &past)]),
            // Narrowed, so that what is sent under the owner's own name cannot come by it.
            ("key_revoked", "p_above", &[("until", &later)]),
            ("key_task", "p_above", &[("model", "small"), ("scope", HERE), ("parent", "key_above")]),
            ("key_orphan", "p_above", &[("model", "small"), ("scope", HERE), ("parent", "key_revoked")]),
            ("key_disabled", "p_disabled", &[]),
            ("key_bot", "svc_bot", &[("scope", HERE)]),
        ];
        for (key, who, narrowed) in keys {
            world.key("acme", key, who, narrowed);
        }
        let group: PrincipalId = "g_helpers".parse().unwrap();
        let (name, description) = ("helpers".to_owned(), String::new());
        world.tell("acme", AccessEvent::GroupDefined { group: group.clone(), name, description });
        let grant = GrantId { to: group, role: "agent".parse().unwrap(), on: HERE.parse().unwrap() };
        world.tell("acme", AccessEvent::RoleGranted { grant, expires: None, condition: None });
        let reason = String::new();
        world.tell("acme", IdentityEvent::KeyRevoked { key: "key_revoked".parse().unwrap(), reason: reason.clone() });
        world.tell("acme", IdentityEvent::UserDisabled { principal: "p_disabled".parse().unwrap(), reason });
        world.rules();
        let spec = serde_json::from_str(r#"{"model":"small","instructions":""}"#).unwrap();
        world.tell("acme", AgentEvent::Defined { agent: "researcher".parse().unwrap(), revision: 1, spec });
        world
    }

    /// A rule of each kind about the project: denied is only what nobody here asks, and whoever owns something may ask.
    fn rules(&mut self) {
        let read = |text: &str| serde_json::from_str::<AccessEvent>(text).unwrap();
        for event in [
            r#"{"type":"denial_set","data":{"denial":"no-lists","spec":{"permissions":["cost:report"],"on":"acme/support",
                "whom":{"principals":["svc_bot"]},"reason":"why"}}}"#,
            r#"{"type":"separation_set","data":{"separation":"apart","spec":{"roles":["billing","agent"],
                "on":"acme/support","reason":"why"}}}"#,
            r#"{"type":"elevation_allowed","data":{"rule":"glass","spec":{"role":"agent","on":"acme/support",
                "asker_roles":["owner"],"approver_roles":["owner"],"longest_s":60}}}"#,
            r#"{"type":"elevation_requested","data":{"elevation":"elv_1","request":{"rule":"glass","by":"svc_bot",
                "role":"agent","on":"acme/support","duration_s":1,"reason":"why","lapses":"1970-01-02T00:00:00Z"}}}"#,
            r#"{"type":"review_started","data":{"review":"q4","spec":{"on":"acme/support",
                "due":"1970-01-02T00:00:00Z"}}}"#,
        ] {
            self.tell("acme", read(event));
        }
    }

    /// The same, where acme is suspended.
    fn suspended() -> Self {
        let mut world = Self::new();
        world.tell("acme", TenantEvent::Suspended { reason: "unpaid".to_owned() });
        world
    }

    fn command(&self, sender: &str, spec: &CommandSpec) -> &'static str {
        if spec.audience == Audience::System {
            return said(self.0.authorise(&Self::asked(sender, spec.permission().as_str()), NOW).map(|_| "yes"));
        }
        let command = Command::read(spec.noun, spec.verb, Format::Json, example(spec).as_bytes());
        let command = command.unwrap_or_else(|error| panic!("{spec:?}: {error}"));
        // Where a task belongs is recorded in its stream.
        let recorded: Option<Scope> = command.body().concerns().map(|_| HERE.parse().unwrap());
        let sender = sender.parse().unwrap();
        // What concerns everything is sent to the tenant that holds everything.
        let everything = command.scope(&tenant("acme")) == Scope::everything();
        let about = if everything { TenantId::steward() } else { tenant("acme") };
        said(self.0.may_send(&about, &sender, &command, recorded.as_ref(), NOW).map(|_| "yes"))
    }

    fn query(&self, sender: &str, spec: &QuerySpec) -> &'static str {
        let asked = Self::asked(sender, spec.permission().as_str());
        let sight = match spec.answers {
            Answers::OfTheTenant => self.0.whole_sight(&asked, NOW),
            Answers::ByScope => self.0.sight(&asked, NOW),
        };
        let sees = |on: &str| sight.clone().map(|sight| sight.covers(&on.parse().unwrap()));
        said(sees("acme").and_then(|all| {
            let (here, beside) = (sees(HERE)?, sees("acme/sales")?);
            Ok(if all {
                "yes"
            } else if beside {
                "beside"
            } else if here {
                "here"
            } else {
                "nothing"
            })
        }))
    }

    fn asked(sender: &str, permission: &str) -> AccessRequest {
        AccessRequest {
            tenant: tenant("acme"),
            principal: sender.parse().unwrap(),
            key: None,
            permission: permission.parse().unwrap(),
            scope: Scope::tenant(&tenant("acme")),
            context: Context::default(),
        }
    }
}

fn said(outcome: Result<&'static str, Rejection>) -> &'static str {
    match outcome {
        Ok(said) => said,
        Err(Rejection::Forbidden { .. } | Rejection::Suspended { .. }) => "-",
        Err(other) => panic!("{other}"),
    }
}

/// The answers: a row a command or query, a column a sender.
fn answers() -> Vec<(String, Vec<&'static str>)> {
    let (open, suspended) = (World::new(), World::suspended());
    let world = |name: &str| if name == "suspended" { &suspended } else { &open };
    let commands = COMMANDS.iter().map(|spec| {
        let cells = SENDERS.iter().map(|(name, sender)| world(name).command(sender, spec));
        (format!("{}.{}", spec.noun, spec.verb), cells.collect())
    });
    let queries = QUERIES.iter().map(|spec| {
        let cells = SENDERS.iter().map(|(name, sender)| world(name).query(sender, spec));
        (format!("{}.{} ?", spec.view, spec.verb), cells.collect())
    });
    commands.chain(queries).collect()
}

#[test]
fn each_row_gives_what_the_table_says() {
    let mut table = format!("{:<22}", "about acme/support");
    for (name, _) in SENDERS {
        write!(table, "{name:<11}").unwrap();
    }
    for (row, cells) in answers() {
        write!(table, "\n{row:<21} ").unwrap();
        for cell in cells {
            write!(table, "{cell:<11}").unwrap();
        }
    }
    let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
    let table = lines.join("\n") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rights.txt");
    #[allow(clippy::disallowed_methods)] // a switch of this test alone
    if std::env::var("RIGHTS").is_ok_and(|value| value == "accept") {
        std::fs::write(path, &table).unwrap();
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    assert!(known == table, "rights.txt differs; read it, then accept it with RIGHTS=accept:\n{table}");
}

/// What holds for every row, now and in future.
#[test]
fn no_row_gives_anything_to_who_may_nothing_here() {
    for (row, cells) in answers() {
        let cell = |name: &str| cells[SENDERS.iter().position(|(known, _)| *known == name).unwrap()];
        let is_query = row.ends_with('?');
        for name in NEVER {
            // Who may see another project is shown that one.
            let shown = is_query && cell(name) == "beside" && ["beside", "elsewhere"].contains(name);
            assert!(cell(name) == "-" || shown, "{name} may {row}: {}", cell(name));
        }
        for narrowed in ["models", "scope", "permission", "ending", "task", "inside"] {
            assert!(cell(narrowed) == "-" || cell("above") == "yes", "{narrowed} may {row}, and the owner may not");
        }
        for within in ["inside", "scope"] {
            assert!(!is_query || ["-", "here"].contains(&cell(within)), "{within} is shown more of {row}");
        }
    }
}
