//! Posts requests to providers: by the lean client ([`crate::http1`]) wherever it can go, by the general one where a proxy or
//! HTTP/2 is wanted. What came back looks the same.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::Url;
use steward_calls::upstream::{Cause, Failure, PreSendCheck};
use steward_events::BoxError;

use crate::config::Config;
use crate::http1::{self, Connector, Endpoint, Failed, Next, Post};
use crate::public_address::{PublicOnly, may_be_public};
use crate::times::Times;

/// What is posted.
pub(crate) struct Message {
    /// The provider's base URL.
    pub(crate) base: String,
    /// Where below it; may hold a query.
    pub(crate) path: Cow<'static, str>,
    /// What it needs beside the usual headers, e.g. its key.
    pub(crate) headers: Headers,
    /// In JSON.
    pub(crate) body: Bytes,
    /// False if it may go to public addresses only.
    pub(crate) anywhere: bool,
    /// How long it may take.
    pub(crate) times: Times,
    /// To be asked before the body goes.
    pub(crate) check: PreSendCheck,
}

/// Headers of a request, by their names in small letters.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// The header that most providers want their key in.
pub(crate) fn bearer(key: Option<String>) -> Headers {
    key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect()
}

/// An answer whose head has come.
pub(crate) struct HttpAnswer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Incoming,
}

/// A body, as it comes.
pub(crate) enum Incoming {
    /// From the lean client.
    Lean(http1::Body),
    /// From the general one.
    General(BoxStream<'static, Result<Bytes, Failure>>),
}

/// Posts to paths below base URLs.
pub(crate) struct Http {
    lean: ByReach<Connector>,
    /// Made when it is first needed: it has certificates of its own in memory.
    general: OnceLock<ByReach<reqwest::Client>>,
    targets: Targets,
    bounds: Config,
}

/// One for providers that may be anywhere, one for those that may be at public addresses only.
struct ByReach<T> {
    anywhere: T,
    public: T,
}

/// Where a URL leads.
struct Target {
    url: Url,
    /// None if the lean client cannot go there. Connections to public addresses only wait apart.
    lean: Option<ByReach<Endpoint>>,
}

/// Where base URLs and paths lead, each looked at once.
#[derive(Default)]
struct Targets(RwLock<HashMap<String, HashMap<String, Arc<Target>>>>);

/// Base URLs that are kept, and paths of each; beyond that all are forgotten.
const TARGETS_MAX: usize = 1_024;

impl<T> ByReach<T> {
    const fn of(&self, anywhere: bool) -> &T {
        if anywhere { &self.anywhere } else { &self.public }
    }
}

impl Http {
    /// Within these bounds.
    pub(crate) fn new(bounds: &Config) -> Result<Self, BoxError> {
        let tls = http1::tls()?;
        let lean = |public_only| Connector::new(public_only, tls.clone(), bounds.connect_time_max);
        let http = Self {
            lean: ByReach { anywhere: lean(false), public: lean(true) },
            general: OnceLock::new(),
            targets: Targets::default(),
            bounds: bounds.clone(),
        };
        if bounds.proxy.is_some() || bounds.http2 {
            // What is wrong with it is said at the start, not at the first call.
            http.general()?;
        }
        Ok(http)
    }

    fn general(&self) -> Result<&ByReach<reqwest::Client>, BoxError> {
        if let Some(made) = self.general.get() {
            return Ok(made);
        }
        let made = ByReach {
            anywhere: general(&self.bounds)?.build()?,
            public: general(&self.bounds)?.dns_resolver(PublicOnly).build()?,
        };
        Ok(self.general.get_or_init(|| made))
    }

    /// Posts `message`; returns when the head of its answer has come.
    pub(crate) async fn post(&self, message: Message) -> Result<HttpAnswer, Failure> {
        let target = self.targets.of(&message.base, &message.path, &self.bounds)?;
        if !message.anywhere && !may_be_public(&target.url) {
            return Err(Failure::unbilled(Cause::Unfit("it has no public address".to_owned())));
        }
        match &target.lean {
            Some(endpoint) => self.post_lean(endpoint.of(message.anywhere), message).await,
            None => self.post_general(&target.url, message).await,
        }
    }

    async fn post_lean(&self, endpoint: &Endpoint, message: Message) -> Result<HttpAnswer, Failure> {
        let Message { headers, body, anywhere, times, check, .. } = message;
        let post = Post { endpoint, headers: &headers, body };
        let answer = post.send(self.lean.of(anywhere), check, (times.connect, times.head_by())).await;
        let http1::Answer { status, headers, body } = answer.map_err(|failed| match failed {
            Failed::Unreachable(_) | Failed::NotSent => Failure::unbilled(Cause::Unreachable(failed.to_string())),
            Failed::TimedOut => Failure::possibly(Cause::TimedOut("no first byte in time")),
            Failed::Broke(why) => Failure::possibly(Cause::Broke(why)),
        })?;
        Ok(HttpAnswer { status, headers, body: Incoming::Lean(body) })
    }

