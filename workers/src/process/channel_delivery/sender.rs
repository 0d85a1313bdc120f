//! Sends one message: opens what is sealed, and hands it to what its channel speaks.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use steward_events::BoxError;
use steward_events::event::ChannelKind;
use steward_events::provider_key::SecretValue;
use steward_events::sealed::Sealed;
use steward_ports::clock::Clock;
use steward_ports::keys::{KeyError, Keyring};

use super::mail::Mailer;
use super::outgoing::{Failure, Outgoing};
use super::post::Poster;
use super::{SEND_TIME_MAX, signature, wording};
use crate::WorkerPorts;
use crate::config::{Channels, Mail};

/// Where an Alertmanager takes alerts.
const ALERTS_PATH: &str = "/api/v2/alerts";

/// Sends messages.
pub(super) struct Sender {
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    poster: Poster,
    mailer: Option<Mailer>,
    anywhere: bool,
}

impl Sender {
    /// # Errors
    /// What is wrong in the configuration.
    pub(super) fn new(ports: &WorkerPorts, config: &Channels, mail: &Mail) -> Result<Self, BoxError> {
        let time_max = config.send_time_max.min(SEND_TIME_MAX);
        Ok(Self {
            keyring: Arc::clone(&ports.keyring),
            clock: Arc::clone(&ports.clock),
            poster: Poster::new(time_max)?,
            mailer: Mailer::new(mail, time_max)?,
            anywhere: config.tenant_channels_anywhere,
        })
    }

    /// Sends it. The words of a failure repeat no secret.
    pub(super) async fn send(&self, outgoing: &Outgoing) -> Result<(), Failure> {
        match outgoing.spec.kind {
            ChannelKind::Webhook => self.webhook(outgoing).await,
            ChannelKind::Slack => {
                let secrets = self.secrets(outgoing).await?;
                let url = secrets.first().map(SecretValue::expose).unwrap_or_default();
                self.post(outgoing, url, &[], &wording::slack(outgoing)).await
            }
            ChannelKind::Alertmanager => {
                let base = outgoing.spec.url.as_deref().unwrap_or_default().trim_end_matches('/');
                let url = format!("{}{ALERTS_PATH}", base.trim_end_matches(ALERTS_PATH));
                self.post(outgoing, &url, &[], &wording::alerts(outgoing)).await
            }
            ChannelKind::Mail => {
                let mailer = self.mailer.as_ref().ok_or_else(|| {
                    Failure::later("this installation has no mail server: its operators set [mail] in steward.toml")
                })?;
                let sealed =
                    outgoing.spec.recipients.as_ref().ok_or_else(|| Failure::later("there is no recipient"))?;
                mailer.send(outgoing, &self.open(sealed).await?).await
            }
        }
    }

    async fn webhook(&self, outgoing: &Outgoing) -> Result<(), Failure> {
        let secrets = self.secrets(outgoing).await?;
        let (id, timestamp) = (outgoing.message.as_str(), self.clock.now().0 / 1_000_000);
        let body = wording::webhook(outgoing);
        let bytes = serde_json::to_vec(&body).map_err(|_| Failure::later("the message cannot be written"))?;
        let signed = signature::header(&secrets, id, timestamp, &bytes);
        let headers = [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signed.map_err(|error| Failure::later(error.to_string()))?),
        ];
        let url = outgoing.spec.url.as_deref().unwrap_or_default();
        self.poster.post(url, self.may_be_anywhere(outgoing), &headers, bytes).await
    }

    async fn post(
        &self,
        outgoing: &Outgoing,
        url: &str,
        headers: &[(&'static str, String)],
        body: &serde_json::Value,
    ) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(body).map_err(|_| Failure::later("the message cannot be written"))?;
        self.poster.post(url, self.may_be_anywhere(outgoing), headers, bytes).await
    }

    /// The operators' own channels may be at private addresses, as their providers may.
    fn may_be_anywhere(&self, outgoing: &Outgoing) -> bool {
        self.anywhere || outgoing.tenant.is_steward()
    }

    /// The channel's secret, and behind it the one before, while that still counts.
    async fn secrets(&self, outgoing: &Outgoing) -> Result<Vec<SecretValue>, Failure> {
        let mut opened = Vec::new();
        for sealed in &outgoing.secrets {
            opened.push(self.open(sealed).await?);
        }
        if opened.is_empty() {
            let name = outgoing.spec.secret.as_ref().map(ToString::to_string).unwrap_or_default();
            return Err(Failure::later(format!("there is no secret {name}: steward secret set {name}")));
        }
        Ok(opened)
    }

    async fn open<T: Serialize + DeserializeOwned>(&self, sealed: &Sealed<T>) -> Result<T, Failure> {
        let key = self.keyring.find(sealed.owner()).await.map_err(|error| match error {
            KeyError::Erased(_) => Failure::Never("what the channel holds was erased".to_owned()),
            KeyError::WrongMasterKey(..) | KeyError::Unavailable(_) => {
                Failure::later("what the channel holds cannot be opened now")
            }
        })?;
        sealed.open(&key).map_err(|_| Failure::later("what the channel holds cannot be opened"))
    }
}
