//! A command's id stands for one command: sent again it gets its answer, used for another that one is refused.

use serde_json::json;
use steward_events::event::AggregateKind;
use steward_events::rejection::Rejection;
use steward_events::request::Request;
use steward_ports::bus::CommandService;

use crate::support::{HandlerEnv, accepted, refused};

/// `like`, with the body of `other`.
fn under_the_id_of(like: &Request, other: Request) -> Request {
    let envelope = like.envelope.clone();
    Request { envelope, ..other }
}

#[tokio::test]
async fn an_id_used_for_another_command_is_refused_by_every_replica() {
    let env = HandlerEnv::new().await;
    let (one, two) = (env.handler(), env.handler());
    let first = env.account("bot");
    let other = under_the_id_of(&first, env.account("other"));
    // Both at once, in one commit or in two: one of them is done, and says so.
    let (a, b) = tokio::join!(one.handle(first.clone()), one.handle(other.clone()));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_ne!(a.accepted, b.accepted, "{a:?} {b:?}");
    let (done, not_done, reply) = if a.accepted { (first, other, a) } else { (other, first, b) };
    for handler in [one, two] {
        assert_eq!(accepted(handler.handle(done.clone()).await), reply, "the same gets the first answer");
        let rejection = refused(handler.handle(not_done.clone()).await);
        assert_eq!(rejection, Rejection::Reused { id: done.envelope.command.clone() });
    }
    assert_eq!(env.events(AggregateKind::Identity, "main").await.len(), 1);
}

#[tokio::test]
async fn an_id_used_in_another_stream_is_refused_too() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    let account = env.account("bot");
    let budget = under_the_id_of(&account, env.op("budget", "set", &json!({ "scope": "acme", "limit": "$5" })));
    accepted(handler.handle(account).await);
    assert_eq!(refused(handler.handle(budget).await).code(), "reused");
    assert!(env.events(AggregateKind::Ledger, "main").await.is_empty());
}

/// What is sealed differs as well, and the digest in the log says nothing of it without the key.
#[tokio::test]
async fn content_that_is_sealed_tells_two_commands_apart() {
    let env = HandlerEnv::new().await;
    let handler = env.handler();
    let spec = json!({ "model": "small", "instructions": "Answer." });
    accepted(handler.handle(env.op("agent", "define", &json!({ "agent": "a", "spec": spec }))).await);
    let task = |prompt: &str| json!({ "task": "t_1", "agent": "a", "input": { "prompt": prompt } });
    let first = env.op("task", "submit", &task("one"));
    accepted(handler.handle(first.clone()).await);
    accepted(handler.handle(first.clone()).await);
    accepted(handler.handle(env.op("task", "submit", &task("one"))).await);
    let other = under_the_id_of(&first, env.op("task", "submit", &task("two")));
    assert_eq!(refused(handler.handle(other).await).code(), "reused");
    assert_eq!(refused(handler.handle(env.op("task", "submit", &task("two"))).await).code(), "already_exists");
    let person = |email: &str| json!({ "principal": "p_x", "profile": { "email": email, "name": "X" } });
    accepted(handler.handle(env.op("user", "invite", &person("x@example.org"))).await);
    accepted(handler.handle(env.op("user", "invite", &person("x@example.org"))).await);
    let refused_person = refused(handler.handle(env.op("user", "invite", &person("y@example.org"))).await);
    assert_eq!(refused_person.code(), "already_exists");
    let entries = env.commits(AggregateKind::Task, "t_1").await.remove(0).1.entries;
    let guess = steward_events::digest::BodyHash::of(b"task.submit one");
    assert!(entries[0].body.is_some() && entries[0].body != Some(guess));
}
