//! Laws, over command sequences nobody thought of: histories always fold, deciding twice changes nothing, and access
//! follows its rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end at once

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use steward_aggregates::access::Access;
use steward_aggregates::access::role::built_in_ids;
use steward_aggregates::aggregate::{Aggregate, Stamp};
use steward_aggregates::catalog::Catalog;
use steward_aggregates::identity::Identity;
use steward_aggregates::spec::{fold, stamp};
use steward_aggregates::task::Task;
use steward_authority::{AccessRequest, Authority, Context};
use steward_events::command::{
    AccessCommand, CancelTask, CatalogCommand, ClaimTask, CreateAccount, DefineRole, DisableUser, ExtendClaim,
    FailTask, FinishStep, FinishTask, GiveGrant, IdentityCommand, IssueKey, RevokeGrant, RevokeKey, SetPrice,
    StartStep, SubmitTask, TaskCommand,
};
use steward_events::event::{
    AccessEvent, Condition, Event, GrantId, IdentityEvent, KeyHash, Rates, StepKind, TaskEvent, TaskInput, TaskOutput,
    TenantEvent, TokenUsage,
};
use steward_events::id::{PrincipalId, RoleId, TenantId};
use steward_events::permission::{Permission, PermissionPattern};
use steward_events::quantity::{Epoch, NanoDollars, PicoDollarsPerToken, StepNumber};
use steward_events::scope::Scope;
use steward_events::sealed::{Content, DataKey, KeyOwner, Sealed};
use steward_events::sender::KeyRef;
use steward_events::timestamp::Timestamp;
use steward_queries::ExplainQuery;

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn sealed<T: serde::Serialize + serde::de::DeserializeOwned>(content: &T) -> Content<T> {
    Content::Sealed(Sealed::seal(content, KeyOwner::Tenant(acme()), &DataKey::from_bytes([7; 32]), "").unwrap())
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (0_u64..60).prop_map(|second| Timestamp(second * 1_000_000))
}

