//! What a channel may be: each kind has its own parts, and no part that says nothing.

use steward_events::command::SetChannel;
use steward_events::event::{ChannelKind, ChannelSpec};
use steward_events::id::SecretId;
use steward_events::rejection::Rejection;

use crate::aggregate::Stamp;
use crate::limit;

/// The longest address, in bytes.
const URL_BYTES_MAX: usize = 1_000;

/// The most patterns of notices, and the most scopes.
const WANTED_MAX: usize = 32;

/// What `set` sets.
pub(super) fn checked(set: &SetChannel, stamp: &Stamp) -> Result<ChannelSpec, Rejection> {
    let SetChannel { channel: _, kind, url, secret, recipients, notices, scopes, enabled } = set;
    let by_url = matches!(kind, ChannelKind::Webhook | ChannelKind::Alertmanager);
    let by_secret = matches!(kind, ChannelKind::Webhook | ChannelKind::Slack);
    part("url", by_url, url.is_some(), *kind)?;
    part("secret", by_secret, secret.is_some(), *kind)?;
    part("recipients", *kind == ChannelKind::Mail, recipients.is_some(), *kind)?;
    if let Some(url) = url {
        check_url(url)?;
    }
    if secret.as_ref().is_some_and(SecretId::is_system) {
        return Err(Rejection::invalid(
            "secret",
            "names that begin with sys_ are of Steward's own secrets: choose another",
        ));
    }
    limit::count("notices", notices.len(), WANTED_MAX)?;
    limit::count("scopes", scopes.len(), WANTED_MAX)?;
    if let Some(scope) = scopes.iter().find(|scope| !scope.is_within(&stamp.tenant)) {
        return Err(Rejection::invalid("scopes", format!("{scope} is not in the tenant {}", stamp.tenant)));
    }
    let recipients = match recipients {
        Some(recipients) => {
            Some(recipients.sealed().cloned().ok_or_else(|| Rejection::invalid("recipients", "were not sealed"))?)
        }
        None => None,
    };
    Ok(ChannelSpec {
        kind: *kind,
        url: url.clone(),
        secret: secret.clone(),
        recipients,
        notices: notices.clone(),
        scopes: scopes.clone(),
        enabled: *enabled,
    })
}

fn part(field: &str, needed: bool, given: bool, kind: ChannelKind) -> Result<(), Rejection> {
    match (needed, given) {
        (true, false) => {
            let how = match (field, kind) {
                ("secret", ChannelKind::Slack) => "the name of a secret that holds the URL (secret.set)",
                ("secret", _) => "the name of a secret that holds whsec_… (secret.set)",
                ("url", _) => "an address such as https://example.com/hook",
                _ => "mail addresses",
            };
            Err(Rejection::invalid(field, format!("a channel of the kind {kind} needs {how}")))
        }
        (false, true) => {
            Err(Rejection::invalid(field, format!("says nothing of a channel of the kind {kind}: leave it out")))
        }
        _ => Ok(()),
    }
}

/// Refuses what is no plain address. Whether it is public is looked at when it is connected to.
fn check_url(url: &str) -> Result<(), Rejection> {
    limit::text("url", url, URL_BYTES_MAX)?;
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Rejection::invalid("url", "is no address such as https://example.com/hook"));
    }
    if host.contains('@') {
        return Err(Rejection::invalid("url", "holds a name or password, which would be recorded: leave it out"));
    }
    Ok(())
}
