//! Handlers on a log in memory: rivals, retries, groups, refusals.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{HandlerEnv, TIME_MAX, accepted, acme, refused};
use serde_json::json;
use steward_events::event::{AggregateKind, DenialEvent, Event, IdentityEvent, KeyHash};
use steward_events::quantity::Position;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_handler::HandlerConfig;
use steward_ports::bus::CommandService;
use steward_ports::clock::{Clock, SystemClock};

#[tokio::test]
async fn the_first_start_happens_once_among_concurrent_starts() {
    let env = HandlerEnv::new().await;
    let (a, b) = tokio::join!(env.start("operator-secret"), env.start("another-secret"));
    assert!(!a.first && !b.first);
    assert_eq!(a.operator, env.op);
    assert!(a.key.is_some(), "the first operator's key is known");
    assert_eq!(b.key, None, "another key does not become the operator's by starting again");
    let handler = env.handler();
    handler.caught_up(TIME_MAX).await.unwrap();
    let live = handler.authority().read();
    let roles = live.access(&"steward".parse().unwrap()).unwrap().roles().count();
    assert_eq!(roles, 6);
}

#[tokio::test]
async fn a_company_is_set_up() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    let bot = accepted(handler.handle(env.account("bot")).await);
    assert_eq!(bot.events, ["identity.account_created"]);
    let bot = bot.answer["principal"].as_str().unwrap().to_owned();
    let give = env.op("grant", "give", &json!({"to": bot, "role": "agent", "on": "acme/support"}));
    accepted(handler.handle(give).await);
    let secret = "stw_acme_abcdefghijklmnopqrstuvwxyz";
    let issue = json!({"principal": bot, "hash": KeyHash::of(secret), "scope": "acme/support"});
    let issued = accepted(handler.handle(env.op("key", "issue", &issue)).await);
    assert!(issued.answer["key"].as_str().unwrap().starts_with("key_"));
    let budget = json!({"scope": "acme/support", "limit": "$5.00", "per": "day"});
    let set = accepted(handler.handle(env.op("budget", "set", &budget)).await);
    assert_eq!(set.events, ["ledger.budget_set"]);
    handler.caught_up(TIME_MAX).await.unwrap();
    let holder = handler.authority().read().authenticate(secret, env.clock.now()).unwrap();
    assert_eq!(holder.principal.as_str(), bot);
}

#[tokio::test]
async fn a_denial_says_why_and_is_kept() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    let bot = accepted(handler.handle(env.account("bot")).await).answer["principal"].as_str().unwrap().to_owned();
    let body = json!({"scope": "acme/support", "limit": "$5.00"});
    for _ in 0..50 {
        let rejection = refused(handler.handle(env.command("acme", &bot, "budget", "set", &body)).await);
        let Rejection::Forbidden { reason, would_allow, .. } = rejection else { panic!("{rejection:?}") };
        assert_eq!(reason, "no grant of budget:set at acme/support or above");
        assert_eq!(would_allow, format!("steward grant give {bot} billing --on acme/support"));
    }
    // The journal is written behind the replies.
    let mut kept = Vec::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        for id in env.ids_of(AggregateKind::Denials).await {
            kept = env.events(AggregateKind::Denials, id.as_str()).await;
        }
        if !kept.is_empty() {
            break;
        }
    }
    let [Event::Denials(DenialEvent::Denied { principal, .. }), ..] = kept.as_slice() else {
        panic!("fifty times the same is kept once: {kept:?}")
    };
    assert_eq!(principal.as_ref().map(AsRef::as_ref), Some(bot.as_str()));
}

