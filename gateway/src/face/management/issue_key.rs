//! `key:issue` over HTTP: the secret is made here, from the operating system's randomness, and shown once. Only its hash
//! goes over the bus and into the log.

use bytes::Bytes;
use serde_json::{Value, json};
use steward_events::command::IssueKey;
use steward_events::event::KeyHash;
use steward_events::id::TenantId;
use steward_events::rejection::Rejection;
use steward_events::request::Reply;
use steward_events::secret::{api_key, letters};

use super::caller::ManagementCaller;
use crate::error::Error;

/// The command with a hash and an id, and the secret if it was made here.
pub(super) fn complete(caller: &ManagementCaller<'_>, body: &[u8]) -> Result<(Bytes, Option<String>), Error> {
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
        fields.insert("key".to_owned(), json!(format!("key_{}", caller.management.ids.unique())));
    }
    Ok((Bytes::from(body.to_string()), secret))
}

/// Adds the secret to the answer. `up_to_date` tells whether this gateway knows already what was recorded.
pub(super) fn show(
    caller: &ManagementCaller<'_>,
    reply: &mut Reply,
    issue: &IssueKey,
    secret: Option<String>,
    up_to_date: bool,
) -> Result<(), Error> {
    let Some(secret) = secret else { return Ok(()) };
    let authority = caller.management.access.authority().read();
    let recorded = authority.identity(&caller.tenant).is_some_and(|known| known.key_of_hash(&issue.hash).is_some());
    drop(authority);
    if up_to_date && !recorded {
        // Decided before, under the same Idempotency-Key: with another secret, which nobody can show again.
        let what = "a key issued by this Idempotency-Key; its secret was shown then and".to_owned();
        let id = reply.answer.get("key").and_then(Value::as_str).unwrap_or("").to_owned();
        return Err(Rejection::AlreadyExists { what, id }.into());
    }
    if !reply.answer.is_object() {
        reply.answer = json!({ "key": issue.key });
    }
    reply.answer["secret"] = Value::String(secret);
    Ok(())
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
