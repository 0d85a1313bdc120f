//! `steward <noun> <verb>`: a row of the command table, typed by hand.

use clap::ArgMatches;
use serde_json::{Map, Value};
use steward_events::BoxError;
use steward_events::command::CommandSpec;
use steward_events::id::TenantId;
use steward_events::request::Reply;
use steward_events::scope::Scope;

use crate::client::Client;
use crate::command::options::{self, Field, Shorthand, principal};
use crate::command::secret;
use crate::output;

/// The shorthand of `noun.verb`; none for most.
pub(crate) fn shorthand(noun: &str, verb: &str) -> Shorthand {
    let (positionals, renames): (&[&str], &[(&str, &str)]) = match (noun, verb) {
        ("tenant", "create") => (&["name"], &[("name", "tenant")]),
        ("account", "create") | ("group", "define") => (&["name"], &[]),
        ("user", "invite") => (&["email"], &[]),
        ("user", "disable" | "enable" | "erase" | "set") => (&["principal"], &[]),
        ("account", "set-owner") => (&["account", "owner"], &[]),
        ("key", "issue") => (
            &["account"],
            &[
                ("account", "principal"),
                ("on", "scope"),
                ("model", "models"),
                ("permission", "permissions"),
                ("id", "key"),
                ("address", "addresses"),
            ],
        ),
        ("key", "revoke" | "rotate") => (&["id"], &[("id", "key")]),
        ("role", "define" | "remove") => (&["role"], &[]),
        ("deny", "set" | "remove") => (&["denial"], &[]),
        ("separation", "set" | "remove") => (&["separation"], &[]),
        ("elevation", "allow") => (&["rule", "role"], &[("longest", "longest_s")]),
        ("elevation", "disallow") => (&["rule"], &[]),
        ("elevation", "request") => (&["rule", "duration"], &[("duration", "duration_s"), ("id", "elevation")]),
        ("elevation", "approve" | "refuse" | "end") => (&["elevation"], &[]),
        ("review", _) => (&["review"], &[("grant", "grants")]),
        ("data-class", "set") => (&["scope", "class"], &[]),
        ("grant", "give" | "revoke") | ("trial", "start" | "stop") => (&["to", "role"], &[]),
        ("group", "join" | "leave") => (&["group", "member"], &[]),
        ("group", "remove") => (&["group"], &[]),
        ("budget", "set") => (&["scope", "limit"], &[]),
        ("budget", "remove") => (&["scope"], &[]),
        ("secret", "set" | "remove") => (&["secret"], &[]),
        ("provider", "set") => (&["provider", "upstream"], &[("upstream", "url"), ("secret", "key")]),
        ("model" | "route" | "price" | "prompt", "set") | ("cache", "set" | "purge") => (&["model"], &[]),
        ("channel", "set") => (&["channel", "kind"], &[("address", "url")]),
        ("channel", "redeliver") => (&["channel", "message"], &[]),
        ("channel", _) => (&["channel"], &[]),
        ("agent", "define") => (&["agent"], &[]),
        ("task", "submit") => (&["agent", "prompt"], &[("on", "scope")]),
        ("task", "cancel") => (&["task"], &[]),
        ("file", "remove") => (&["file"], &[]),
        ("batch", "submit") => (&["endpoint", "input-file"], &[("on", "scope")]),
        ("batch", "cancel") => (&["batch"], &[]),
        ("tenant", "set-plan") => (&["plan"], &[]),
        ("project", "rename") => (&["project", "name"], &[]),
        ("project", _) => (&["project"], &[]),
        ("flag", "set") => (&["flag", "state"], &[]),
        ("flag", "remove") => (&["flag"], &[]),
        ("quota", "set") => (&["quota", "limit"], &[]),
        ("quota", "remove") => (&["quota"], &[]),
        ("plan", "define") => (&["plan"], &[("quota", "quotas"), ("flag", "flags"), ("budget", "budgets")]),
        _ => (&[], &[]),
    };
    Shorthand { positionals, renames }
}

