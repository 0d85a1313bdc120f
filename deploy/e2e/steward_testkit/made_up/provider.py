"""One more provider, `Canned`, which is always away: a file, a line in the list of providers, and its kind."""

from steward_testkit.source_tree import Growth

PLACES = ("gateway/providers/src/", "events/src/event/catalog.rs")

CANNED = '''//! A made-up provider: nobody is ever there.

use async_trait::async_trait;
use steward_calls::dialect::Speaks;
use steward_calls::dialect::openai_chat::LimitField;
use steward_calls::upstream::{Cause, Failure, Outgoing, Provider, UpstreamAnswer};
use steward_events::event::Operation;

/// The provider.
pub(crate) struct Canned;

#[async_trait]
impl Provider for Canned {
    fn speaks(&self, _: &str, _: Operation) -> Option<Speaks> {
        Some(Speaks::OpenAiChat { limit_field: LimitField::MaxTokens, only_that: false, stream_options: true })
    }

    async fn send(&self, _: Outgoing) -> Result<UpstreamAnswer, Failure> {
        Err(Failure::unbilled(Cause::Unreachable("nobody is there".to_owned())))
    }
}
'''


def grow(it: Growth):
    it.create("gateway/providers/src/canned.rs", CANNED)
    it.before("gateway/providers/src/lib.rs", "mod config;", "mod canned;")
    it.before("gateway/providers/src/lib.rs", "if config.scripted {", "list.push((ProviderKind::Canned, Arc::new(canned::Canned)));")
    it.before("events/src/event/catalog.rs", "/// Answers from a script", '/// Nobody is ever there.\nCanned = "canned",')
