//! Authorised → answered with the answer to a question in other words, where the model's policy says so; or it is counted
//! that it would have been.
//!
//! The embedding is a call of its own: with the same key, authorised, reserved and recorded like every call. Where it cannot
//! be had, there is no such answer, and the call is made.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use steward_events::event::{Similar, SimilarMode};

use super::Pipeline;
use super::accepted::Accepted;
use super::authorised::{Authorised, authorise};
use super::given::{Look, key_of};
use super::reply::ReplyBody;
use crate::alike::About;
use crate::cache::{Asks, CacheUse, Leader, Nearest};
use crate::dialect::Question;
use crate::dialect::openai_embeddings::OpenAiEmbeddings;
use crate::error::Error;
use crate::run_to_end::{Left, RunToEnd};

/// How long a call waits for the embedding of its question. It is recorded however long it takes.
const EMBEDDING_TIME_MAX: Duration = Duration::from_secs(2);

impl Pipeline {
    /// Looks for the answer to a question in other words.
    pub(super) async fn look_alike(
        self: &Arc<Self>,
        call: Box<Authorised>,
        used: Option<CacheUse>,
        mut leader: Leader,
    ) -> Result<Look, Error> {
        let policy = call.plan.cache.policy.clone();
        let question =
            policy.similar.as_ref().and_then(|similar| Some((similar, call.dialect.question(&call.request)?)));
        let Some((similar, question)) = question else { return Ok(Look::Make(call, used, Some(leader))) };
        let Some(asks) = self.asks(&call, similar, &question).await else {
            return Ok(Look::Make(call, used, Some(leader)));
        };
        let found = self.giver.cache.nearest(&asks, &policy);
        leader.is_about(asks);
        match (found, similar.mode) {
            (Some(Nearest { kept, age, score }), SimilarMode::On) => {
                // Waiting may have taken long.
                call.fresh_check(&self.access).await?;
                self.giver.give_kept(call, &kept, CacheUse::Similar { score, age }).await.map(Look::Given)
            }
            (Some(Nearest { score, .. }), SimilarMode::Shadow) => {
                Ok(Look::Make(call, Some(CacheUse::WouldHit { score }), Some(leader)))
            }
            (None, _) => Ok(Look::Make(call, used, Some(leader))),
        }
    }

    /// What the call asks, and the circle of those that differ from it in nothing else.
    async fn asks(self: &Arc<Self>, call: &Authorised, similar: &Similar, question: &Question) -> Option<Asks> {
        let mut circle = blake3::Hasher::new();
        circle.update(&question.rest);
        // Another model's embeddings are no measure for this one's.
        circle.update(similar.model.as_str().as_bytes());
        let circle = key_of(call, circle.finalize().into());
        let embedding = Arc::clone(self).embed(self.part_of(call, similar, question));
        let embedding = RunToEnd::new(embedding, Left::default(), &self.giver.tracker);
        let answer = tokio::time::timeout(EMBEDDING_TIME_MAX, embedding).await.ok()?;
        let answer = answer.inspect_err(|error| {
            tracing::debug!(%error, call.id = %call.id, "a question has no embedding; it is asked as it stands");
        });
        let about = Arc::new(About::of(&question.text, &answer.ok()?)?);
        Some(Asks { circle, about })
    }

    /// The call for an embedding, as a part of `call`.
    fn part_of(&self, call: &Authorised, similar: &Similar, question: &Question) -> Accepted {
        Accepted {
            key: call.key.clone(),
            permit: None,
            body: json!({ "model": similar.model, "input": question.text }).to_string().into(),
            memory: None,
            tags: Vec::new(),
            data_class: call.data_class.clone(),
            request: call.id.clone(),
            began: self.settler.clock.monotonic(),
            anew: false,
            idempotency_key: None,
        }
    }

    async fn embed(self: Arc<Self>, accepted: Accepted) -> Result<bytes::Bytes, Error> {
        let planned = self.planner.plan(accepted, &OpenAiEmbeddings).await?;
        let authorised = authorise(&self.access, &self.metrics, planned).await?;
        match self.answer(authorised, None, &Left::default()).await?.body {
            ReplyBody::Whole(body, _) => Ok(body),
            ReplyBody::Stream(_) | ReplyBody::Kept(_) => {
                Err(Error::UpstreamBroke("an embedding came as a stream".to_owned()))
            }
        }
    }
}
