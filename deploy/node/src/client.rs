//! The management API as the command line sees it: `/api/v1` with a key.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use steward_events::BoxError;
use steward_events::command::collection;
use steward_events::id::TenantId;
use steward_events::request::Reply;
use steward_events::secret::tenant_of;

use crate::config::Config;
use crate::files;

/// How long one request may take.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// How long the bytes of one file may take.
const DOWNLOAD_TIME_MAX: Duration = Duration::from_hours(1);

/// Talks to one gateway as the holder of one key.
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
    /// The tenant that was asked for, if one was.
    pub tenant: Option<TenantId>,
}

impl Client {
    /// For what was asked, else for what this installation's files say.
    ///
    /// # Errors
    /// If no key was given and there is none here.
    pub fn for_installation(
        config: &Config,
        url: Option<&str>,
        key: Option<&str>,
        tenant: Option<TenantId>,
    ) -> Result<Self, BoxError> {
        let key = match key {
            Some(key) => key.to_owned(),
            None => files::read_secret(&config.operator_key_file())?.ok_or_else(|| {
                format!(
                    "no API key: set STEWARD_API_KEY or --api-key, or run this where {} is",
                    config.operator_key_file().display()
                )
            })?,
        };
        Self::new(url.unwrap_or(&config.gateway_url()), key, tenant)
    }

    /// For `url` with `key`.
    pub fn new(url: &str, key: String, tenant: Option<TenantId>) -> Result<Self, BoxError> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIME_MAX).build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned(), key, tenant })
    }

    /// The tenant that the key belongs to: its second part.
    pub fn own_tenant(&self) -> Result<TenantId, BoxError> {
        Ok(tenant_of(&self.key).ok_or("the key is not of the form stw_<tenant>_<secret>")?)
    }

    /// The tenant that was asked for, else the key's own.
    pub fn tenant(&self) -> Result<TenantId, BoxError> {
        let tenant = self.tenant.clone().map_or_else(|| self.own_tenant(), Ok)?;
        Ok(tenant)
    }

    /// Sends a command. A refusal is an error that says why and what would allow it.
    pub async fn command(&self, tenant: &TenantId, noun: &str, verb: &str, body: &Value) -> Result<Reply, BoxError> {
        self.post(&format!("/api/v1/tenants/{tenant}/{}:{verb}", collection(noun)), body).await
    }

    /// Asks a query.
    pub async fn query<T: DeserializeOwned>(
        &self,
        tenant: &TenantId,
        view: &str,
        verb: &str,
        query: &impl serde::Serialize,
    ) -> Result<T, BoxError> {
        self.post(&format!("/api/v1/tenants/{tenant}/{view}:{verb}"), &serde_json::to_value(query)?).await
    }

    /// Fetches a page as text.
    pub async fn get(&self, path: &str) -> Result<(u16, String), BoxError> {
        let response = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key).send().await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Fetches bytes, part by part; false if there is nothing.
    pub async fn download(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), BoxError>,
    ) -> Result<bool, BoxError> {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.key).timeout(DOWNLOAD_TIME_MAX);
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status().as_u16() {
            404 => return Ok(false),
            200 => {}
            status => return Err(problem(status, &response.bytes().await?).into()),
        }
        while let Some(part) = response.chunk().await? {
            take(&part)?;
        }
        Ok(true)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, BoxError> {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.key).json(body);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let bytes = response.bytes().await?;
        if status.is_success() {
            return serde_json::from_slice(&bytes)
                .map_err(|error| format!("{path}: unexpected answer: {error}").into());
        }
        Err(problem(status.as_u16(), &bytes).into())
    }

    fn unreachable(&self, error: &reqwest::Error) -> BoxError {
        format!("no gateway answers at {}: is `steward up` or `steward gateway` running? ({error})", self.url).into()
    }
}

/// An RFC 9457 problem, for people.
fn problem(status: u16, bytes: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<Value>(bytes) else {
        return format!("status {status}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)]));
    };
    let text = |name: &str| problem.get(name).and_then(Value::as_str);
    let mut said = text("detail").or_else(|| text("title")).unwrap_or("refused").to_owned();
    if let Some(would_allow) =
        text("would_allow").or_else(|| problem.pointer("/rejection/would_allow").and_then(Value::as_str))
    {
        said.push_str("\n  would be allowed by: ");
        said.push_str(would_allow);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_read_from_the_key() {
        let client = |key: &str| Client::new("http://127.0.0.1:1", key.to_owned(), None).unwrap();
        _ = rustls::crypto::ring::default_provider().install_default();
        assert_eq!(client("stw_my_team_0abc").own_tenant().unwrap().as_str(), "my_team");
        assert!(client("sk-123").own_tenant().is_err());
    }
}
