//! The upstreams that model calls go to: one file a provider, and one line in [`all`].
//!
//! Knows what providers speak and how they are reached. It must not know callers, budgets, routes, or what a caller is told
//! of a failure.

use std::sync::Arc;

use steward_calls::Secrets;
use steward_calls::upstream::{Provider, Providers};
use steward_events::BoxError;
use steward_events::event::ProviderKind;
use steward_events::timestamp::Timestamp;

mod answering;
mod anthropic;
mod azure;
mod bedrock;
mod client;
mod coding;
mod config;
mod gemini;
mod http;
mod http1;
mod openai;
mod path;
mod public_address;
mod reading;
mod scripted;
#[cfg(test)]
mod testing;
mod times;

pub use config::Config;

/// What time it is: some providers want requests signed with it.
pub type Now = dyn Fn() -> Timestamp + Send + Sync;

/// All providers. Must be called after a rustls crypto provider was installed.
///
/// # Errors
/// If calls cannot be made at all: no trusted certificates, a proxy that is no URL.
pub fn all(config: &Config, secrets: Secrets, now: Arc<Now>) -> Result<Providers, BoxError> {
    let mut list: Vec<(ProviderKind, Arc<dyn Provider>)> = vec![
        (ProviderKind::Openai, Arc::new(openai::OpenAi::new(config)?)),
        (ProviderKind::Anthropic, Arc::new(anthropic::Anthropic::new(config)?)),
        (ProviderKind::Azure, Arc::new(azure::Azure::new(config)?)),
        (ProviderKind::Gemini, Arc::new(gemini::Gemini::new(config)?)),
        (ProviderKind::Bedrock, Arc::new(bedrock::Bedrock::new(config, now)?)),
    ];
    if config.scripted {
        list.push((ProviderKind::Scripted, Arc::new(scripted::Scripted)));
    }
    Ok(Providers::new(list, secrets))
}
