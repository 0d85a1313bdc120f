//! `/asyncapi.json`: AsyncAPI 3.0, the same tables as they stand on the bus.

use serde_json::{Map, Value, json};
use steward_events::command::{Audience, COMMANDS};
use steward_events::rejection::Rejection;
use steward_events::request::Reply;

use super::{generator, info};

/// One exchange of request and reply.
struct Exchange {
    kind: &'static str,
    noun: &'static str,
    verb: &'static str,
    help: &'static str,
    request: Value,
    reply: Value,
}

/// The whole document.
pub fn asyncapi() -> Value {
    let mut generator = generator();
    let mut exchanges = Vec::new();
    for spec in COMMANDS.iter().filter(|spec| spec.audience == Audience::Callers) {
        exchanges.push(Exchange {
            kind: "cmd",
            noun: spec.noun,
            verb: spec.verb,
            help: spec.help,
            request: (spec.schema)(&mut generator).to_value(),
            reply: generator.subschema_for::<Reply>().to_value(),
        });
    }
    for spec in steward_queries::for_callers() {
        exchanges.push(Exchange {
            kind: "qry",
            noun: spec.view,
            verb: spec.verb,
            help: spec.help,
            request: (spec.query)(&mut generator).to_value(),
            reply: (spec.answer)(&mut generator).to_value(),
        });
    }
    generator.subschema_for::<Rejection>();
    let (mut channels, mut operations) = (Map::new(), Map::new());
    for exchange in exchanges {
        let name = format!("{}.{}.{}", exchange.kind, exchange.noun, exchange.verb);
        channels.insert(name.clone(), channel(&exchange));
        channels.insert(format!("{name}.reply"), reply(&exchange));
        operations.insert(name.clone(), operation(&name, exchange.help));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": info(),
        "defaultContentType": "application/json",
        "servers": { "bus": {
            "host": "127.0.0.1:4222", "protocol": "nats",
            "description": "Log in with an API key as the token. The principal in the subject is the key (`key_…`; `op_key_…` for a key of the tenant steward), or its holder if the key is not narrowed.",
        } },
        "channels": channels,
        "operations": operations,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

fn channel(exchange: &Exchange) -> Value {
    json!({
        "address": format!("{}.{{tenant}}.{{principal}}.{}.{}", exchange.kind, exchange.noun, exchange.verb),
        "description": exchange.help,
        "parameters": {
            "tenant": { "description": "Whose data it is about" },
            "principal": { "description": "Who asks; the bus vouches for it" },
        },
        "messages": { "request": { "payload": exchange.request } },
    })
}

fn reply(exchange: &Exchange) -> Value {
    json!({
        "address": null,
        "messages": {
            "reply": { "payload": exchange.reply },
            "refusal": {
                "headers": { "type": "object", "properties": {
                    "Nats-Service-Error-Code": { "type": "string" }, "Nats-Service-Error": { "type": "string" },
                } },
                "payload": { "$ref": "#/components/schemas/Rejection" },
            },
        },
    })
}

fn operation(name: &str, help: &str) -> Value {
    // A slash within a pointer would be escaped; these names have none.
    json!({
        "action": "receive",
        "summary": help,
        "channel": { "$ref": format!("#/channels/{name}") },
        "reply": {
            "address": { "location": "$message.header#/reply", "description": "The inbox that NATS gives with a request" },
            "channel": { "$ref": format!("#/channels/{name}.reply") },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exchange_has_its_channels_and_every_reference_leads_somewhere() {
        let document = asyncapi();
        let callers = COMMANDS.iter().filter(|spec| spec.audience == Audience::Callers).count();
        assert_eq!(document["operations"].as_object().unwrap().len(), callers + steward_queries::for_callers().count());
        let address = &document["channels"]["cmd.budget.set"]["address"];
        assert_eq!(address, "cmd.{tenant}.{principal}.budget.set");
        let mut open = vec![&document];
        let mut count = 0;
        while let Some(value) = open.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
                        count += 1;
                    }
                    open.extend(fields.values());
                }
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
        assert!(count > 0);
    }
}