fn principal() -> impl Strategy<Value = PrincipalId> {
    select(vec!["p_ana", "p_bob", "svc_bot"]).prop_map(|id| id.parse().unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    select(vec!["acme", "acme/a", "acme/a/x", "acme/b", "other", "*"]).prop_map(|scope| scope.parse().unwrap())
}

fn role() -> impl Strategy<Value = RoleId> {
    select(vec!["owner", "developer", "agent", "billing", "r1", "r2", "r3"]).prop_map(|role| role.parse().unwrap())
}

fn pattern() -> impl Strategy<Value = PermissionPattern> {
    select(vec!["budget:set", "budget:*", "*:set", "*:*", "model:invoke", "task:submit"])
        .prop_map(|text| text.parse().unwrap())
}

fn permission() -> impl Strategy<Value = Permission> {
    select(vec!["budget:set", "budget:remove", "price:set", "model:invoke", "task:submit", "grant:give"])
        .prop_map(|text| text.parse().unwrap())
}

fn access_command() -> impl Strategy<Value = AccessCommand> {
    let condition = proptest::option::of(
        select(vec![1_u64, 100])
            .prop_map(|cost| Condition { cost_max: Some(NanoDollars(cost)), ..Condition::default() }),
    );
    prop_oneof![
        2 => (role(), vec(pattern(), 0..3), vec(role(), 0..3))
            .prop_map(|(role, permissions, inherits)| AccessCommand::DefineRole(DefineRole { role, permissions, inherits })),
        4 => (principal(), role(), scope(), proptest::option::of(moment()), condition).prop_map(
            |(to, role, on, expires, condition)| AccessCommand::GiveGrant(GiveGrant { to, role, on, expires, condition })
        ),
        1 => (principal(), role(), scope()).prop_map(|(to, role, on)| {
            AccessCommand::RevokeGrant(RevokeGrant { to, role, on, reason: String::new() })
        }),
    ]
}

fn identity_command() -> impl Strategy<Value = IdentityCommand> {
    let key = select(vec!["key_1", "key_2", "key_3"]);
    let name = select(vec!["bot", "cat"]);
    let account = |name: &str| PrincipalId::service_account(&acme(), name);
    prop_oneof![
        name.clone()
            .prop_map(|name| IdentityCommand::CreateAccount(CreateAccount { name: name.to_owned(), owner: None })),
        name.clone().prop_map(move |name| {
            IdentityCommand::DisableUser(DisableUser { principal: account(name), reason: String::new() })
        }),
        (key.clone(), name, select(vec!["s1", "s2", "s3"]), scope(), proptest::option::of(moment())).prop_map(
            move |(key, name, secret, scope, expires)| IdentityCommand::IssueKey(IssueKey {
                key: Some(key.parse().unwrap()),
                principal: account(name),
                hash: KeyHash::of(secret),
                scope: Some(scope),
                models: vec![],
                expires,
                agent: None,
                task: None,
                permissions: vec![],
                parent: None,
                addresses: vec![],
                hours: vec![],
            })
        ),
        key.prop_map(|key| {
            IdentityCommand::RevokeKey(RevokeKey { key: key.parse().unwrap(), reason: String::new() })
        }),
    ]
}

fn task_command() -> impl Strategy<Value = TaskCommand> {
    let id = || "t_1".parse().unwrap();
    let epoch = (0_u32..4).prop_map(Epoch);
    let step = (0_u32..4).prop_map(StepNumber);
    let kind = select(vec![StepKind::Plan, StepKind::Answer]);
    let text = || sealed(&TaskOutput { text: "x".to_owned() });
    prop_oneof![
        Just(()).prop_map(move |()| TaskCommand::SubmitTask(SubmitTask {
            task: Some(id()),
            agent: "researcher".parse().unwrap(),
            input: sealed(&TaskInput { prompt: "why".to_owned() }),
            scope: None,
            limit: None,
        })),
        (select(vec!["w1", "w2"]), moment()).prop_map(move |(worker, until)| {
            TaskCommand::ClaimTask(ClaimTask { task: id(), worker: worker.to_owned(), until })
        }),
        (epoch.clone(), moment()).prop_map(move |(epoch, until)| TaskCommand::ExtendClaim(ExtendClaim {
            task: id(),
            epoch,
            until
        })),
        (epoch.clone(), step.clone(), kind.clone())
            .prop_map(move |(epoch, step, kind)| TaskCommand::StartStep(StartStep { task: id(), epoch, step, kind })),
        (epoch.clone(), step, kind).prop_map(move |(epoch, step, kind)| TaskCommand::FinishStep(FinishStep {
            task: id(),
            epoch,
            step,
            kind,
            output: text(),
            tokens: TokenUsage::default(),
            cost: NanoDollars(1),
            duration_ms: 1,
        })),
        epoch.clone().prop_map(move |epoch| TaskCommand::FinishTask(FinishTask { task: id(), epoch, output: text() })),
        epoch.prop_map(move |epoch| TaskCommand::FailTask(FailTask {
            task: id(),
            epoch,
            reason: String::new(),
            spent: None
        })),
        Just(()).prop_map(move |()| TaskCommand::CancelTask(CancelTask { task: id(), reason: String::new() })),
    ]
}

fn price_command() -> impl Strategy<Value = CatalogCommand> {
    (proptest::option::of(moment()), proptest::option::of(moment()), 0_u64..4).prop_map(|(from, until, amount)| {
        let each = PicoDollarsPerToken(amount);
        let price = Rates { input: each, cached: each, output: each, ..Rates::default() };
        let model = "small".parse().unwrap();
        CatalogCommand::SetPrice(SetPrice { model, from, until, price, variants: vec![], source: None, target: None })
    })
}

fn at(second: usize) -> Stamp {
    Stamp { at: Timestamp(second as u64 * 2_000_000), ..stamp() }
}

/// Sends the commands one after the other, two seconds apart; returns the state and what happened.
fn run<A: Aggregate>(commands: &[A::Command]) -> (A, Vec<A::Event>) {
    let mut state = A::default();
    let mut history = Vec::new();
    for (second, command) in commands.iter().enumerate() {
        let Ok(events) = state.decide(command, &at(second)) else { continue };
        for event in &events {
            state.apply(event, at(second).at);
        }
        let _ = state.answer(command);
        // The same command again, at once, decides nothing; or is refused, never anything else.
        if let Ok(again) = state.decide(command, &at(second)) {
            assert!(again.is_empty(), "{again:?} decided after {events:?}");
        }
        history.extend(events);
    }
    (state, history)
}

/// Any history folds, in any order and with anything missing: what has happened cannot be refused.
fn folds_anyhow<A: Aggregate>(history: &[A::Event], order: &[prop::sample::Index]) {
    let mut state = A::default();
    if !history.is_empty() {
        for index in order {
            state.apply(index.get(history), Timestamp(0));
        }
    }
}

/// A view of `acme` in which everyone exists and these access events hold.
fn authority(events: &[AccessEvent]) -> Authority {
    let mut authority = Authority::default();
    let created = TenantEvent::Created { tenant: acme(), timezone: "UTC".to_owned() };
    fold(&mut authority, &acme(), Timestamp(0), created);
    for principal in ["p_ana", "p_bob", "svc_bot"] {
        let principal: PrincipalId = principal.parse().unwrap();
        let event = IdentityEvent::AccountCreated { name: principal.to_string(), principal };
        fold(&mut authority, &acme(), Timestamp(0), event);
    }
    for event in events {
        fold(&mut authority, &acme(), Timestamp(0), event.clone());
    }
    authority
}

fn ask(authority: &Authority, who: &PrincipalId, what: &Permission, on: &Scope, now: Timestamp) -> bool {
    authority.authorise(&request(who, what, on), now).is_ok()
}

fn request(who: &PrincipalId, what: &Permission, on: &Scope) -> AccessRequest {
    AccessRequest {
        tenant: acme(),
        principal: who.clone(),
        key: None,
        permission: what.clone(),
        scope: on.clone(),
        context: Context { cost: Some(NanoDollars(50)), ..Context::default() },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn access_histories(commands in vec(access_command(), 0..40), order in vec(any::<prop::sample::Index>(), 0..60)) {
        let (_, history) = run::<Access>(&commands);
        folds_anyhow::<Access>(&history, &order);
    }

    #[test]
    fn identity_histories(
        commands in vec(identity_command(), 0..40),
        order in vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let (state, history) = run::<Identity>(&commands);
        folds_anyhow::<Identity>(&history, &order);
        // A secret stands for one key for ever.
        for secret in ["s1", "s2", "s3"] {
            let hash = KeyHash::of(secret);
            let with = history.iter().filter(|e| matches!(e, IdentityEvent::KeyIssued { hash: h, .. } if *h == hash));
            prop_assert!(with.count() <= 1);
            if let Some(key) = state.key_of_hash(&hash) {
                prop_assert_eq!(&state.key(key).unwrap().hash, &hash);
            }
        }
    }

    #[test]
    fn task_histories(commands in vec(task_command(), 0..60), order in vec(any::<prop::sample::Index>(), 0..60)) {
        let (_, history) = run::<Task>(&commands);
        folds_anyhow::<Task>(&history, &order);
        let (mut claims, mut step, mut ended) = (0, 0, false);
        for event in &history {
            prop_assert!(!ended, "something happened after the end: {event:?}");
            let epoch = match event {
                TaskEvent::Submitted { .. } => None,
                TaskEvent::Claimed { epoch, .. } => {
                    prop_assert_eq!(epoch.0, claims + 1);
                    claims += 1;
                    Some(*epoch)
                }
                TaskEvent::ClaimExtended { epoch, .. } | TaskEvent::StepStarted { epoch, .. } => Some(*epoch),
                TaskEvent::StepFinished { epoch, step: finished, .. } => {
                    prop_assert_eq!(finished.0, step + 1);
                    step += 1;
                    Some(*epoch)
                }
                TaskEvent::Finished { epoch, .. } | TaskEvent::Failed { epoch, .. } => {
                    ended = true;
                    Some(*epoch)
                }
                TaskEvent::Cancelled { .. } => {
                    ended = true;
                    None
                }
            };
            prop_assert!(epoch.is_none_or(|epoch| epoch.0 == claims), "a stale claim wrote {event:?}");
        }
    }

    #[test]
    fn a_price_that_was_in_force_never_changes(commands in vec(price_command(), 0..40)) {
        let small = "small".parse().unwrap();
        let anywhere = "local/x".parse().unwrap();
        let mut catalog = Catalog::default();
        let mut charged = Vec::new();
        for (second, command) in commands.iter().enumerate() {
            let now = at(second).at;
            for event in catalog.decide(command, &at(second)).unwrap_or_default() {
                catalog.apply(&event, now);
            }
            for (then, price) in &charged {
                prop_assert_eq!(&catalog.price_at(&small, &anywhere, *then), price);
            }
            // What is charged one microsecond before the next command may be given.
            let just_before = Timestamp(at(second + 1).at.0 - 1);
            charged.extend(Some((just_before, catalog.price_at(&small, &anywhere, just_before))).filter(|(_, p)| p.is_some()));
        }
    }

    /// The policies and their explanation read the same grants and never disagree.
    #[test]
    fn explanation_and_policy_agree(
        commands in vec(access_command(), 0..30),
        who in principal(), what in permission(), on in scope(), now in moment(),
    ) {
        let (_, events) = run::<Access>(&commands);
        let authority = authority(&events);
        let allowed = authority.authorise(&request(&who, &what, &on), now);
        let query = ExplainQuery { principal: who, permission: what, scope: on, at: None, address: None };
        let explained = authority.explain(&acme(), &query, now);
        match allowed {
            Ok(allowed) => {
                prop_assert!(!allowed.reason.to_string().is_empty(), "allowed, but no grant was found that says so");
                prop_assert!(explained.allowed);
            }
            // Explaining tells conditions where asking tests them.
            Err(_) if explained.allowed => prop_assert!(explained.reason.contains("only for"), "{}", explained.reason),
            Err(_) => prop_assert!(!explained.reason.is_empty()),
        }
    }

    #[test]
    fn revoking_everything_leaves_nothing(
        commands in vec(access_command(), 0..30), who in principal(), what in permission(), on in scope(),
    ) {
        let (state, mut events) = run::<Access>(&commands);
        let held: Vec<GrantId> = state.grants_of(&who).map(|(grant, _)| grant).collect();
        events.extend(held.into_iter().map(|grant| AccessEvent::GrantRevoked { grant, reason: String::new() }));
        prop_assert!(!ask(&authority(&events), &who, &what, &on, Timestamp(0)));
    }

    /// Whoever has a role may all that a role it inherits permits; and giving never takes away.
    #[test]
    fn inheritance_and_grants_only_add(
        commands in vec(access_command(), 0..30),
        who in principal(), what in permission(), on in scope(), role in role(),
    ) {
        let (_, mut events) = run::<Access>(&commands);
        let before = ask(&authority(&events), &who, &what, &on, Timestamp(0));
        let grant = GrantId { to: who.clone(), role: role.clone(), on: "acme".parse().unwrap() };
        events.push(AccessEvent::RoleGranted { grant, expires: None, condition: None });
        let with_role = authority(&events);
        prop_assert!(!before || ask(&with_role, &who, &what, &on, Timestamp(0)));
        let heir: RoleId = "heir".parse().unwrap();
        let definition = AccessEvent::RoleDefined { role: heir.clone(), permissions: vec![], inherits: vec![role] };
        let grant = GrantId { to: "p_heir".parse().unwrap(), role: heir, on: "acme".parse().unwrap() };
        events.extend([definition, AccessEvent::RoleGranted { grant, expires: None, condition: None }]);
        let mut with_heir = authority(&events);
        let person = IdentityEvent::AccountCreated { principal: "p_heir".parse().unwrap(), name: "heir".to_owned() };
        fold(&mut with_heir, &acme(), Timestamp(0), person);
        let fresh: PrincipalId = "p_fresh".parse().unwrap();
        let grant = GrantId { to: fresh.clone(), role: inherited_role(&events), on: "acme".parse().unwrap() };
        fold(&mut with_heir, &acme(), Timestamp(0), AccessEvent::RoleGranted { grant, expires: None, condition: None });
        let person = IdentityEvent::AccountCreated { principal: fresh.clone(), name: "fresh".to_owned() };
        fold(&mut with_heir, &acme(), Timestamp(0), person);
        let heir = "p_heir".parse().unwrap();
        prop_assert!(
            !ask(&with_heir, &fresh, &what, &on, Timestamp(0)) || ask(&with_heir, &heir, &what, &on, Timestamp(0))
        );
    }

    /// A key allows nothing that its principal may not.
    #[test]
    fn nobody_gains_by_narrowing(
        commands in vec(access_command(), 0..30),
        who in principal(), what in permission(), on in scope(), reach in scope(), agent in any::<bool>(),
    ) {
        let (_, events) = run::<Access>(&commands);
        let mut authority = authority(&events);
        let bare = ask(&authority, &who, &what, &on, Timestamp(0));
        let issued = IdentityEvent::KeyIssued {
            key: "key_1".parse().unwrap(),
            principal: who.clone(),
            hash: KeyHash::of("s"),
            scope: reach.clone(),
            models: vec![],
            expires: None,
            agent: agent.then(|| "researcher".parse().unwrap()),
            task: None,
            permissions: vec![],
            parent: None,
            addresses: vec![],
            hours: vec![],
            line: None,
        };
        fold(&mut authority, &acme(), Timestamp(0), Event::from(issued));
        let with_key = AccessRequest { key: Some(KeyRef { tenant: acme(), key: "key_1".parse().unwrap() }), ..request(&who, &what, &on) };
        let narrowed = authority.authorise(&with_key, Timestamp(0)).is_ok();
        prop_assert!(bare || !narrowed);
        prop_assert!(reach.contains(&on) || !narrowed);
    }
}

/// The role that the last definition among `events` inherits.
fn inherited_role(events: &[AccessEvent]) -> RoleId {
    let inherited = events.iter().rev().find_map(|event| match event {
        AccessEvent::RoleDefined { inherits, .. } => inherits.first().cloned(),
        _ => None,
    });
    inherited.unwrap_or_else(|| built_in_ids().next().unwrap())
}
