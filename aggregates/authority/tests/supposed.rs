//! What commands would change, what nobody needs, and grants that are set aside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end at once

use serde_json::json;
use steward_aggregates::spec::fold;
use steward_authority::{AccessRequest, Allowed, Authority, Context, read_changes};
use steward_events::command::{GiveGrant, StartTrial};
use steward_events::event::{AccessEvent, GrantId, IdentityEvent, TenantEvent};
use steward_events::id::TenantId;
use steward_events::permission::Permission;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_queries::{Change, Question, Simulation, UsedRight};

const T0: Timestamp = Timestamp(1_000_000);
const T1: Timestamp = Timestamp(2_000_000);

/// Tenant `acme` with people `p_ana`, `p_bob` and account `svc_bot`.
struct AuthorityEnv(Authority);

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

impl AuthorityEnv {
    fn new() -> Self {
        let mut env = Self(Authority::default());
        for tenant in [TenantId::steward(), acme()] {
            let created = TenantEvent::Created { tenant: tenant.clone(), timezone: "Europe/Berlin".to_owned() };
            fold(&mut env.0, &tenant, T0, created);
        }
        for person in ["p_ana", "p_bob", "svc_bot"] {
            env.person(person);
        }
        env
    }

    fn person(&mut self, principal: &str) {
        let event = IdentityEvent::AccountCreated { principal: principal.parse().unwrap(), name: principal.to_owned() };
        fold(&mut self.0, &acme(), T0, event);
    }

    fn grant(&mut self, to: &str, role: &str, on: &str) {
        let grant = GrantId { to: to.parse().unwrap(), role: role.parse().unwrap(), on: on.parse().unwrap() };
        fold(&mut self.0, &acme(), T0, AccessEvent::RoleGranted { grant, expires: None, condition: None });
    }
}

fn change(command: &str, body: serde_json::Value) -> Change {
    Change { command: command.to_owned(), body }
}

fn grant_of(to: &str, role: &str, on: &str) -> serde_json::Value {
    json!({ "to": to, "role": role, "on": on })
}

impl AuthorityEnv {
    fn simulate(&self, changes: &[Change]) -> Simulation {
        self.0.simulate(&acme(), &read_changes(changes).unwrap(), None, None, T1).unwrap()
    }
}

/// `principal way scope permissions`, a line each.
fn lines(simulation: &Simulation) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &simulation.rows {
        for (way, rights) in [("gains", &row.gained), ("loses", &row.lost), ("alters", &row.altered)] {
            for at in rights {
                let permissions: Vec<&str> = at.permissions.iter().map(Permission::as_str).collect();
                lines.push(format!("{} {way} {} {}", row.principal, at.scope, permissions.join(" ")));
            }
        }
    }
    lines
}

#[test]
fn a_simulation_names_who_gains_and_loses_what() {
    let mut env = AuthorityEnv::new();
    env.grant("p_ana", "agent", "acme");
    env.grant("p_bob", "agent", "acme/support");
    env.grant("svc_bot", "owner", "acme");
    let changes = [
        change("grant.revoke", grant_of("p_bob", "agent", "acme/support")),
        change("grant.give", grant_of("p_bob", "agent", "acme/sales")),
        change("grant.give", grant_of("p_ana", "agent", "acme")),
    ];
    let simulation = env.simulate(&changes);
    let both = "flag:read model:invoke task:submit";
    assert_eq!(
        lines(&simulation),
        [format!("p_bob gains acme/sales {both}"), format!("p_bob loses acme/support {both}")]
    );
    assert_eq!(simulation.without_effect, [2], "p_ana has it already");
    assert!(env.asks_bob(), "nothing was changed");
}

impl AuthorityEnv {
    fn asks_bob(&self) -> bool {
        let question = |permission: &str| steward_queries::ExplainQuery {
            principal: "p_bob".parse().unwrap(),
            permission: permission.parse().unwrap(),
            scope: "acme/support".parse().unwrap(),
            at: None,
            address: None,
        };
        self.0.explain(&acme(), &question("task:submit"), T1).allowed
    }
}

#[test]
fn a_role_that_changes_reaches_all_its_holders() {
    let mut env = AuthorityEnv::new();
    let role: steward_events::id::RoleId = "support".parse().unwrap();
    let defined = AccessEvent::RoleDefined {
        role,
        permissions: vec!["task:list".parse().unwrap(), "task:show".parse().unwrap()],
        inherits: vec![],
    };
    fold(&mut env.0, &acme(), T0, defined);
    env.grant("p_ana", "support", "acme");
    env.grant("p_bob", "support", "acme/sales");
    let smaller = change("role.define", json!({ "role": "support", "permissions": ["task:list", "cost:report"] }));
    let simulation = env.simulate(&[smaller]);
    assert_eq!(
        lines(&simulation),
        [
            "p_ana gains acme cost:report",
            "p_ana loses acme task:show",
            "p_bob gains acme/sales cost:report",
            "p_bob loses acme/sales task:show",
        ]
    );
    assert_eq!(simulation.principals, 3);
}

