//! Signatures of webhooks, by Standard Webhooks: <https://www.standardwebhooks.com>.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use steward_events::provider_key::SecretValue;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// The fewest and the most bytes of a secret.
const KEY_BYTES_MIN: usize = 24;
const KEY_BYTES_MAX: usize = 64;

/// A secret does not have the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret of a webhook is whsec_ and {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes in base64")]
pub(super) struct InvalidWebhookSecret;

/// The header `webhook-signature`: a signature by each of the secrets, so that a receiver that knows one of them is content.
pub(super) fn header(
    secrets: &[SecretValue],
    id: &str,
    timestamp: u64,
    body: &[u8],
) -> Result<String, InvalidWebhookSecret> {
    let signed = secrets.iter().map(|secret| signature(secret, id, timestamp, body)).collect::<Result<Vec<_>, _>>()?;
    if signed.is_empty() { Err(InvalidWebhookSecret) } else { Ok(signed.join(" ")) }
}

fn signature(secret: &SecretValue, id: &str, timestamp: u64, body: &[u8]) -> Result<String, InvalidWebhookSecret> {
    let encoded = secret.expose().strip_prefix(PREFIX).ok_or(InvalidWebhookSecret)?;
    let key = STANDARD.decode(encoded).map_err(|_| InvalidWebhookSecret)?;
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(InvalidWebhookSecret);
    }
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    Ok(format!("v1,{}", STANDARD.encode(context.sign())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretValue {
        text.parse().unwrap()
    }

    #[test]
    fn the_published_vector_gives_its_signature() {
        let own = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(header(std::slice::from_ref(&own), id, 1_614_265_330, body).as_deref(), Ok(expected));
        let both = header(&[own.clone(), own], id, 1_614_265_330, body).unwrap();
        assert_eq!(both, format!("{expected} {expected}"));
    }

    #[test]
    fn what_is_no_webhook_secret_signs_nothing() {
        let long = format!("whsec_{}", STANDARD.encode([7; KEY_BYTES_MAX + 1]));
        for wrong in ["sk-abc", "whsec_", "whsec_###", "whsec_YWJj", long.as_str()] {
            assert_eq!(header(&[secret(wrong)], "msg_1", 1, b"{}"), Err(InvalidWebhookSecret), "{wrong}");
        }
        assert_eq!(header(&[], "msg_1", 1, b"{}"), Err(InvalidWebhookSecret));
    }
}
