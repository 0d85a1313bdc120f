//! Kept answers that gateways have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::event::AnswerSource;
use steward_events::id::TenantId;
use steward_ports::clock::SystemClock;
use steward_ports::contents::{Before, Content, ContentName, ContentStore, MemoryContents, Revision};

use crate::installation::{Installation, chat_body, streamed_chat_body};
use crate::kept::{chat, given, heard, with_contents};

/// Asks a gateway at `url`.
async fn chat_at(steward: &Installation, url: &str, key: &str, body: &Value) -> (String, String) {
    let request = steward.http.post(format!("{url}/v1/chat/completions")).bearer_auth(key).json(body);
    heard(request.send().await.unwrap()).await
}

/// A store that tells how often something was put there.
struct Counting {
    contents: MemoryContents,
    puts: AtomicUsize,
}

impl Counting {
    fn new() -> Arc<Self> {
        let contents = MemoryContents::new(Arc::new(SystemClock::default()));
        Arc::new(Self { contents, puts: AtomicUsize::new(0) })
    }

    /// Waits for so many: no call waits until its answer is there.
    async fn have(&self, count: usize) {
        for _ in 0..500 {
            if self.puts.load(Ordering::SeqCst) >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?} of {count} came", self.puts);
    }
}

#[async_trait]
impl ContentStore for Counting {
    async fn get(&self, name: &ContentName) -> Result<Option<Content>, BoxError> {
        self.contents.get(name).await
    }

    async fn put(
        &self,
        name: &ContentName,
        bytes: Bytes,
        kept: Duration,
        before: Before,
    ) -> Result<Option<Revision>, BoxError> {
        let put = self.contents.put(name, bytes, kept, before).await;
        self.puts.fetch_add(1, Ordering::SeqCst);
        put
    }

    async fn remove(&self, name: &ContentName) -> Result<(), BoxError> {
        self.contents.remove(name).await
    }

    async fn remove_all(&self, tenant: &TenantId) -> Result<u64, BoxError> {
        self.contents.remove_all(tenant).await
    }
}

#[tokio::test]
async fn another_gateway_gives_what_one_kept() {
    let store = Counting::new();
    let policy = json!({ "ttl_s": 600, "coalesce": true, "shared": true });
    let (steward, key) = with_contents("mock/plain", policy, Some(Arc::clone(&store) as Arc<dyn ContentStore>)).await;
    let mut streamed = streamed_chat_body("small", "hello");
    streamed["stream_options"] = json!({ "include_usage": true });
    let plain_stream = streamed_chat_body("small", "hello");
    for (asked, body) in (1..).zip([chat_body("small", "hello"), streamed, plain_stream]) {
        let (used, answer) = chat(&steward, &key, &body).await;
        assert_eq!(used, "miss");
        store.have(asked).await;
        let other = steward.another_gateway().await;
        // From the store, then from its own memory.
        for _ in 0..2 {
            let (used, again) = chat_at(&steward, &other, &key, &body).await;
            assert_eq!(
                (used, again.replace("cost: $0.00\n", "cost: $0.0000114\n")),
                ("hit".to_owned(), answer.clone())
            );
        }
        assert_eq!(steward.upstream.asked().len(), asked);
    }
    let all = given(&steward).await;
    assert!(all.len() == 6 && all.iter().all(|(source, ..)| *source == AnswerSource::Cache), "{all:?}");

    // What is another tenant's is so there too, and what is purged is gone there too.
    let body = chat_body("small", "hello");
    steward.create_tenant("globex").await;
    let elsewhere = steward.key_of("globex", "bot", Some("agent")).await;
    let third = steward.another_gateway().await;
    assert_eq!(chat_at(&steward, &third, &elsewhere, &body).await.0, "miss");
    steward.command("steward", "caches:purge", json!({ "model": "small" })).await;
    assert_eq!(chat_at(&steward, &steward.another_gateway().await, &key, &body).await.0, "miss");
}

#[tokio::test]
async fn what_is_not_to_be_shared_stays_where_it_was_kept() {
    let store = Counting::new();
    let (steward, key) =
        with_contents("mock/plain", json!({ "ttl_s": 600 }), Some(Arc::clone(&store) as Arc<dyn ContentStore>)).await;
    let body = chat_body("small", "hello");
    assert_eq!(chat(&steward, &key, &body).await.0, "miss");
    let other = steward.another_gateway().await;
    assert_eq!(chat_at(&steward, &other, &key, &body).await.0, "miss");
    assert_eq!(store.puts.load(Ordering::SeqCst), 0);
}

/// A store that never answers, or says that it cannot.
struct Broken {
    hangs: bool,
}

impl Broken {
    async fn answer<T>(&self) -> Result<T, BoxError> {
        if self.hangs { std::future::pending().await } else { Err("it is away".into()) }
    }
}

#[async_trait]
impl ContentStore for Broken {
    async fn get(&self, _: &ContentName) -> Result<Option<Content>, BoxError> {
        self.answer().await
    }

    async fn put(&self, _: &ContentName, _: Bytes, _: Duration, _: Before) -> Result<Option<Revision>, BoxError> {
        self.answer().await
    }

    async fn remove(&self, _: &ContentName) -> Result<(), BoxError> {
        self.answer().await
    }

    async fn remove_all(&self, _: &TenantId) -> Result<u64, BoxError> {
        self.answer().await
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_a_miss() {
    for hangs in [false, true] {
        let policy = json!({ "ttl_s": 600, "coalesce": true, "shared": true });
        let (steward, key) = with_contents("mock/plain", policy, Some(Arc::new(Broken { hangs }))).await;
        for text in ["one", "two"] {
            let body = chat_body("small", text);
            assert_eq!(chat(&steward, &key, &body).await.0, "miss");
            assert_eq!(chat(&steward, &key, &body).await.0, "hit", "this gateway has it");
        }
    }
}
