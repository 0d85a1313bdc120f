//! Planned: a request as the model's policy wants it sent, so that it costs less or fits. With no policy it stays as it came.

use steward_events::event::{PromptPolicy, PromptWindow, Tokenizer};

use crate::dialect::prompt::{CountsTokens, Spared, TooLong, compress, fit};
use crate::dialect::{Dialect, Fields, ModelRequest};
use crate::error::Error;
use crate::estimate::tokens_of;
use crate::tokenizer;

/// Bytes of a request that is changed on the spot; with more it is done beside, so that other calls go on.
const AT_ONCE_BYTES_MAX: u64 = 16 * 1024;

/// What is done with a request.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// What the policy says.
    pub(super) policy: PromptPolicy,
    /// The vocabulary by which texts are counted.
    pub(super) tokenizer: Option<Tokenizer>,
    /// Tokens that the model reads beside its output.
    pub(super) room: u64,
}

/// True if a policy may change requests: few do.
pub(super) const fn may_change(policy: PromptPolicy) -> bool {
    policy.compress || policy.window.is_some()
}

/// `request` in this shape, and what was spared of it; none if it stays as it is. To be asked only if
/// [`may_change`] says so.
///
/// # Errors
/// [`Error::BadRequest`] if it is longer than the model reads, and the policy minds.
pub(super) async fn shaped(
    dialect: &'static dyn Dialect,
    request: &ModelRequest,
    shape: Shape,
) -> Result<Option<(ModelRequest, Spared)>, Error> {
    let (mut body, bytes) = (request.body.clone(), request.size.bytes);
    let work = move || shape.apply(&mut body, bytes).map(|spared| (body, spared));
    let done = if bytes <= AT_ONCE_BYTES_MAX {
        work()
    } else {
        let work = tokio::task::spawn_blocking(work).await;
        work.map_err(|error| Error::Unavailable(format!("the request could not be made shorter: {error}")))?
    };
    let (body, spared) = done.map_err(|TooLong { tokens, room }| too_long(request, tokens, room))?;
    if spared.is_nothing() {
        return Ok(None);
    }
    Ok(Some((dialect.read(&body.write())?, spared)))
}

impl Shape {
    fn apply(self, body: &mut Fields, bytes: u64) -> Result<Spared, TooLong> {
        let exactly = |tokenizer: Tokenizer| move |text: &str| tokenizer::count(tokenizer, text);
        match self.tokenizer {
            Some(tokenizer) => self.with(body, bytes, &exactly(tokenizer)),
            None => self.with(body, bytes, &|text| tokens_of(text.len() as u64)),
        }
    }

    fn with(self, body: &mut Fields, bytes: u64, tokens: CountsTokens<'_>) -> Result<Spared, TooLong> {
        let PromptPolicy { compress: compresses, prune, window, .. } = self.policy;
        let mut spared = if compresses { compress(body, prune, tokens) } else { Spared::default() };
        // What has no more bytes than there is room for tokens fits.
        if let Some(window) = window.filter(|_| bytes > self.room) {
            let trims = window == PromptWindow::TrimOldest;
            (spared.trimmed_turns, spared.trimmed_tokens) = fit(body, self.room, trims, tokens)?;
        }
        Ok(spared)
    }
}

fn too_long(request: &ModelRequest, tokens: u64, room: u64) -> Error {
    let (model, over) = (&request.model, tokens.saturating_sub(room));
    let message = format!(
        "the request is about {tokens} tokens, {over} more than the {room} that the model `{model}` reads beside the output that \
         may follow: leave out older messages, or ask for less output"
    );
    Error::bad("messages", message)
}
