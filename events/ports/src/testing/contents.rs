//! What is true of every store of contents.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use steward_events::id::TenantId;

use crate::contents::{Before, CONTENT_BYTES_MAX, Content, ContentName, ContentStore};

const LONG: Duration = Duration::from_mins(10);

/// Runs the contract on an empty `store`; panics at the first breach.
pub async fn content_contract(store: Arc<dyn ContentStore>) {
    of_rivals_one_writes(&*store).await;
    names_are_apart(&*store).await;
    contents_end_by_themselves(&*store).await;
    what_is_too_large_is_refused(&*store).await;
}

fn name(tenant: &str, id: &str) -> ContentName {
    ContentName::new(&TenantId::new(tenant).unwrap(), "test", id).unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn text(store: &dyn ContentStore, name: &ContentName) -> Option<String> {
    let found = store.get(name).await.unwrap();
    found.map(|Content { bytes, .. }| String::from_utf8(bytes.to_vec()).unwrap())
}

async fn of_rivals_one_writes(store: &dyn ContentStore) {
    let name = name("acme", "rivals");
    let put = async |text: String, before| store.put(&name, bytes(&text), LONG, before).await.unwrap();
    let firsts = join_all((0..8).map(|number| put(number.to_string(), Before::Nothing))).await;
    let first = match firsts.into_iter().flatten().collect::<Vec<_>>()[..] {
        [first] => first,
        ref several => panic!("{several:?} were first"),
    };
    let seconds = join_all((0..8).map(|number| put(format!("second {number}"), Before::Exactly(first)))).await;
    assert_eq!(seconds.iter().flatten().count(), 1, "{seconds:?}");
    assert!(text(store, &name).await.unwrap().starts_with("second"));
    let last = put("whatever was there".to_owned(), Before::Anything).await.unwrap();
    assert_eq!(store.get(&name).await.unwrap().unwrap().revision, last);
    store.remove(&name).await.unwrap();
    store.remove(&name).await.unwrap();
    assert_eq!(text(store, &name).await, None);
    assert!(put("stale".to_owned(), Before::Exactly(last)).await.is_none());
    assert!(put("anew".to_owned(), Before::Nothing).await.is_some());
}

async fn names_are_apart(store: &dyn ContentStore) {
    let names = [name("acme", "x"), name("globex", "x"), name("acme", "y"), name("acme", "x").part(1)];
    for name in &names {
        store.put(name, bytes(&name.to_string()), LONG, Before::Nothing).await.unwrap().unwrap();
    }
    store.remove(&names[2]).await.unwrap();
    for (at, name) in names.iter().enumerate() {
        assert_eq!(text(store, name).await, (at != 2).then(|| name.to_string()));
    }
    for id in ["", "x.y", "*", ">", "a b"] {
        assert_eq!(ContentName::new(&TenantId::new("acme").unwrap(), "test", id), None);
    }
}

async fn contents_end_by_themselves(store: &dyn ContentStore) {
    let (short, long) = (name("acme", "short"), name("acme", "long"));
    store.put(&short, bytes("short"), Duration::from_secs(1), Before::Nothing).await.unwrap().unwrap();
    store.put(&long, bytes("long"), LONG, Before::Nothing).await.unwrap().unwrap();
    assert_eq!(text(store, &short).await.as_deref(), Some("short"));
    let ended = async {
        while text(store, &short).await.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends");
    assert!(store.put(&short, bytes("anew"), LONG, Before::Nothing).await.unwrap().is_some());
    assert_eq!(text(store, &long).await.as_deref(), Some("long"));
}

async fn what_is_too_large_is_refused(store: &dyn ContentStore) {
    let name = name("acme", "large");
    let most = Bytes::from(vec![7; CONTENT_BYTES_MAX]);
    store.put(&name, most.clone(), LONG, Before::Nothing).await.unwrap().unwrap();
    assert_eq!(store.get(&name).await.unwrap().unwrap().bytes, most);
    assert!(store.put(&name, vec![7; CONTENT_BYTES_MAX + 1].into(), LONG, Before::Anything).await.is_err());
}
