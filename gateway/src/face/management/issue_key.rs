//! `key:issue` over HTTP: the secret is made here, from the operating system's randomness, and shown once. Only its hash
//! goes over the bus and into the log.

use bytes::Bytes;
use serde_json::{Value, json};
use steward_events::command::IssueKey;
use steward_events::event::KeyHash;
use steward_events::id::{CommandId, TenantId};
use steward_events::ids::{DerivedIds, Ids};
use steward_events::rejection::Rejection;
use steward_events::request::Reply;
use steward_events::scope::Scope;
use steward_events::secret::{api_key, letters};

use super::caller::ManagementCaller;
use crate::error::Error;

/// The command with a hash and an id, and the secret if it was made here.
pub(super) fn complete(
    caller: &ManagementCaller<'_>,
    command: &CommandId,
    body: &[u8],
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
    if fields.get("key").is_none_or(Value::is_null) {
        // A retry names the same key, though its secret is another.
        let seed = format!("key\0{}\0{}\0{command}", caller.tenant, caller.key.holder.key);
        fields.insert("key".to_owned(), json!(format!("key_{}", DerivedIds::from_seed(seed).unique())));
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
        (&key.principal, &key.scope, &key.models, &key.permissions, key.expires)
            == (&issue.principal, &scope, &issue.models, &issue.permissions, issue.expires)
    });
    if !issued {
        return why;
    }
    let what = "a key issued by this Idempotency-Key; its secret was shown then and".to_owned();
    Rejection::AlreadyExists { what, id: id.to_string() }
}

/// Adds the secret to the answer.
pub(super) fn show(reply: &mut Reply, issue: &IssueKey, secret: Option<String>) {
    let Some(secret) = secret else { return };
    if !reply.answer.is_object() {
        reply.answer = json!({ "key": issue.key });
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