#[tokio::test]
async fn a_grant_given_a_moment_ago_counts() {
    let env = HandlerEnv::new().await;
    let (giver, other) = (env.handler(), env.handler());
    let bot = accepted(giver.handle(env.account("bot")).await).answer["principal"].as_str().unwrap().to_owned();
    let budget = json!({"scope": "acme", "limit": "$5.00"});
    refused(other.handle(env.command("acme", &bot, "budget", "set", &budget)).await);
    let give = json!({"to": bot, "role": "billing", "on": "acme"});
    accepted(giver.handle(env.op("grant", "give", &give)).await);
    accepted(other.handle(env.command("acme", &bot, "budget", "set", &budget)).await);
    let revoke = json!({"to": bot, "role": "billing", "on": "acme", "reason": "left"});
    accepted(giver.handle(env.op("grant", "revoke", &revoke)).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    refused(other.handle(env.command("acme", &bot, "budget", "set", &budget)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handlers_race_and_every_command_is_decided_once() {
    // How many commands wait together is up to the machine; that some never do would be a fault.
    const RACES: usize = 10;
    for _ in 0..RACES {
        if commits_of_a_race().await < COMMANDS {
            return;
        }
    }
    panic!("in {RACES} races each command had a commit of its own: none carries several");
}

const COMMANDS: usize = 300;

/// Races two handlers, and returns how many commits hold what they decided.
async fn commits_of_a_race() -> usize {
    let env = HandlerEnv::new().await;
    let handlers = [env.handler(), env.handler()];
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..COMMANDS {
        let request = env.account(&format!("bot-{number}"));
        // Each is sent to both, as by a sender that got no answer and tried another replica.
        for handler in &handlers {
            let (handler, request) = (Arc::clone(handler), request.clone());
            sent.spawn(async move { (request.envelope.command.clone(), accepted(handler.handle(request).await)) });
        }
    }
    let mut replies: BTreeMap<_, Vec<_>> = BTreeMap::new();
    while let Some(done) = sent.join_next().await {
        let (command, reply) = done.unwrap();
        replies.entry(command).or_default().push(reply);
    }
    for (command, replies) in &replies {
        assert_eq!(replies[0], replies[1], "{command}: both senders are told the same");
        assert_eq!(replies[0].events, ["identity.account_created"]);
    }
    let created = env.events(AggregateKind::Identity, "main").await;
    assert_eq!(created.len(), COMMANDS, "each once");
    let commits = env.commits(AggregateKind::Identity, "main").await;
    let at = |reply: &steward_events::request::Reply| commits.iter().find(|(position, _)| *position == reply.position);
    for replies in replies.values() {
        assert!(at(&replies[0]).is_some(), "each reply names the commit that holds it");
    }
    commits.len()
}

#[tokio::test]
async fn a_resent_task_without_id_is_submitted_once() {
    let env = HandlerEnv::new().await;
    let handlers = [env.handler(), env.handler()];
    let spec = json!({"model": "small", "instructions": "be brief"});
    let define = env.op("agent", "define", &json!({"agent": "researcher", "spec": spec}));
    accepted(handlers[0].handle(define).await);
    let body = json!({"agent": "researcher", "input": {"prompt": "the secret plan"}});
    let submit = env.op("task", "submit", &body);
    let mut answers = Vec::new();
    for handler in handlers.iter().cycle().take(6) {
        answers.push(accepted(handler.handle(submit.clone()).await).answer["task"].clone());
    }
    answers.dedup();
    let [task] = answers.as_slice() else { panic!("one command made several tasks: {answers:?}") };
    assert_eq!(env.events(AggregateKind::Task, task.as_str().unwrap()).await.len(), 1);
    let stored = env.log.load(&env.stream(AggregateKind::Task, task.as_str().unwrap()), Position(0)).await;
    let bytes = &stored.unwrap()[0].bytes;
    assert!(!bytes.windows(6).any(|w| w == b"secret"), "the prompt is sealed before it is recorded");
    let again = accepted(handlers[0].handle(env.op("task", "submit", &body)).await);
    assert_ne!(again.answer["task"], *task, "another command is another task");
}

#[tokio::test]
async fn the_same_command_id_of_another_sender_is_another_command() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    let mine = env.account("mine");
    accepted(handler.handle(mine.clone()).await);
    let bot = accepted(handler.handle(env.account("bot")).await).answer["principal"].as_str().unwrap().to_owned();
    let give = json!({"to": bot, "role": "admin", "on": "acme"});
    accepted(handler.handle(env.op("grant", "give", &give)).await);
    let mut theirs = env.command("acme", &bot, "account", "create", &json!({"name": "theirs"}));
    theirs.envelope.command = mine.envelope.command;
    accepted(handler.handle(theirs).await);
    let created = env.events(AggregateKind::Identity, "main").await;
    let named = |name: &str| created.iter().filter(|event| is_account(event, name)).count();
    assert_eq!((named("mine"), named("theirs")), (1, 1));
}

fn is_account(event: &Event, wanted: &str) -> bool {
    matches!(event, Event::Identity(IdentityEvent::AccountCreated { name, .. }) if name == wanted)
}

#[tokio::test]
async fn a_refusal_rests_on_the_leaders_state() {
    let env = HandlerEnv::new().await;
    let (here, there) = (env.handler(), env.handler());
    let issue = |secret: &str| {
        let hash = KeyHash::of(secret);
        env.op("key", "issue", &json!({"principal": env.op, "hash": hash, "key": "key_x"}))
    };
    // Both know the stream; then one changes it behind the other's back.
    refused(here.handle(issue("s")).await); // the operator is nobody in acme
    refused(there.handle(issue("s")).await);
    let bot = accepted(there.handle(env.account("bot")).await);
    let same = accepted(here.handle(env.account("bot")).await);
    assert!(same.events.is_empty(), "it is there already");
    assert!(same.position >= bot.position, "and the answer rests on the commit that made it");
    let disable = json!({"principal": bot.answer["principal"], "reason": "left"});
    accepted(there.handle(env.op("user", "disable", &disable)).await);
    let rejection = refused(here.handle(env.account("bot")).await);
    assert_eq!(rejection.code(), "stale");
}

#[tokio::test]
async fn old_commands_and_those_from_the_future_are_refused() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    let issued = |at: Timestamp| {
        let mut request = env.account("bot");
        request.envelope.issued_at = at;
        request
    };
    let now = env.clock.now();
    let ago = |seconds: u64| Timestamp(now.0 - seconds * 1_000_000);
    let old = ago(601);
    assert_eq!(refused(handler.handle(issued(old)).await), Rejection::Expired);
    let future = now.plus(Duration::from_mins(5));
    assert_eq!(refused(handler.handle(issued(future)).await).code(), "invalid");
    accepted(handler.handle(issued(ago(590))).await);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let env = HandlerEnv::new().await;
    let handler =
        env.handler_with(HandlerConfig { opening_wait_max: Duration::from_millis(50), ..HandlerConfig::default() });
    let refuse = async |request| refused(handler.handle(request).await).code();
    let op = env.op.as_str();
    assert_eq!(refuse(env.command("nope", op, "account", "create", &json!({"name": "x"}))).await, "unknown_tenant");
    assert_eq!(refuse(env.op("account", "destroy", &json!({}))).await, "not_found");
    assert_eq!(refuse(env.op("account", "create", &json!({"name": "x", "colour": "red"}))).await, "invalid");
    assert_eq!(refuse(env.op("tenant", "create", &json!({"tenant": "new"}))).await, "invalid");
    assert_eq!(refuse(env.op("account", "create", &json!({"name": "x".repeat(200_000)}))).await, "invalid");
    let task = json!({"agent": "nobody", "input": {"prompt": "x"}});
    assert_eq!(refuse(env.op("task", "submit", &task)).await, "not_found");
    assert_eq!(refuse(env.op("lease", "recall", &json!({"lease": {"holder": "h", "number": 1}}))).await, "forbidden");
    // Placed and not opened: nothing happens there yet.
    accepted(handler.handle(env.command("steward", op, "tenant", "create", &json!({"tenant": "new"}))).await);
    assert_eq!(refuse(env.command("new", op, "account", "create", &json!({"name": "x"}))).await, "stale");
}

#[tokio::test]
async fn a_suspended_tenant_does_nothing_until_an_operator_resumes_it() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    accepted(handler.handle(env.op("tenant", "suspend", &json!({"reason": "unpaid"}))).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let suspended = Rejection::Suspended { tenant: acme(), reason: "unpaid".to_owned() };
    assert_eq!(refused(handler.handle(env.account("bot")).await), suspended);
    accepted(handler.handle(env.op("tenant", "resume", &json!({}))).await);
    accepted(handler.handle(env.account("bot")).await);
}

#[tokio::test]
async fn streams_are_let_go_and_found_again() {
    let env = HandlerEnv::new().await;
    let handler = env.handler_with(HandlerConfig { streams_max: 2, ..HandlerConfig::default() });
    for round in 0..3_u64 {
        for agent in 0..8 {
            let spec = json!({"model": "small", "instructions": format!("round {round}")});
            let define = env.op("agent", "define", &json!({"agent": format!("a{agent}"), "spec": spec}));
            let revised = accepted(handler.handle(define).await);
            assert_eq!(revised.answer["revision"], round + 1);
        }
    }
}

/// A clock that runs ahead of the machine's.
struct Ahead {
    clock: SystemClock,
    by: AtomicU64,
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.clock.now().plus(Duration::from_secs(self.by.load(Ordering::Relaxed)))
    }
    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

#[tokio::test]
async fn a_handler_with_a_wrong_clock_decides_nothing() {
    let mut env = HandlerEnv::new().await;
    let ahead = Arc::new(Ahead { clock: SystemClock::default(), by: AtomicU64::new(5) });
    env.clock = Arc::clone(&ahead) as Arc<dyn Clock>;
    let handler = env.handler();
    let failure = handler.handle(env.account("bot")).await.unwrap_err();
    assert!(failure.to_string().contains("clock of this process"), "{failure}");
    ahead.by.store(0, Ordering::Relaxed);
    accepted(handler.handle(env.account("bot")).await);
    assert_eq!(env.events(AggregateKind::Identity, "main").await.len(), 1);
}

/// It jumps between two decisions, and stands right again later: nothing is decided by it meanwhile.
#[tokio::test]
async fn a_clock_that_jumps_records_nothing_with_tomorrows_time() {
    let mut env = HandlerEnv::new().await;
    let ahead = Arc::new(Ahead { clock: SystemClock::default(), by: AtomicU64::new(0) });
    env.clock = Arc::clone(&ahead) as Arc<dyn Clock>;
    let handler = env.handler();
    accepted(handler.handle(env.account("before")).await);
    ahead.by.store(25 * 3_600, Ordering::Relaxed);
    for _ in 0..3 {
        let failure = handler.handle(env.account("tomorrow")).await.unwrap_err();
        assert!(failure.to_string().contains("clock of this process"), "{failure}");
    }
    ahead.by.store(0, Ordering::Relaxed);
    accepted(handler.handle(env.account("after")).await);
    assert_eq!(env.events(AggregateKind::Identity, "main").await.len(), 2);
}

#[tokio::test]
async fn a_tenant_that_sends_too_fast_is_told_so_and_others_are_not() {
    let env = HandlerEnv::new().await;
    let one = std::num::NonZeroU32::MIN;
    let handler = env.handler_with(HandlerConfig { commands_per_second_max: one, ..HandlerConfig::default() });
    let mut busy = 0;
    for number in 0..6 {
        let reply = handler.handle(env.account(&format!("bot-{number}"))).await.unwrap();
        busy += usize::from(matches!(reply.rejection, Some(Rejection::Busy { .. })));
    }
    assert!((3..=4).contains(&busy), "two are saved up, and a second may have passed: {busy}");
    let other = env.command("steward", env.op.as_str(), "account", "create", &json!({"name": "other"}));
    accepted(handler.handle(other).await);
}

#[tokio::test]
async fn a_revoked_key_is_refused_under_every_name_and_others_are_not() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    let send = async |who: &str, noun: &str, verb: &str, body: serde_json::Value| {
        handler.handle(env.command("acme", who, noun, verb, &body)).await
    };
    let bot = accepted(handler.handle(env.account("bot")).await).answer["principal"].as_str().unwrap().to_owned();
    accepted(handler.handle(env.op("grant", "give", &json!({"to": bot, "role": "owner", "on": "acme"}))).await);
    for key in ["key_1", "key_2"] {
        let hash = steward_events::event::KeyHash::of(key);
        let issue = json!({"principal": bot, "key": key, "hash": hash});
        accepted(handler.handle(env.op("key", "issue", &issue)).await);
    }
    let budget = || json!({"scope": "acme", "limit": "$5"});
    for who in [bot.as_str(), "key_1", "key_2"] {
        accepted(send(who, "budget", "set", budget()).await);
    }
    accepted(send("key_2", "key", "revoke", json!({"key": "key_1"})).await);
    let set = refused(send("key_1", "budget", "set", budget()).await);
    assert!(matches!(set, Rejection::Forbidden { .. }), "{set}");
    for who in [bot.as_str(), "key_1"] {
        for (noun, verb, body) in [
            ("key", "issue", json!({"principal": bot, "hash": "0".repeat(64)})),
            ("user", "disable", json!({"principal": bot})),
        ] {
            let refused = refused(send(who, noun, verb, body).await);
            assert!(matches!(refused, Rejection::Forbidden { .. }), "{who} {noun}.{verb}: {refused}");
        }
    }
    accepted(send("key_2", "budget", "set", json!({"scope": "acme", "limit": "$6"})).await);
    accepted(handler.handle(env.op("key", "revoke", &json!({"key": "key_2"}))).await);
    for who in [bot.as_str(), "key_1", "key_2"] {
        let set = refused(send(who, "budget", "set", json!({"scope": "acme", "limit": "$7"})).await);
        assert!(matches!(set, Rejection::Forbidden { .. }), "{who}: {set}");
    }
}

#[tokio::test]
async fn a_task_is_cancelled_where_it_belongs() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    let spec = json!({"model": "small", "instructions": ""});
    accepted(handler.handle(env.op("agent", "define", &json!({"agent": "a", "spec": spec}))).await);
    let mut developers = Vec::new();
    for project in ["support", "sales"] {
        let made = accepted(handler.handle(env.account(project)).await).answer["principal"].clone();
        let grant = json!({"to": made, "role": "developer", "on": format!("acme/{project}")});
        accepted(handler.handle(env.op("grant", "give", &grant)).await);
        developers.push(made.as_str().unwrap().to_owned());
    }
    let (support, sales) = (&developers[0], &developers[1]);
    let submit = json!({"agent": "a", "task": "t_1", "input": {"prompt": "x"}, "scope": "acme/support"});
    accepted(handler.handle(env.command("acme", support, "task", "submit", &submit)).await);
    let cancel = |who: &str, task: &str| env.command("acme", who, "task", "cancel", &json!({"task": task}));
    for (who, task) in [(sales, "t_1"), (sales, "t_2"), (support, "t_2")] {
        let refused = refused(handler.handle(cancel(who, task)).await);
        assert!(matches!(refused, Rejection::Forbidden { .. }), "{who} {task}: {refused}");
    }
    accepted(handler.handle(cancel(support, "t_1")).await);
}
