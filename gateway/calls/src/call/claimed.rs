//! Authorised → claimed: a call that may come again under its key is made once.

use std::sync::Arc;

use bytes::Bytes;

use super::Pipeline;
use super::accepted::Accepted;
use super::answered::broke_off;
use super::authorised::Authorised;
use super::given::stops;
use super::reply::Reply;
use crate::cache::{CacheUse, Leader};
use crate::claims::{Comes, IdempotencyKey, Taken};
use crate::error::Error;
use crate::run_to_end::Left;

impl Accepted {
    /// Its key and what it asks for, if it may come again.
    pub(super) fn claimed(&self) -> Option<(IdempotencyKey, Bytes)> {
        Some((self.idempotency_key.clone()?, self.body.clone()))
    }
}

impl Pipeline {
    /// Makes the call unless one was made under its key; then gives that one's answer. No answer that other calls got is
    /// looked for: whoever names a call wants to know what became of this one.
    pub(super) async fn run_claimed(
        &self,
        mut call: Box<Authorised>,
        (key, body): (&IdempotencyKey, &Bytes),
        left: &Left,
    ) -> Result<Reply, Error> {
        let taken = tokio::select! {
            taken = self.take(&call, key, body) => taken?,
            () = left.wait() => return Err(broke_off()),
            () = self.cut.cancelled() => return Err(stops()),
        };
        match taken {
            Taken::Answered(kept) => {
                // Waiting may have taken long.
                call.fresh_check(&self.access).await?;
                self.giver.give_kept(call, &kept, CacheUse::Replayed).await
            }
            Taken::Mine(claim) => {
                let claim = Arc::new(claim);
                call.claim = Some(Arc::clone(&claim));
                let answered = self.answer(call, Some(Leader::unkept()), left).await;
                if let Err(error) = &answered {
                    claim.fail(error).await;
                }
                answered
            }
        }
    }

    async fn take(&self, call: &Authorised, key: &IdempotencyKey, body: &Bytes) -> Result<Taken, Error> {
        let holder = &call.key.holder;
        let contents = self.contents.of(&holder.tenant, call.key.shard, &call.id).await?;
        let operation = format!("{:?}", call.dialect.operation());
        let asks: [&[u8]; 3] = [operation.as_bytes(), call.asked_model().as_str().as_bytes(), body];
        let caller = holder.principal.as_str().as_bytes();
        self.claims.take(Comes { contents, caller, key, asks: &asks }).await
    }
}
