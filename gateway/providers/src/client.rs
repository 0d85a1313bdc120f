//! What providers of every kind do alike: to post what goes out, and to read what comes back.

use std::borrow::Cow;

use steward_calls::upstream::{Cause, Failure, Outgoing, UpstreamAnswer};
use steward_events::BoxError;

use crate::answering;
use crate::config::Config;
use crate::http::{Headers, Http, HttpAnswer, Message};
use crate::times::Times;

/// A client of one kind of provider.
pub(crate) struct Client {
    http: Http,
    bounds: Config,
}

impl Client {
    /// With these bounds.
    pub(crate) fn new(bounds: &Config) -> Result<Self, BoxError> {
        Ok(Self { http: Http::new(bounds)?, bounds: bounds.clone() })
    }

    /// Its bounds.
    pub(crate) const fn bounds(&self) -> &Config {
        &self.bounds
    }

    /// How long `outgoing` may take, from now on.
    pub(crate) fn times(&self, outgoing: &Outgoing) -> Times {
        Times::new(&self.bounds, outgoing.time_max)
    }

    /// Posts what goes out to this path below its base URL, and reads the answer.
    pub(crate) async fn ask(
        &self,
        outgoing: Outgoing,
        path: Cow<'static, str>,
        headers: Headers,
    ) -> Result<UpstreamAnswer, Failure> {
        let (times, stream) = (self.times(&outgoing), outgoing.stream);
        let answer = self.post(outgoing, path, headers, times).await?;
        answering::answer(answer, stream, &self.bounds, times).await
    }

    /// Posts what goes out; returns when the head of its answer has come.
    pub(crate) async fn post(
        &self,
        outgoing: Outgoing,
        path: Cow<'static, str>,
        headers: Headers,
        times: Times,
    ) -> Result<HttpAnswer, Failure> {
        let Outgoing { url: base, body, trusted, pre_send_check: check, .. } = outgoing;
        let anywhere = trusted || self.bounds.tenant_providers_anywhere;
        self.http.post(Message { base, path, headers, body, anywhere, times, check }).await
    }
}

/// A failure before anything was sent: how the provider is set up does not go together with what is asked of it.
pub(crate) fn not_to_be_had(why: impl Into<String>) -> Failure {
    Failure::unbilled(Cause::Unreachable(why.into()))
}
