//! Whether an upstream's address and key reference can be right. Nothing is looked up: that is the gateway's.

use steward_events::event::ProviderKind;
use steward_events::provider_key::KeyPlace;
use steward_events::rejection::Rejection;

use crate::limit;

/// The longest URL, in bytes.
pub(super) const URL_BYTES_MAX: usize = 512;

/// A base URL: scheme, host, perhaps a port and a path; no user, query or fragment, which have no business there.
pub(super) fn check_url(kind: ProviderKind, url: &str) -> Result<(), Rejection> {
    let invalid = |reason: &str| Err(Rejection::invalid("url", reason));
    limit::text("url", url, URL_BYTES_MAX)?;
    if kind == ProviderKind::Scripted {
        return Ok(()); // it calls nobody; the text says which script
    }
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return invalid("begin with http:// or https://");
    };
    if !rest.bytes().all(|b| b.is_ascii_graphic()) {
        return invalid("holds a space or a character outside ASCII");
    }
    if rest.contains(['@', '?', '#', '\\']) {
        return invalid("a base URL has no user, query or fragment");
    }
    let authority = rest.split('/').next().unwrap_or("");
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let host_bytes = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || !(bracketed || host.bytes().all(host_bytes)) {
        return invalid("names no host");
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => check_path(kind, &rest[authority.len()..]),
        Some(_) => invalid("the port is a number from 1 to 65535"),
    }
}

/// Azure has one API below `/openai/v1`, and an older one for which nothing is said.
fn check_path(kind: ProviderKind, path: &str) -> Result<(), Rejection> {
    match (kind, path.trim_end_matches('/')) {
        (ProviderKind::Azure, "" | "/openai/v1") => Ok(()),
        (ProviderKind::Azure, _) => Err(Rejection::invalid("url", "for Azure the path is empty or /openai/v1")),
        _ => Ok(()),
    }
}

/// Where a key is found, as the reference says it.
pub(super) fn read_key(reference: &str) -> Result<KeyPlace<'_>, Rejection> {
    limit::text("key", reference, URL_BYTES_MAX)?;
    // The text is not repeated: it may be a key that was put here by mistake.
    let unsound = || Rejection::invalid("key", "write secret:NAME, env:NAME or file:PATH, never the key itself");
    KeyPlace::read(reference).ok_or_else(unsound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for url in ["http://127.0.0.1:9090/v1", "https://api.openai.com/v1", "http://[::1]:9090", "http://[::1]/v1"] {
            assert_eq!(check_url(ProviderKind::Openai, url), Ok(()), "{url}");
        }
        for url in [
            "",
            "ftp://host",
            "http://",
            "http:///v1",
            "http://user@host/v1",
            "http://host?x=1",
            "http://host#x",
            "http://ho st",
            "http://host:0",
            "http://host:99999",
            "http://host:http",
            "http://hé",
        ] {
            assert!(check_url(ProviderKind::Openai, url).is_err(), "{url}");
        }
        let long = format!("http://{}", "a".repeat(URL_BYTES_MAX));
        assert!(check_url(ProviderKind::Openai, &long).is_err());
    }

    #[test]
    fn urls_of_other_kinds() {
        for (kind, url) in [
            (ProviderKind::Gemini, "https://generativelanguage.googleapis.com/v1beta"),
            (ProviderKind::Bedrock, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
            (ProviderKind::Azure, "https://acme.openai.azure.com"),
            (ProviderKind::Azure, "https://acme.openai.azure.com/openai/v1/"),
        ] {
            assert_eq!(check_url(kind, url), Ok(()), "{url}");
        }
        assert!(check_url(ProviderKind::Azure, "https://acme.openai.azure.com/openai/deployments/gpt").is_err());
    }

    #[test]
    fn key_references() {
        for reference in ["env:OPENAI_API_KEY", "file:/run/secrets/key", "file:.steward/provider.key", "secret:openai"]
        {
            assert!(read_key(reference).is_ok(), "{reference}");
        }
        for reference in ["", "sk-abc", "env:", "env:1A", "env:A B", "file:", "http://x", "secret:SK-abc"] {
            assert!(read_key(reference).is_err(), "{reference}");
        }
        assert!(!read_key("sk-abc").unwrap_err().to_string().contains("sk-abc"));
    }
}
