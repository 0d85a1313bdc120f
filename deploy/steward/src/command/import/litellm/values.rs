//! Where an upstream is and where its key is found, of what `litellm_params` say. A key is only ever a reference; one that
//! stands in the file is refused, and never repeated.

use std::collections::BTreeMap;

use super::super::notes::{Notes, Place};
use super::super::yaml::{Found, Section};
use super::vendor::Vendor;

/// How the file refers to a variable of the environment.
const REFERENCE: &str = "os.environ/";

/// What people write for servers that want no key.
const NO_KEY: &[&str] = &["", "none", "null", "empty", "no-key", "not-needed"];

/// Where a gateway of ours finds the pair of keys of AWS.
const AWS_PAIR: &str = "env:AWS_BEDROCK_KEY";

/// What stands beside the models: credentials that they name, and what the environment would say.
pub(super) struct Values<'n> {
    credentials: BTreeMap<&'n str, Section<'n>>,
    given: &'n BTreeMap<String, String>,
}

impl<'n> Values<'n> {
    /// Reads `credential_list`. `given` are values of variables that no secrets are.
    pub(super) fn read(top: &mut Section<'n>, given: &'n BTreeMap<String, String>, notes: &mut Notes) -> Self {
        let mut credentials = BTreeMap::new();
        for item in top.items("credential_list", notes) {
            let Some(mut credential) = item.section() else {
                notes.not(&item.place, "left out, because it is not a table");
                continue;
            };
            let values = credential.section("credential_values", notes);
            if let Some((_, name)) = credential.text("credential_name", notes) {
                credentials.insert(name, values);
            }
        }
        Self { credentials, given }
    }

    /// Adds what the credential says that `params` names.
    pub(super) fn add_credential(&self, params: &mut Section<'n>, notes: &mut Notes) {
        let Some((place, name)) = params.text("litellm_credential_name", notes) else { return };
        match self.credentials.get(name) {
            Some(credential) => params.fill_from(credential),
            None => notes.not(&place, "left out: credential_list has no such name"),
        }
    }

    /// A text, or what the environment would say in its place.
    fn text(&self, found: &Found<'n>) -> Result<String, String> {
        let text = found.text().ok_or("it is not a text")?;
        let Some(name) = text.strip_prefix(REFERENCE) else { return Ok(text.to_owned()) };
        self.given.get(name).cloned().ok_or_else(|| {
            format!("an address is not read from the environment; give it with --value {}=…", shortened(name))
        })
    }

    /// Where the upstream is; none if that is not known, and why is in `notes`.
    pub(super) fn url(
        &self,
        vendor: &Vendor,
        params: &mut Section<'n>,
        model: &Place,
        notes: &mut Notes,
    ) -> Option<String> {
        let base = params.take("api_base");
        let base = params.take("base_url").or(base);
        let place = base.as_ref().map_or(model, |base| &base.place).clone();
        let url = match (&base, vendor.prefix) {
            (Some(base), _) => self.text(base),
            (None, "bedrock") => self.region(params),
            (None, _) => vendor.base.map(str::to_owned).ok_or_else(|| "say its address as api_base".to_owned()),
        };
        let url = match url {
            Ok(url) => url,
            Err(why) => {
                notes.not(&place, format!("left out: {why}"));
                return None;
            }
        };
        if url.contains(['@', '?', '#']) {
            notes.refused(
                &place,
                "an address has no user, query or fragment: they may be secrets, and would be seen by many",
            );
            return None;
        }
        let url = url.trim_end_matches('/');
        let suffix = if url.ends_with(vendor.suffix) { "" } else { vendor.suffix };
        Some(format!("{url}{suffix}"))
    }

    fn region(&self, params: &mut Section<'n>) -> Result<String, String> {
        let region = params.take("aws_region_name").ok_or("say its region as aws_region_name")?;
        Ok(format!("https://bedrock-runtime.{}.amazonaws.com", self.text(&region)?))
    }
}

/// Where the key is found; none if none is sent.
pub(super) fn key(vendor: &Vendor, url: &str, params: &mut Section<'_>, notes: &mut Notes) -> Option<String> {
    let pair = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"].map(|name| params.take(name));
    let pair: Vec<Found<'_>> = pair.into_iter().flatten().collect();
    if let Some(first) = pair.first() {
        if pair.iter().all(|part| reference(part).is_some()) {
            notes.partly(
                &first.place,
                format!(
                    "one key stands for the pair: set {} of the gateway to ACCESS_KEY_ID:SECRET_ACCESS_KEY",
                    AWS_PAIR.trim_start_matches("env:")
                ),
            );
            return Some(AWS_PAIR.to_owned());
        }
        refuse_key(&first.place, notes);
        return None;
    }
    let Some(found) = params.take("api_key") else { return default_key(vendor, url, &params.place, notes) };
    if let Some(name) = reference(&found) {
        return Some(format!("env:{name}"));
    }
    let text = found.text().map(str::to_ascii_lowercase);
    if !text.is_some_and(|text| NO_KEY.contains(&text.as_str())) {
        refuse_key(&found.place, notes);
    }
    None
}

/// The key that LiteLLM takes if none is said. It goes to the provider's own address only.
fn default_key(vendor: &Vendor, url: &str, place: &Place, notes: &mut Notes) -> Option<String> {
    let name = vendor.key?;
    let below = |base: &str| url.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_its_own = vendor.base.is_none_or(below);
    if !is_its_own {
        notes.partly(
            place,
            format!("no key is sent: none is said, and {name} is not sent to another address than the provider's"),
        );
        return None;
    }
    Some(format!("env:{name}"))
}

fn refuse_key(place: &Place, notes: &mut Notes) {
    notes.refused(
        place,
        "a key stands in the file, where everyone reads it who reads the file: take it out, put it into a variable of the gateway's environment, and write os.environ/NAME",
    );
}

/// The variable that is referred to, if it is one.
fn reference<'n>(found: &Found<'n>) -> Option<&'n str> {
    let name = found.text()?.strip_prefix(REFERENCE)?;
    let sound = !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    sound.then_some(name)
}

fn shortened(name: &str) -> String {
    name.chars().take(60).collect()
}