/// The options of a command.
pub(crate) fn fields(spec: &CommandSpec) -> Vec<Field> {
    let mut found = options::fields(spec.schema, &shorthand(spec.noun, spec.verb));
    // The secret of a key is made at the edge, and its hash is not typed; nor is a secret that is to be kept.
    found.retain(|field| ![("key", "hash"), ("secret", "value")].contains(&(spec.noun, field.flag.as_str())));
    found
}

/// Sends the command that was typed and says what came of it.
pub(crate) async fn run(
    spec: &'static CommandSpec,
    matches: &ArgMatches,
    client: &Client,
    json: bool,
) -> Result<Reply, BoxError> {
    let mut body = match matches.try_get_one::<String>("body").ok().flatten() {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("--body: {error}"))?,
        None => Map::new(),
    };
    let tenant = tenant_of(spec, matches, client)?;
    options::read(&fields(spec), matches, &tenant, &mut body)?;
    match (spec.noun, spec.verb) {
        ("key", "issue") => ensure_account(matches, client, &tenant).await?,
        ("secret", "set") => _ = body.insert("value".to_owned(), secret::read(matches)?),
        _ => {}
    }
    let reply = client.command(&tenant, spec.noun, spec.verb, &Value::Object(body)).await?;
    if json {
        output::json(&reply)?;
    } else {
        say(spec, &reply);
    }
    Ok(reply)
}

/// Whose stream it is: as said; else the tenant of the scope typed; else `steward` for what belongs there; else the key's.
fn tenant_of(spec: &CommandSpec, matches: &ArgMatches, client: &Client) -> Result<TenantId, BoxError> {
    if (spec.noun, spec.verb) == ("tenant", "create") {
        return Ok(TenantId::steward());
    }
    if let Some(tenant) = &client.tenant {
        return Ok(tenant.clone());
    }
    for flag in ["scope", "on"] {
        if let Ok(Some(scope)) = matches.try_get_one::<String>(flag) {
            let scope: Scope = scope.parse()?;
            if let Ok(tenant) = TenantId::new(scope.as_str().split('/').next().unwrap_or_default()) {
                return Ok(tenant);
            }
        }
    }
    let own = client.own_tenant()?;
    let global = ["provider", "model", "route", "price", "cache", "prompt", "secret", "plan"].contains(&spec.noun);
    if own.is_steward() && !global {
        return Err("no tenant: give --tenant NAME".into());
    }
    Ok(own)
}

/// A key is issued to a service account by its name, which is made on the way.
async fn ensure_account(matches: &ArgMatches, client: &Client, tenant: &TenantId) -> Result<(), BoxError> {
    let Some(name) = matches.get_one::<String>("account") else { return Ok(()) };
    if principal(tenant, name)?.as_str() != name {
        client.command(tenant, "account", "create", &serde_json::json!({ "name": name })).await?.into_result()?;
    }
    Ok(())
}

fn say(spec: &CommandSpec, reply: &Reply) {
    // Of a key `secret` is the key itself; of a secret it is the name.
    let is_key = spec.noun == "key";
    if let Some(secret) = reply.answer.get("secret").and_then(Value::as_str).filter(|_| is_key) {
        println!("{secret}   (shown once)");
    }
    if let Value::Object(answer) = &reply.answer {
        for (name, value) in answer.iter().filter(|(name, _)| !is_key || *name != "secret") {
            if let Some(text) = value.as_str() {
                println!("{name} {text}");
            }
        }
    }
    let what =
        if reply.events.is_empty() { "already so, nothing was recorded".to_owned() } else { reply.events.join(", ") };
    println!("{}.{}: {what}   (log position {})", spec.noun, spec.verb, reply.position);
}

#[cfg(test)]
mod tests {
    use super::*;
    use steward_events::command::find;

    #[test]
    fn options_follow_the_schema() {
        let flags: Vec<String> = fields(find("task", "submit").unwrap()).into_iter().map(|field| field.flag).collect();
        assert_eq!(flags, ["task", "agent", "prompt", "on", "limit"]);
    }

    #[test]
    fn a_secret_is_no_option() {
        let flags: Vec<String> = fields(find("secret", "set").unwrap()).into_iter().map(|field| field.flag).collect();
        assert_eq!(flags, ["secret"]);
    }
}
