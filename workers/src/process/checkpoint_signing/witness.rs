//! Outside places that are handed every tenant's newest checkpoint: only a copy outside shows a rewritten history.
//!
//! A folder keeps every checkpoint it was ever given under its size, and a contradiction is said, never written over. An
//! address gets each as the body of a POST. What could not be handed over is tried again; nothing waits for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use reqwest::{Client, Url};
use steward_events::BoxError;
use steward_events::id::TenantId;
use steward_ports::live::Live;
use steward_tlog::note::NOTE_BYTES_MAX;

use super::{CheckpointState, Signed};
use crate::wake;

/// Checkpoints handed over at once.
const PUSHES_MAX: usize = 4;
/// How often one is tried before it waits for the next round.
const ATTEMPTS_MAX: u32 = 3;
/// The pause after an attempt that failed; doubled after each further one.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);
/// How long one attempt may take.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a witness that failed is left alone.
const ROUND_PAUSE: Duration = Duration::from_secs(30);

/// One outside place.
pub(super) struct Witness {
    place: WitnessTarget,
    /// How far each tenant's tree was handed over.
    pushed: BTreeMap<TenantId, u64>,
    failing: bool,
}

enum WitnessTarget {
    Folder(PathBuf),
    Address(Client, Url),
}

impl Witness {
    /// The witness at `place`: an http or https address, or else a folder, in which this installation's checkpoints are
    /// kept under its `name`.
    pub(super) fn new(place: &str, name: &str) -> Result<Self, BoxError> {
        let place = if place.starts_with("http://") || place.starts_with("https://") {
            let client = Client::builder().timeout(ATTEMPT_TIME_MAX).redirect(reqwest::redirect::Policy::none());
            WitnessTarget::Address(client.build()?, place.parse()?)
        } else {
            let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
            let name: String = name.chars().map(plain).collect();
            WitnessTarget::Folder(PathBuf::from(place).join(name.trim_start_matches('.')))
        };
        Ok(Self { place, pushed: BTreeMap::new(), failing: false })
    }

    /// Hands over what is signed, from now on and for ever.
    pub(super) async fn follow(mut self, live: Arc<Live<CheckpointState>>) {
        if wake::caught_up(&live).await.is_err() {
            return; // the signer of the same view says why
        }
        // A view that has stopped moves no more; the signer says so.
        while live.stopped().is_none() {
            let seen = live.positions();
            let due: Vec<(TenantId, Signed)> = {
                let known = live.read();
                let new = |(tenant, signed): &(&TenantId, &Signed)| self.pushed.get(*tenant) != Some(&signed.size);
                known.signed.iter().filter(new).map(|(tenant, signed)| (tenant.clone(), signed.clone())).collect()
            };
            let all = due.len();
            let place = &self.place;
            let handed: Vec<_> =
                stream::iter(due)
                    .map(|(tenant, signed)| async move {
                        place.hand(&tenant, &signed).await.map(|()| (tenant, signed.size))
                    })
                    .buffer_unordered(PUSHES_MAX)
                    .collect()
                    .await;
            let well = self.note_down(handed, all);
            wake::moved(&live, &seen, if well { wake::IDLE_MAX } else { ROUND_PAUSE }).await;
            if !well {
                tokio::time::sleep(ATTEMPT_PAUSE).await;
            }
        }
    }

    /// Remembers what was handed over. True if all was.
    fn note_down(&mut self, handed: Vec<Result<(TenantId, u64), BoxError>>, all: usize) -> bool {
        let mut failed = None;
        for outcome in handed {
            match outcome {
                Ok((tenant, size)) => _ = self.pushed.insert(tenant, size),
                Err(error) => failed = Some(error),
            }
        }
        match &failed {
            Some(error) if !self.failing => {
                tracing::warn!(witness = %self.place, %error, "checkpoints are not handed over; tried again");
            }
            None if self.failing && all > 0 => {
                tracing::info!(witness = %self.place, "checkpoints are handed over again");
            }
            _ => {}
        }
        self.failing = failed.is_some() || self.failing && all == 0;
        failed.is_none()
    }
}

impl WitnessTarget {
    async fn hand(&self, tenant: &TenantId, signed: &Signed) -> Result<(), BoxError> {
        let mut pause = ATTEMPT_PAUSE;
        for _ in 1..ATTEMPTS_MAX {
            if self.try_hand(tenant, signed).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.try_hand(tenant, signed).await
    }

    async fn try_hand(&self, tenant: &TenantId, signed: &Signed) -> Result<(), BoxError> {
        match self {
            Self::Folder(folder) => keep(&folder.join(tenant.as_str()), signed).await,
            Self::Address(client, url) => {
                let body = signed.note.clone();
                let sent = client.post(url.clone()).header("content-type", "text/plain; charset=utf-8").body(body);
                sent.send().await?.error_for_status()?;
                Ok(())
            }
        }
    }
}

impl std::fmt::Display for WitnessTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            // Without what may be a secret in it.
            Self::Address(_, url) => write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default()),
        }
    }
}

/// Keeps a checkpoint in `folder` under its size, for ever.
async fn keep(folder: &std::path::Path, signed: &Signed) -> Result<(), BoxError> {
    let file = folder.join(format!("{:020}", signed.size));
    match tokio::fs::metadata(&file).await {
        Ok(found)
            if found.len() <= NOTE_BYTES_MAX as u64 && tokio::fs::read(&file).await? == signed.note.as_bytes() =>
        {
            return Ok(());
        }
        Ok(_) => {
            let reason = format!("{} holds another checkpoint of this size: two histories were signed", file.display());
            return Err(reason.into());
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    tokio::fs::create_dir_all(folder).await?;
    // Whole or not at all, also if the process dies here.
    let unfinished = folder.join(format!(".{:020}.{}", signed.size, std::process::id()));
    tokio::fs::write(&unfinished, &signed.note).await?;
    tokio::fs::rename(&unfinished, &file).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use steward_events::digest::TreeHash;
    use steward_events::quantity::Position;

    use super::*;

    fn signed(note: &str) -> Signed {
        Signed { size: 41, root: TreeHash::empty(), position: Position(50), note: note.to_owned() }
    }

    #[tokio::test]
    async fn a_folder_keeps_the_first_and_says_when_another_comes() {
        let folder = std::env::temp_dir().join(format!("steward-witness-{}", std::process::id()));
        let witness = Witness::new(folder.to_str().unwrap(), "../a b").unwrap();
        let acme: TenantId = "acme".parse().unwrap();
        witness.place.try_hand(&acme, &signed("one")).await.unwrap();
        witness.place.try_hand(&acme, &signed("one")).await.unwrap();
        let refused = witness.place.try_hand(&acme, &signed("two")).await.unwrap_err().to_string();
        assert!(refused.contains("two histories were signed"), "{refused}");
        let kept = folder.join("_a_b/acme/00000000000000000041");
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), "one");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_invalid_address_is_refused() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        assert!(Witness::new("http://", "a").is_err());
        assert!(Witness::new("https://witness.example/steward", "a").is_ok());
    }
}
