//! Keys of Bedrock: an API key, or an access key by which each request is signed (AWS Signature Version 4).
//!
//! The text of a key is words, in any order: the key itself, either `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]` or an API
//! key, and `region=…` where the region does not stand in the provider's address.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::Url;
use steward_calls::upstream::Failure;
use steward_events::timestamp::Timestamp;

use crate::client::not_to_be_had;
use crate::http::{Headers, bearer};

/// The name of the service in signatures.
const SERVICE: &str = "bedrock";

/// A key.
pub(super) struct Key {
    proof: Proof,
    /// Where the provider is, if the key's text says so.
    region: Option<String>,
}

enum Proof {
    Bearer(String),
    Signature(Credentials),
}

impl Key {
    /// Reads a key's text.
    ///
    /// # Errors
    /// If it is none. The text is not repeated.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let (mut proof, mut region) = (None, None);
        for word in text.split_whitespace() {
            if let Some(named) = word.strip_prefix("region=") {
                region = Some(named.to_owned());
            } else if proof.replace(Proof::read(word).ok_or_else(no_key)?).is_some() {
                return Err(no_key());
            }
        }
        Ok(Self { proof: proof.ok_or_else(no_key)?, region })
    }

    /// The headers by which a request to `url` proves at this time that it may be made.
    ///
    /// # Errors
    /// If nothing says which region it goes to.
    pub(super) fn headers(&self, url: &Url, body: &[u8], at: Timestamp) -> Result<Headers, Failure> {
        match &self.proof {
            Proof::Bearer(key) => Ok(bearer(Some(key.clone()))),
            Proof::Signature(credentials) => {
                let region = self.region.as_deref().or_else(|| region_of(url.host_str()?));
                let region = region.ok_or_else(|| not_to_be_had("neither its address nor its key names a region"))?;
                signed(credentials, region, url, (body, at))
            }
        }
    }
}

impl Proof {
    fn read(word: &str) -> Option<Self> {
        let mut parts = word.splitn(3, ':');
        let (first, secret, token) = (parts.next()?, parts.next(), parts.next());
        let Some(secret) = secret else { return Some(Self::Bearer(first.to_owned())) };
        let sound = !first.is_empty() && !secret.is_empty() && token != Some("");
        let credentials = || Credentials::new(first, secret, token.map(str::to_owned), None, "key");
        sound.then(|| Self::Signature(credentials()))
    }
}

/// What is signed is what the client is sure to send: the method, the address, the type and the body.
fn signed(
    credentials: &Credentials,
    region: &str,
    url: &Url,
    (body, at): (&[u8], Timestamp),
) -> Result<Headers, Failure> {
    let identity = credentials.clone().into();
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(at.0);
    let parameters = v4::SigningParams::builder().identity(&identity).region(region).name(SERVICE).time(time);
    let parameters = parameters.settings(SigningSettings::default()).build().map_err(|_| unsigned())?.into();
    let headers = [("content-type", "application/json")].into_iter();
    let request = SignableRequest::new("POST", url.as_str(), headers, SignableBody::Bytes(body));
    let signed = sign(request.map_err(|_| unsigned())?, &parameters).map_err(|_| unsigned())?;
    let (signed, _) = signed.into_parts().0.into_parts();
    Ok(signed.into_iter().map(|header| (header.name(), header.value().to_owned())).collect())
}

/// The region in a host's name: what follows the service, e.g. `bedrock-runtime.eu-west-1.amazonaws.com`.
fn region_of(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    labels.find(|label| matches!(*label, "bedrock-runtime" | "bedrock-runtime-fips"))?;
    labels.next().filter(|region| region.contains('-'))
}

fn no_key() -> Failure {
    not_to_be_had("its key is no API key and not ACCESS_KEY_ID:SECRET_ACCESS_KEY")
}

/// The cause may quote what is signed.
fn unsigned() -> Failure {
    not_to_be_had("the request cannot be signed with its key")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-x%3A0/converse";
    /// 2026-11-30T09:00:00Z.
    const AT: Timestamp = Timestamp(1_796_029_200_000_000);

    fn headers(key: &str) -> Headers {
        Key::read(key).unwrap().headers(&URL.parse().unwrap(), br#"{"messages":[]}"#, AT).unwrap()
    }

    #[test]
    fn a_session_is_signed_with_its_token() {
        let headers = headers("AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY:token//==");
        let value = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("x-amz-date"), Some("20261130T090000Z"));
        assert_eq!(value("x-amz-security-token"), Some("token//=="));
        // As AWS's library for Python signs the same request.
        let signature = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261130/eu-west-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
             Signature=6f6c5e6733d394c413f27a0af969620769bdfcdfc78086e6e14d83b3e8265fff";
        assert_eq!(value("authorization"), Some(signature));
    }

    #[test]
    fn a_key_is_one_word_beside_the_region() {
        for text in ["", "  ", "region=eu-west-1", "a:b c:d", ":b", "a:", "a:b:"] {
            assert!(Key::read(text).is_err(), "{text}");
        }
        let elsewhere = Key::read("region=us-east-1\nAKID:secret").unwrap();
        let headers = elsewhere.headers(&"http://127.0.0.1:9/model".parse().unwrap(), b"", AT).unwrap();
        assert!(headers.iter().any(|(_, value)| value.contains("/us-east-1/bedrock/")));
        assert_eq!(self::headers("ABSKkey"), [("authorization", "Bearer ABSKkey".to_owned())]);
        let nowhere = Key::read("AKID:secret").unwrap();
        assert!(nowhere.headers(&"http://127.0.0.1:9/model".parse().unwrap(), b"", AT).is_err());
    }

    #[test]
    fn the_region_stands_after_the_service() {
        for (host, region) in [
            ("bedrock-runtime.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", Some("us-east-1")),
            ("bedrock-runtime.example", None),
            ("localhost", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }
}