#[test]
fn a_condition_that_is_added_alters_and_a_disabled_user_loses_all() {
    let mut env = AuthorityEnv::new();
    env.grant("p_ana", "agent", "acme");
    env.grant("p_bob", "agent", "acme");
    let mut conditional = grant_of("p_ana", "agent", "acme");
    conditional["condition"] = json!({ "models": ["small"] });
    let changes = [change("grant.give", conditional), change("user.disable", json!({ "principal": "p_bob" }))];
    let both = "flag:read model:invoke task:submit";
    let simulation = env.simulate(&changes);
    assert_eq!(lines(&simulation), [format!("p_ana alters acme {both}"), format!("p_bob loses acme {both}")]);
    let question = Question {
        principal: "p_ana".parse().unwrap(),
        permission: "model:invoke".parse().unwrap(),
        scope: Scope::tenant(&acme()),
        model: Some("large".parse().unwrap()),
        cost: None,
    };
    let commands = read_changes(&changes).unwrap();
    let asked = env.0.simulate(&acme(), &commands, Some(&question), None, T1).unwrap().question.unwrap();
    assert_eq!((asked.before.allowed, asked.after.allowed), (true, false), "{}", asked.after.reason);
}

#[test]
fn a_command_that_would_be_refused_is_named() {
    let env = AuthorityEnv::new();
    let refused =
        |change: Change| read_changes(&[change]).and_then(|all| env.0.simulate(&acme(), &all, None, None, T1));
    let unknown = refused(change("grant.give", grant_of("p_ana", "nope", "acme"))).unwrap_err().to_string();
    assert!(unknown.contains("changes[0]") && unknown.contains("nope"), "{unknown}");
    let system = refused(change("lease.end", json!({}))).unwrap_err().to_string();
    assert!(system.contains("changes[0]"), "{system}");
    let outside = refused(change("grant.give", grant_of("p_ana", "agent", "other"))).unwrap_err().to_string();
    assert!(outside.contains("outside tenant"), "{outside}");
}

