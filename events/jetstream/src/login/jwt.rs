//! Tokens as NATS writes them: JWT, signed with an nkey.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::ids::Ids;
use steward_events::sender::SESSION_TIME_MAX;
use steward_events::timestamp::Timestamp;
use steward_ports::bus::BusCaller;
use steward_ports::clock::RandomIds;

use super::permissions;
use crate::names::ACCOUNT;

/// The payload of a token. Its signature is not checked: it came over a subject on which only the server publishes.
pub(super) fn payload<T: DeserializeOwned>(token: &[u8]) -> Result<T, BoxError> {
    let token = std::str::from_utf8(token)?;
    let payload = token.split('.').nth(1).ok_or("it is no token")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('='))?)?)
}

/// Lets `caller` in as the connection `user_nkey`, until its key expires or it must log in again: then the server closes
/// the connection.
pub(super) fn user(issuer: &KeyPair, user_nkey: &str, caller: &BusCaller, now: Timestamp) -> Result<String, BoxError> {
    let may = permissions::of(caller);
    let mut claims = json!({
        "sub": user_nkey,
        "aud": ACCOUNT,
        "name": format!("{}/{}/{}", caller.tenant, caller.principal, caller.key),
        "nats": {
            "type": "user",
            "version": 2,
            "pub": { "allow": may.publish },
            "sub": { "allow": may.subscribe },
            // Bounded by the server's own configuration: it does not heed a bound that stands here.
            "subs": -1,
            "data": -1,
            "payload": -1,
        },
    });
    let again = now.plus(SESSION_TIME_MAX);
    let until = caller.expires.map_or(again, |expires| expires.min(again));
    claims["exp"] = json!(until.0 / 1_000_000);
    sign(issuer, claims, now)
}

/// The answer to the server: a user's token, or why not.
pub(super) fn response(
    issuer: &KeyPair,
    user_nkey: &str,
    server: &str,
    verdict: Result<String, String>,
    now: Timestamp,
) -> Result<String, BoxError> {
    let mut nats = json!({ "type": "authorization_response", "version": 2 });
    match verdict {
        Ok(user) => nats["jwt"] = json!(user),
        Err(why) => nats["error"] = json!(why),
    }
    sign(issuer, json!({ "sub": user_nkey, "aud": server, "nats": nats }), now)
}

fn sign(issuer: &KeyPair, mut claims: Value, now: Timestamp) -> Result<String, BoxError> {
    claims["iss"] = json!(issuer.public_key());
    claims["iat"] = json!(now.0 / 1_000_000);
    claims["jti"] = json!(RandomIds::default().unique());
    let header = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?));
    let signature = issuer.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_was_signed_and_when_it_ends() {
        let issuer = KeyPair::new_account();
        let caller = BusCaller {
            tenant: "acme".parse().unwrap(),
            principal: "p_1".parse().unwrap(),
            key: "key_1".parse().unwrap(),
            expires: Some(Timestamp(1_100_000_000)),
            whole: true,
            reads_log: false,
        };
        let token = user(&issuer, "UABC", &caller, Timestamp(1_000_000_000)).unwrap();
        let claims: Value = payload(token.as_bytes()).unwrap();
        assert_eq!((&claims["exp"], &claims["iat"], &claims["sub"]), (&json!(1_100), &json!(1_000), &json!("UABC")));
        assert_eq!(
            claims["nats"]["pub"]["allow"],
            json!(["cmd.acme.key_1.>", "qry.acme.key_1.>", "cmd.acme.p_1.>", "qry.acme.p_1.>"])
        );
        assert_eq!(claims["nats"]["sub"]["allow"], json!(["_INBOX.acme.key_1.>", "_INBOX.acme.p_1.>"]));
        let lasting = BusCaller { expires: None, whole: false, reads_log: true, ..caller };
        let token = user(&issuer, "UABC", &lasting, Timestamp(1_000_000_000)).unwrap();
        let claims: Value = payload(token.as_bytes()).unwrap();
        assert_eq!(claims["exp"], json!(1_000 + SESSION_TIME_MAX.as_secs()), "it must log in again");
        assert_eq!(claims["nats"]["pub"]["allow"], json!(["cmd.acme.key_1.>", "qry.acme.key_1.>"]));
        assert_eq!(claims["nats"]["sub"]["allow"], json!(["_INBOX.acme.key_1.>", "evt.*.acme.>"]));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        issuer.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        assert!(payload::<Value>(b"nonsense").is_err());
        assert!(payload::<Value>(b"a.!.c").is_err());
    }
}
