//! `key:issue` and `key:rotate` over HTTP: the secret is made here, from the operating system's randomness, and shown once. Only its hash
//! goes over the bus and into the log.

use bytes::Bytes;
use serde_json::{Value, json};
use steward_events::command::{CommandSpec, IssueKey, RotateKey};
use steward_events::event::KeyHash;
use steward_events::id::{CommandId, KeyId, TenantId};
use steward_events::ids::{DerivedIds, Ids};
use steward_events::rejection::Rejection;
use steward_events::request::Reply;
use steward_events::scope::Scope;
use steward_events::secret::{api_key, letters};

use super::caller::ManagementCaller;
use crate::error::Error;

/// The field in which a command names the key that it makes, if it makes one.
pub(super) fn names_new_key(spec: &CommandSpec) -> Option<&'static str> {
    match (spec.noun, spec.verb) {
        ("key", "issue") => Some("key"),
        ("key", "rotate") => Some("successor"),
        _ => None,
    }
}

/// The command with a hash and an id, which stands in `field`, and the secret if it was made here.
pub(super) fn complete(
    caller: &ManagementCaller<'_>,
    command: &CommandId,
    body: &[u8],
    field: &str,
) -> Result<(Bytes, Option<String>), Error> {
    let invalid = |reason: String| Error::from(Rejection::invalid("body", reason));
    let mut body: Value = caller.format.read(body).map_err(invalid)?;
    let Some(fields) = body.as_object_mut() else { return Err(invalid("must be an object".to_owned())) };
    let mut secret = None;
    if fields.get("hash").is_none_or(Value::is_null) {
        let made = make(&caller.tenant)?;
        fields.insert("hash".to_owned(), json!(KeyHash::of(&made)));
        secret = Some(made);
    }
    if fields.get(field).is_none_or(Value::is_null) {
        // A retry names the same key, though its secret is another.
        let seed = format!("key\0{}\0{}\0{command}", caller.tenant, caller.key.holder.key);
        fields.insert(field.to_owned(), json!(format!("key_{}", DerivedIds::from_seed(seed).unique())));
    }
    Ok((Bytes::from(body.to_string()), secret))
}

/// What a refusal of this command is to its sender: a retry comes with a secret of its own, and is no other command for that.
pub(super) fn refused(caller: &ManagementCaller<'_>, issue: &IssueKey, made_here: bool, why: Rejection) -> Rejection {
    let Some(id) = issue.key.as_ref().filter(|_| made_here && matches!(why, Rejection::Reused { .. })) else {
        return why;
    };
    let authority = caller.management.access.authority().read();
    let issued = authority.identity(&caller.tenant).and_then(|known| known.key(id)).is_some_and(|key| {
        let scope = issue.scope.clone().unwrap_or_else(|| Scope::tenant(&caller.tenant));
        (&key.principal, &key.scope, &key.models, &key.permissions, key.expires, &key.addresses)
            == (&issue.principal, &scope, &issue.models, &issue.permissions, issue.expires, &issue.addresses)
    });
    if !issued {
        return why;
    }
    let what = "a key issued by this Idempotency-Key; its secret was shown then and".to_owned();
    Rejection::AlreadyExists { what, id: id.to_string() }
}

/// The same of a rotation.
pub(super) fn rotation_refused(
    caller: &ManagementCaller<'_>,
    rotate: &RotateKey,
    made_here: bool,
    why: Rejection,
) -> Rejection {
    let Some(id) = rotate.successor.as_ref().filter(|_| made_here && matches!(why, Rejection::Reused { .. })) else {
        return why;
    };
    let authority = caller.management.access.authority().read();
    let old = authority.identity(&caller.tenant).and_then(|known| known.key(&rotate.key));
    if old.is_none_or(|old| old.replaced_by.as_ref() != Some(id)) {
        return why;
    }
    let what = "a key made by this Idempotency-Key; its secret was shown then and".to_owned();
    Rejection::AlreadyExists { what, id: id.to_string() }
}

/// Adds the secret of the new key to the answer.
pub(super) fn show(reply: &mut Reply, key: Option<&KeyId>, secret: Option<String>) {
    let Some(secret) = secret else { return };
    if !reply.answer.is_object() {
        reply.answer = json!({ "key": key });
    }
    reply.answer["secret"] = Value::String(secret);
}

/// `stw_<tenant>_<32 letters>`: 160 random bits.
fn make(tenant: &TenantId) -> Result<String, Error> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| Error::unavailable(format!("no randomness for a key: {error}")))?;
    Ok(api_key(tenant, letters(&random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_name_their_tenant() {
        let tenant = TenantId::new("my_team").unwrap();
        let (a, b) = (make(&tenant).unwrap(), make(&tenant).unwrap());
        assert_ne!(a, b);
        let (head, letters) = a.rsplit_once('_').unwrap();
        assert_eq!((head, letters.len()), ("stw_my_team", 32));
    }
}
