//! Quotas of things that have streams of their own: exact over several deciders, and whatever became of a command.

use futures::future::join_all;
use serde_json::json;
use steward_events::event::{AggregateKind, Event, QuotaEvent};
use steward_events::rejection::Rejection;
use steward_ports::bus::CommandService;

use crate::support::{HandlerEnv, accepted, refused};

async fn bounded(quota: &str, limit: u64) -> HandlerEnv {
    let env = HandlerEnv::new().await;
    let set = env.op("quota", "set", &json!({ "quota": quota, "limit": limit }));
    accepted(env.handler().handle(set).await);
    env
}

fn agent(env: &HandlerEnv, name: &str, output_max: u64) -> steward_events::request::Request {
    let spec = json!({ "model": "small", "instructions": "", "output_max": output_max });
    env.op("agent", "define", &json!({ "agent": name, "spec": spec }))
}

#[tokio::test]
async fn two_deciders_make_no_more_agents_than_the_quota() {
    let env = bounded("agents", 5).await;
    let deciders = [env.handler(), env.handler()];
    let commands = (0..24).map(|number| agent(&env, &format!("a{number}"), 1));
    let all = commands.enumerate().map(|(number, command)| deciders[number % 2].handle(command));
    let replies = join_all(all).await;
    let made = replies.iter().filter(|reply| reply.as_ref().unwrap().accepted).count();
    assert_eq!((made, env.ids_of(AggregateKind::Agent).await.len()), (5, 5));
    let no = replies.into_iter().find(|reply| !reply.as_ref().unwrap().accepted).unwrap();
    assert_eq!(refused(no), Rejection::QuotaExceeded { quota: "agents".to_owned(), limit: 5, taken: 5 });
}

#[tokio::test]
async fn an_agent_that_is_there_is_changed_beyond_the_quota() {
    let env = bounded("agents", 1).await;
    let handler = env.handler();
    accepted(handler.handle(agent(&env, "a", 1)).await);
    accepted(handler.handle(agent(&env, "a", 2)).await);
    refused(handler.handle(agent(&env, "b", 1)).await);
}

#[tokio::test]
async fn a_place_taken_for_what_is_refused_is_given_back() {
    let env = bounded("agents", 1).await;
    let handler = env.handler();
    refused(handler.handle(agent(&env, "a", 0)).await);
    accepted(handler.handle(agent(&env, "b", 1)).await);
    let of_places = env.events(AggregateKind::Quota, "main").await;
    let returned = of_places.iter().filter(|e| matches!(e, Event::Quota(QuotaEvent::PlaceReturned { .. }))).count();
    assert_eq!((of_places.len(), returned), (3, 1), "taken, given back, taken");
}

#[tokio::test]
async fn two_deciders_make_no_more_keys_than_the_quota() {
    let env = bounded("keys", 3).await;
    let account = accepted(env.handler().handle(env.account("bot")).await);
    let principal = &account.answer["principal"];
    let deciders = [env.handler(), env.handler()];
    let commands = (0..16).map(|number| {
        let hash = steward_events::event::KeyHash::of(&format!("secret {number}"));
        env.op("key", "issue", &json!({ "principal": principal, "hash": hash }))
    });
    let all = commands.enumerate().map(|(number, command)| deciders[number % 2].handle(command));
    let made = join_all(all).await.into_iter().filter(|reply| reply.as_ref().unwrap().accepted).count();
    assert_eq!(made, 3);
}

#[tokio::test]
async fn a_tenant_sends_only_so_many_commands_in_a_minute() {
    let env = bounded("commands_per_minute", 2).await;
    let handler = env.handler();
    accepted(handler.handle(env.account("bot")).await);
    let person = env.command("acme", "p_nobody", "account", "create", &json!({ "name": "x" }));
    for number in 0..4 {
        let command = steward_events::request::Request {
            envelope: steward_events::request::Envelope {
                command: format!("c_{number}").parse().unwrap(),
                ..person.envelope.clone()
            },
            ..person.clone()
        };
        let why = refused(handler.handle(command).await);
        assert_eq!(matches!(why, Rejection::Busy { .. }), number >= 2, "{why}");
    }
    accepted(handler.handle(env.account("another")).await);
}
