//! What every store must do; panics where one does not.

#![allow(clippy::unwrap_used)] // a test's assertions, shared by the tests of each store

use crate::store::{Store, Write};

fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put(key.to_vec(), value.to_vec())
}

fn keys(store: &dyn Store, prefix: &[u8], after: Option<&[u8]>, count_max: usize) -> Vec<Vec<u8>> {
    store.scan("t", prefix, after, count_max).unwrap().into_iter().map(|(key, _)| key).collect()
}

/// Runs the contract against an empty store.
pub fn keeps(store: &dyn Store) {
    assert_eq!(store.get("t", b"a").unwrap(), None);
    assert!(keys(store, b"", None, 10).is_empty());

    store.write("t", vec![put(b"a/1", b"1"), put(b"a/2", b"2"), put(b"b/1", b"3"), put(b"a", b"0")]).unwrap();
    store.write("other", vec![put(b"a/1", b"elsewhere")]).unwrap();
    assert_eq!(store.get("t", b"a/1").unwrap().unwrap(), b"1");
    assert_eq!(store.get("other", b"a/1").unwrap().unwrap(), b"elsewhere");

    // In key order; prefix, page and bound.
    assert_eq!(keys(store, b"", None, 10), [&b"a"[..], b"a/1", b"a/2", b"b/1"]);
    assert_eq!(keys(store, b"a/", None, 10), [b"a/1", b"a/2"]);
    assert_eq!(keys(store, b"a/", Some(b"a/1"), 10), [b"a/2"]);
    assert_eq!(keys(store, b"a/", Some(b"a"), 10), [b"a/1", b"a/2"]);
    assert!(keys(store, b"a/", Some(b"b"), 10).is_empty());
    assert_eq!(keys(store, b"", None, 2), [&b"a"[..], b"a/1"]);
    assert!(keys(store, b"", None, 0).is_empty());

    // Within a batch the last write of a key holds.
    let batch = vec![put(b"a/1", b"x"), Write::Delete(b"a/1".to_vec()), put(b"a/2", b"y"), put(b"a/2", b"z")];
    store.write("t", batch).unwrap();
    assert_eq!(store.get("t", b"a/1").unwrap(), None);
    assert_eq!(store.get("t", b"a/2").unwrap().unwrap(), b"z");
    store.write("t", vec![Write::Delete(b"never there".to_vec())]).unwrap();

    store.flush().unwrap();
    assert!(store.size_bytes().unwrap() > 0);

    store.drop_tree("t").unwrap();
    store.drop_tree("t").unwrap();
    assert!(keys(store, b"", None, 10).is_empty());
    assert_eq!(store.get("other", b"a/1").unwrap().unwrap(), b"elsewhere");
    store.write("t", vec![put(b"again", b"1")]).unwrap();
    assert_eq!(keys(store, b"", None, 10), [b"again"]);
}
