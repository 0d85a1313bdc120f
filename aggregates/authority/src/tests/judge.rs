//! The compiled policies before their judge: both forms are asked, and what happens if they differ.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::held_rights::{HeldRights, Membership};
use crate::policies::JUDGED_EVERY;
use crate::policy::{Asker, Policy};
use crate::{cedar, compiled};
use steward_aggregates::access::Terms;
use steward_aggregates::access::role::{RoleSpec, closure};
use steward_events::event::AddressRange;
use steward_events::event::{ArgumentRule, DenialSpec, OpenHours, Whom};
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
    data_class: DataClass,
    denial: Option<DenialSpec>,
    /// The grant asks for itself.
    by_grant: bool,
}

#[derive(Debug)]
struct MadeUpKey {
    scope: Scope,
    models: Vec<ModelId>,
    addresses: Vec<AddressRange>,
    over: bool,
    closed: bool,
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
            addresses: &key.addresses,
            over: key.over,
            closed: key.closed,
            is_for_it: key.is_for_it,
        });
        let (data_class, denial) = (&self.data_class, self.denial.as_ref());
        let of = Circumstances {
            now: *now,
            permission,
            scope,
            context,
            data_class,
            denial,
            suspended,
            operator,
            active,
            key,
        };
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
    let key = (scope(), models_named(), vec(range(), 0..3), rare(), rare(), prop::bool::weighted(0.85));
    let key = key.prop_map(|(scope, models, addresses, over, closed, is_for_it)| MadeUpKey {
        scope,
        models,
        addresses,
        over,
        closed,
        is_for_it,
    });
    let tenant = (rare(), any::<bool>(), prop::bool::weighted(0.9));
    let rules = (class(), option::weighted(0.3, denial()));
    let made_up = (request, tenant, option::of(key), option::weighted(0.9, held()), any::<bool>(), rules);
    made_up.prop_map(|(request, tenant, key, held, by_grant, (data_class, denial))| Question {
        request,
        tenant,
        key,
        held,
        data_class,
        denial,
        by_grant,
    })
}

fn permission() -> impl Strategy<Value = Permission> {
    let words = ["model:invoke", "model:invoke", "budget:set", "tenant:resume", "tenant:erase", "task:submit"];
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

fn address() -> impl Strategy<Value = IpAddr> {
    let all = ["10.1.2.3", "10.2.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8::7", "2001:db9::7", "::"];
    select(all.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn range() -> impl Strategy<Value = AddressRange> {
    let all = ["10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.7", "2001:db8::/32", "::/0", "10.1.2.0/25"];
    select(all.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn context() -> impl Strategy<Value = Context> {
    let arguments = select(vec![r#"{"path":"/data/a","n":2}"#, r#"{"path":"/etc","n":9}"#, "{}"]);
    let arguments = arguments.prop_map(|text| serde_json::from_str(text).unwrap());
    let tool = select(vec!["read", "write"]).prop_map(str::to_owned);
    let made_up = (
        option::of(model()),
        option::of(number().prop_map(NanoDollars)),
        prop::bool::weighted(0.2),
        option::of(tool),
        option::of(arguments),
        option::of(address()),
    );
    made_up.prop_map(|(model, cost, any_class, tool, arguments, address)| Context {
        model,
        cost,
        address,
        data_class: None,
        any_class,
        tool,
        arguments,
    })
}

fn class() -> impl Strategy<Value = DataClass> {
    select(vec!["public", "secret"]).prop_map(|text| text.parse().unwrap())
}

/// One part or two in most: of more than that hardly any holds.
fn condition() -> impl Strategy<Value = Condition> {
    let hours = select(vec!["00:00-12:00 UTC", "12:00-24:00 UTC", "Fri-Wed 00:00-24:00 UTC"]);
    let hours = hours.prop_map(|text| text.parse::<OpenHours>().unwrap());
    let tool = select(vec!["read", "write"]).prop_map(str::to_owned);
    let rule = select(vec![
        r#"{"at":"/path","prefix":"/data/"}"#,
        r#"{"at":"/n","max":2}"#,
        r#"{"at":"/n","one_of":["2","9"]}"#,
        r#"{"at":"/none","one_of":["x"]}"#,
    ]);
    let rule = rule.prop_map(|text| serde_json::from_str::<ArgumentRule>(text).unwrap());
    let some = 0.3;
    let parts = (
        option::weighted(some, model()),
        option::weighted(some, number().prop_map(NanoDollars)),
        option::weighted(some, hours),
        option::weighted(some, class()),
        option::weighted(some, tool),
        option::weighted(some, vec(rule, 1..3)),
    );
    parts.prop_map(|(model, cost_max, hours, class, tool, arguments)| Condition {
        models: model.into_iter().collect(),
        cost_max,
        hours: hours.into_iter().collect(),
        data_classes: class.into_iter().collect(),
        tools: tool.into_iter().collect(),
        arguments: arguments.unwrap_or_default(),
    })
}

fn denial() -> impl Strategy<Value = DenialSpec> {
    let permissions = select(vec!["*:*", "model:*", "*:set", "task:submit"]).prop_map(|text| text.parse().unwrap());
    let until = option::weighted(0.2, number().prop_map(Timestamp));
    (vec(permissions, 1..3), scope(), option::of(condition()), any::<bool>(), until).prop_map(
        |(permissions, on, condition, unless, until)| DenialSpec {
            permissions,
            on,
            whom: Whom { everyone: true, ..Whom::default() },
            condition,
            unless,
            until,
            reason: "made up".to_owned(),
        },
    )
}

fn held() -> impl Strategy<Value = HeldRights> {
    let patterns = ["*:*", "*:*", "model:*", "*:set", "model:invoke", "budget:set", "tenant:*"];
    let pattern = select(patterns.to_vec()).prop_map(|text| text.parse::<PermissionPattern>().unwrap());
    let due = option::weighted(0.1, number().prop_map(Timestamp));
    let terms = (option::of(number().prop_map(Timestamp)), option::of(condition()), due)
        .prop_map(|(expires, condition, review_due)| Terms { expires, condition, review_due, ..Terms::default() });
    (vec(pattern, 0..3), scope(), terms, any::<bool>()).prop_map(|(permissions, on, terms, in_group)| {
        let role = "made-up".parse().unwrap();
        let spec = RoleSpec { permissions, inherits: vec![] };
        let permissions = Arc::new(closure(&role, |_| Some(spec.clone())));
        let ana: PrincipalId = "p_ana".parse().unwrap();
        let to = if in_group { PrincipalId::group(&acme(), "support") } else { ana.clone() };
        let through = in_group.then(|| Arc::new(Membership { member: ana, group: "support".to_owned() }));
        HeldRights { grant: GrantId { to, role, on }, through, terms, permissions }
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