    async fn post_general(&self, url: &Url, message: Message) -> Result<HttpAnswer, Failure> {
        let Message { headers, body, anywhere, times, check, .. } = message;
        let length = body.len();
        // A stream of one piece, so that the check is made when the connection asks for it.
        let body = stream::once(async move { check.await.map(|()| body) });
        let general = self.general().map_err(|error| Failure::unbilled(Cause::Unreachable(error.to_string())))?;
        let mut request = (general.of(anywhere).post(url.clone()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, length)
            .header(header::ACCEPT_ENCODING, "identity")
            .timeout(times.left())
            .body(reqwest::Body::wrap_stream(body));
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| Failure::unbilled(Cause::Unfit("its key is no header".to_owned())))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let answer = tokio::time::timeout_at(times.head_by(), request.send()).await;
        let answer = match answer {
            Err(_) => return Err(Failure::possibly(Cause::TimedOut("no first byte in time"))),
            Ok(Err(error)) => return Err(failed_to_send(&error)),
            Ok(Ok(answer)) => answer,
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes_stream().map_err(|error| failed_to_read(&error)).boxed();
        Ok(HttpAnswer { status, headers, body: Incoming::General(body) })
    }
}

impl Incoming {
    /// What comes next, as far as it is there already.
    pub(crate) fn next_read(&mut self) -> Result<Next, Failure> {
        match self {
            Self::Lean(body) => body.next_read().map_err(|failed| broke(&failed)),
            Self::General(_) => Ok(Next::More),
        }
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Lean(body) => body.next().await.map_err(|failed| broke(&failed)),
            Self::General(pieces) => pieces.next().await.transpose(),
        }
    }
}

impl Targets {
    fn of(&self, base: &str, path: &str, bounds: &Config) -> Result<Arc<Target>, Failure> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = known.get(base).and_then(|paths| paths.get(path)) {
            return Ok(Arc::clone(target));
        }
        drop(known);
        let url: Url = format!("{}{path}", base.trim_end_matches('/'))
            .parse()
            .map_err(|error| Failure::unbilled(Cause::Unfit(format!("its address is no URL: {error}"))))?;
        let general = bounds.proxy.is_some() || (bounds.http2 && url.scheme() == "https");
        let endpoint = || Endpoint::of(&url).filter(|_| !general);
        let lean = endpoint().zip(endpoint()).map(|(anywhere, public)| ByReach { anywhere, public });
        let target = Arc::new(Target { url, lean });
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= TARGETS_MAX {
            kept.clear();
        }
        let paths = kept.entry(base.to_owned()).or_default();
        if paths.len() >= TARGETS_MAX {
            paths.clear();
        }
        Ok(Arc::clone(paths.entry(path.to_owned()).or_insert(target)))
    }
}

fn general(bounds: &Config) -> Result<reqwest::ClientBuilder, BoxError> {
    let builder = reqwest::Client::builder()
        .connect_timeout(bounds.connect_time_max)
        .timeout(bounds.total_time_max)
        // A redirected POST would lose its body, or carry the provider's key elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .user_agent(concat!("steward/", env!("CARGO_PKG_VERSION")));
    Ok(match &bounds.proxy {
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy)?),
        None => builder.no_proxy(),
    })
}

/// Of the lean client, once the request has gone.
fn broke(failed: &Failed) -> Failure {
    Failure::possibly(Cause::Broke(failed.to_string()))
}

fn failed_to_send(error: &reqwest::Error) -> Failure {
    let why = innermost(error);
    if error.is_connect() || error.is_builder() {
        // Nothing of the request can have arrived.
        Failure::unbilled(Cause::Unreachable(why))
    } else if error.is_timeout() {
        Failure::possibly(Cause::TimedOut("no answer in time"))
    } else {
        Failure::possibly(Cause::Broke(why))
    }
}

fn failed_to_read(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        Failure::possibly(Cause::TimedOut("its answer took too long"))
    } else {
        Failure::possibly(Cause::Broke(innermost(error)))
    }
}

/// The deepest cause: the outer ones name the URL, which is nobody's business.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if std::error::Error::source(error).is_none() {
        "the request could not be sent".to_owned()
    } else {
        cause.to_string()
    }
}