#[test]
fn pages_of_a_simulation_are_the_whole() {
    let mut env = AuthorityEnv::new();
    for number in 0..400 {
        let who = format!("svc_{number:03}");
        env.person(&who);
        env.grant(&who, "owner", "acme");
    }
    let suspend = [change("tenant.suspend", json!({ "reason": "unpaid" }))];
    let commands = read_changes(&suspend).unwrap();
    let (mut after, mut rows, mut pages) = (None, 0, 0);
    loop {
        let page = env.0.simulate(&acme(), &commands, None, after.as_ref(), T1).unwrap();
        (rows, pages) = (rows + page.rows.len(), pages + 1);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(pages > 1);
    assert_eq!(rows, 400, "who holds nothing loses nothing");
}

/// Ten thousand principals: the times are printed.
#[test]
fn ten_thousand_principals_are_simulated_quickly() {
    let mut env = AuthorityEnv::new();
    for number in 0..10_000 {
        let who = format!("svc_{number:05}");
        env.person(&who);
        env.grant(&who, ["developer", "agent", "admin"][number % 3], &format!("acme/p{}", number % 500));
    }
    let begun = std::time::Instant::now();
    let changes = [change("user.disable", json!({ "principal": "svc_00000" }))];
    assert_eq!(env.simulate(&changes).rows.len(), 1);
    let one = begun.elapsed();
    let suspend = read_changes(&[change("tenant.suspend", json!({ "reason": "unpaid" }))]).unwrap();
    let page = env.0.simulate(&acme(), &suspend, None, None, T1).unwrap();
    let touched = begun.elapsed().saturating_sub(one);
    assert!(page.next.is_some() && !page.rows.is_empty());
    let begun = std::time::Instant::now();
    assert_eq!(env.0.least(&acme(), &[], None, T1).len(), 10_000);
    println!(
        "one of 10,000 touched: {one:?}; a page of all touched: {touched:?}; review of all: {:?}",
        begun.elapsed()
    );
}

fn used(who: &str, permission: &str, scope: &str, model: Option<&str>) -> UsedRight {
    UsedRight {
        principal: who.parse().unwrap(),
        permission: permission.parse().unwrap(),
        scope: scope.parse().unwrap(),
        model: model.map(|model| model.parse().unwrap()),
        times: 3,
        last: T0,
    }
}

#[test]
fn the_smaller_set_is_what_was_used() {
    let mut env = AuthorityEnv::new();
    env.grant("p_ana", "owner", "acme");
    env.grant("p_ana", "billing", "acme");
    env.grant("p_bob", "agent", "acme/support");
    env.grant("p_bob", "owner", "acme/support");
    let all = [
        used("p_ana", "task:submit", "acme/support", None),
        used("p_ana", "agent:define", "acme/support/eu", None),
        used("p_bob", "model:invoke", "acme/support", Some("small")),
    ];
    let rows = env.0.least(&acme(), &all, None, T1);
    let commands = |who: usize, grant: usize| -> Vec<String> {
        rows[who].grants[grant].instead.iter().map(|change| format!("{} {}", change.command, change.body)).collect()
    };
    let [unused, wide] = [0, 1].map(|grant| &rows[0].grants[grant]);
    assert_eq!((unused.role.as_str(), unused.times, wide.role.as_str(), wide.times), ("billing", 0, "owner", 6));
    assert_eq!(commands(0, 0), [r#"grant.revoke {"to":"p_ana","role":"billing","on":"acme"}"#]);
    assert_eq!(
        commands(0, 1),
        [
            r#"grant.give {"to":"p_ana","role":"developer","on":"acme/support"}"#,
            r#"grant.revoke {"to":"p_ana","role":"owner","on":"acme"}"#,
        ]
    );
    assert_eq!(
        commands(1, 0),
        [r#"grant.give {"to":"p_bob","role":"agent","on":"acme/support","condition":{"models":["small"]}}"#]
    );
}

impl AuthorityEnv {
    fn set_aside(&mut self, to: &str, role: &str, on: &str) {
        let grant = GrantId { to: to.parse().unwrap(), role: role.parse().unwrap(), on: on.parse().unwrap() };
        fold(&mut self.0, &acme(), T0, AccessEvent::TrialStarted { grant, until: Timestamp(9_000_000) });
    }

    fn asks(&self, who: &str, permission: &str, scope: &str) -> Result<Allowed, Rejection> {
        let request = AccessRequest {
            tenant: acme(),
            principal: who.parse().unwrap(),
            key: None,
            permission: permission.parse().unwrap(),
            scope: scope.parse().unwrap(),
            context: Context::default(),
        };
        self.0.authorise(&request, T1)
    }
}

#[test]
fn a_grant_on_trial_counts_only_where_no_other_does() {
    let mut env = AuthorityEnv::new();
    env.grant("p_ana", "owner", "acme");
    env.grant("p_ana", "developer", "acme/support");
    env.set_aside("p_ana", "owner", "acme");
    let by_other = env.asks("p_ana", "task:submit", "acme/support").unwrap();
    assert_eq!(by_other.set_aside, None, "{}", by_other.reason);
    for (permission, scope) in [("task:submit", "acme/sales"), ("budget:set", "acme/support")] {
        let spared = env.asks("p_ana", permission, scope).unwrap();
        assert_eq!(spared.set_aside.unwrap().role.as_str(), "owner", "{permission} at {scope}");
    }
    assert!(env.asks("p_bob", "budget:set", "acme").is_err());
}

#[test]
fn a_look_by_a_grant_on_trial_says_so() {
    let mut env = AuthorityEnv::new();
    env.grant("p_ana", "auditor", "acme/support");
    env.set_aside("p_ana", "auditor", "acme/support");
    let request = AccessRequest {
        tenant: acme(),
        principal: "p_ana".parse().unwrap(),
        key: None,
        permission: "task:list".parse().unwrap(),
        scope: Scope::tenant(&acme()),
        context: Context::default(),
    };
    let sight = env.0.sight(&request, T1).unwrap();
    assert!(sight.set_aside().is_some() && sight.covers(&"acme/support".parse().unwrap()));
}

#[test]
fn a_right_passed_on_by_a_grant_on_trial_needs_it() {
    let mut env = AuthorityEnv::new();
    env.grant("p_ana", "owner", "acme");
    env.grant("p_ana", "admin", "acme");
    env.set_aside("p_ana", "owner", "acme");
    let give = |role: &str| GiveGrant {
        to: "p_bob".parse().unwrap(),
        role: role.parse().unwrap(),
        on: "acme".parse().unwrap(),
        expires: None,
        condition: None,
    };
    let sends = |role: &str| env.0.may_send(&acme(), &"p_ana".parse().unwrap(), &give(role).into(), None, T1).unwrap();
    assert_eq!(sends("agent").set_aside, None);
    assert_eq!(sends("owner").set_aside.unwrap().role.as_str(), "owner");
}

#[test]
fn nobody_puts_on_trial_what_they_do_not_hold() {
    let mut env = AuthorityEnv::new();
    env.grant("p_ana", "admin", "acme");
    env.grant("p_bob", "owner", "acme");
    let start = |to: &str, role: &str| StartTrial {
        to: to.parse().unwrap(),
        role: role.parse().unwrap(),
        on: "acme".parse().unwrap(),
        until: Timestamp(9_000_000),
    };
    let sends = |who: &str, start: StartTrial| env.0.may_send(&acme(), &who.parse().unwrap(), &start.into(), None, T1);
    assert!(sends("p_ana", start("p_bob", "owner")).is_err());
    assert!(sends("p_bob", start("p_ana", "admin")).is_ok());
}
