//! The compiled policies before their judge: both forms are asked, and what happens if they differ.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::access::Terms;
use crate::access::role::{RoleSpec, closure};
use crate::authority::held_rights::HeldRights;
use crate::authority::policies::JUDGED_EVERY;
use crate::authority::policy::{Asker, Policy};
use crate::authority::{cedar, compiled};
use steward_events::permission::Permission;
use steward_events::scope::Scope;

/// A question, as it is made up.
#[derive(Debug)]
struct Question {
    request: (Permission, Scope, Context, Timestamp),
    /// Suspended, operator, active.
    tenant: (bool, bool, bool),
    key: Option<MadeUpKey>,
    held: Option<HeldRights>,
    /// The grant asks for itself.
    by_grant: bool,
}

#[derive(Debug)]
struct MadeUpKey {
    scope: Scope,
    models: Vec<ModelId>,
    over: bool,
    is_for_it: bool,
}

impl Question {
    /// What the compiled policies and Cedar say.
    fn put(&self) -> (Verdict, Option<Verdict>) {
        let (permission, scope, context, now) = &self.request;
        let (suspended, operator, active) = self.tenant;
        let key = self.key.as_ref().map(|key| KeyTerms {
            scope: &key.scope,
            models: &key.models,
            over: key.over,
            is_for_it: key.is_for_it,
        });
        let of = Circumstances { now: *now, permission, scope, context, suspended, operator, active, key };
        let nobody = "p_ana".parse().unwrap();
        let asker = match &self.held {
            Some(held) if self.by_grant => Asker::Grant(held),
            held => Asker::Principal(&nobody, held.as_ref()),
        };
        (compiled::verdict(&of, &asker), cedar::verdict(&of, &asker))
    }
}

fn question() -> impl Strategy<Value = Question> {
    let rare = || prop::bool::weighted(0.1);
    let request = (permission(), scope(), context(), number().prop_map(Timestamp));
    let key = (scope(), models_named(), rare(), prop::bool::weighted(0.85));
    let key = key.prop_map(|(scope, models, over, is_for_it)| MadeUpKey { scope, models, over, is_for_it });
    let tenant = (rare(), any::<bool>(), prop::bool::weighted(0.9));
    let made_up = (request, tenant, option::of(key), option::weighted(0.9, held()), any::<bool>());
    made_up.prop_map(|(request, tenant, key, held, by_grant)| Question { request, tenant, key, held, by_grant })
}

fn permission() -> impl Strategy<Value = Permission> {
    let words = ["model:invoke", "model:invoke", "budget:set", "tenant:resume", "task:submit"];
    select(words.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    // A neighbour whose name begins alike is no child.
    let paths = ["*", "acme", "acme", "acme/a", "acme/a/x", "acme/ab", "acme2", "acme/a/x/y/z/w"];
    select(paths.to_vec()).prop_map(|text| text.parse().unwrap())
}

/// Moments and amounts: few, so that they meet, and some beyond what Cedar counts.
fn number() -> impl Strategy<Value = u64> {
    const CEDARS_MAX: u64 = i64::MAX as u64;
    select(vec![0, 1, 2, 3, CEDARS_MAX - 1, CEDARS_MAX, CEDARS_MAX + 1, u64::MAX])
}

fn model() -> impl Strategy<Value = ModelId> {
    select(vec!["small", "large"]).prop_map(|text| text.parse().unwrap())
}

fn models_named() -> impl Strategy<Value = Vec<ModelId>> {
    vec(model(), 0..3)
}

fn context() -> impl Strategy<Value = Context> {
    (option::of(model()), option::of(number().prop_map(NanoDollars))).prop_map(|(model, cost)| Context { model, cost })
}

fn held() -> impl Strategy<Value = HeldRights> {
    let patterns = ["*:*", "*:*", "model:*", "*:set", "model:invoke", "budget:set", "tenant:*"];
    let pattern = select(patterns.to_vec()).prop_map(|text| text.parse::<PermissionPattern>().unwrap());
    let condition = (models_named(), option::of(number().prop_map(NanoDollars)))
        .prop_map(|(models, cost_max)| Condition { models, cost_max });
    let terms = (option::of(number().prop_map(Timestamp)), option::of(condition))
        .prop_map(|(expires, condition)| Terms { expires, condition, trial: None });
    (vec(pattern, 0..3), scope(), terms).prop_map(|(permissions, on, terms)| {
        let role = "made-up".parse().unwrap();
        let spec = RoleSpec { permissions, inherits: vec![] };
        let permissions = Arc::new(closure(&role, |_| Some(spec.clone())));
        HeldRights { grant: GrantId { to: "p_ana".parse().unwrap(), role, on }, terms, permissions }
    })
}

#[test]
fn the_compiled_policies_and_cedar_say_the_same() {
    let told = RefCell::new(BTreeSet::new());
    let config = Config { cases: 8_192, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&question(), |question| {
        let (compiled, cedar) = question.put();
        prop_assert_eq!(Some(compiled), cedar);
        told.borrow_mut().insert(compiled);
        Ok(())
    });
    outcome.unwrap();
    // Else the sample shows nothing of a policy.
    let mut all: BTreeSet<Verdict> = Policy::ALL.into_iter().map(Verdict::Forbidden).collect();
    all.extend([Verdict::Granted, Verdict::NotGranted]);
    assert_eq!(told.into_inner(), all);
}

/// Compiled policies that have lost those of keys.
fn without_keys(of: &Circumstances<'_>, asker: &Asker<'_>) -> Verdict {
    compiled::verdict(&Circumstances { key: None, ..*of }, asker)
}

#[test]
fn where_the_policies_differ_nobody_gets_through_and_it_is_said() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "agent", "acme");
    env.key("acme", |key| key.expires = Some(T1));
    env.0.policies.compiled = without_keys;
    let errors = Arc::new(AtomicU64::new(0));
    let (refused, again) = tracing::subscriber::with_default(CountErrors(Arc::clone(&errors)), || {
        let ask = || env.invoke("p_ana", Some("key_1"), "acme", "small", 1);
        let first = ask();
        for _ in 1..JUDGED_EVERY {
            assert!(ask().is_ok(), "only one in many is judged");
        }
        (first, ask())
    });
    for judged in [refused, again] {
        let (why, _) = reason(judged);
        assert_eq!(why, "what the policies say of it is in doubt; the log of this process says more");
    }
    assert_eq!(errors.load(Ordering::Relaxed), 2);
}

#[test]
fn what_an_agent_may_is_judged_with_what_its_invoker_may() {
    let mut env = AuthorityEnv::new();
    env.grant("acme", "p_ana", "owner", "acme");
    env.key("acme", |key| key.agent = Some("researcher".parse().unwrap()));
    env.0.policies.compiled = |of, asker| match asker {
        Asker::Principal(who, _) if who.as_str().starts_with("agent_") => Verdict::NotGranted,
        _ => compiled::verdict(of, asker),
    };
    let (why, _) = reason(env.invoke("p_ana", Some("key_1"), "acme", "small", 1));
    assert!(why.starts_with("what the policies say of it is in doubt"), "{why}");
}

/// Counts what is logged as an error.
struct CountErrors(Arc<AtomicU64>);

impl tracing::Subscriber for CountErrors {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        self.0.fetch_add(u64::from(*event.metadata().level() == tracing::Level::ERROR), Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
