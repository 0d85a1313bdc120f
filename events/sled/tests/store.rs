//! The contract, and what happens with folders that are not a whole store of ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::fs;

use steward_ports::store::{Store, Write, contract};
use steward_sled::{Config, Error, SledStore};

#[test]
fn sled_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    contract::keeps(&SledStore::open(folder.path(), &Config::default()).unwrap());
}

#[test]
fn flushed_entries_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path(), &Config::default()).unwrap();
    store.write("t", vec![Write::Put(b"k".to_vec(), b"v".to_vec())]).unwrap();
    store.flush().unwrap();
    drop(store);
    let store = SledStore::open(folder.path(), &Config::default()).unwrap();
    assert_eq!(store.get("t", b"k").unwrap().unwrap(), b"v");
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let error = SledStore::open(folder.path(), &Config::default()).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_store_of_another_version_says_so() {
    let folder = tempfile::tempdir().unwrap();
    drop(SledStore::open(folder.path(), &Config::default()).unwrap());
    fs::write(folder.path().join("steward-store"), "steward store 2\n").unwrap();
    let error = SledStore::open(folder.path(), &Config::default()).unwrap_err();
    assert!(matches!(&error, Error::OtherVersion { found, .. } if found == "steward store 2"), "{error}");
}

#[test]
fn a_folder_claimed_by_a_dead_process_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("steward-store"), "stew").unwrap();
    SledStore::open(folder.path(), &Config::default()).unwrap();
}

#[test]
fn a_store_in_use_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let _open = SledStore::open(folder.path(), &Config::default()).unwrap();
    let error = SledStore::open(folder.path(), &Config::default()).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
}

#[test]
fn a_damaged_store_fails_with_advice_on_its_repair() {
    for damage in ["conf", "db"] {
        let folder = tempfile::tempdir().unwrap();
        let store = SledStore::open(folder.path(), &Config::default()).unwrap();
        for round in 0..50_u8 {
            store.write("t", vec![Write::Put(vec![round], vec![round; 20_000])]).unwrap();
        }
        store.flush().unwrap();
        drop(store);
        let file = folder.path().join(damage);
        let mut bytes = fs::read(&file).unwrap();
        for byte in &mut bytes {
            *byte ^= 0x5a;
        }
        fs::write(&file, &bytes).unwrap();
        let opened = SledStore::open(folder.path(), &Config::default());
        let error = opened.err().unwrap_or_else(|| panic!("{damage} is damaged and the store opened"));
        assert!(error.to_string().contains("rebuilt from the log"), "{damage}: {error}");
    }
}

#[test]
fn damage_yields_an_error_or_earlier_state_never_wrong_data() {
    for at in [5, 30, 50, 70, 95] {
        let folder = tempfile::tempdir().unwrap();
        let store = SledStore::open(folder.path(), &Config::default()).unwrap();
        for round in 0..60_u8 {
            store.write("t", vec![Write::Put(vec![round], vec![round; 20_000])]).unwrap();
        }
        store.flush().unwrap();
        drop(store);
        let file = folder.path().join("db");
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() * at / 100;
        for byte in &mut bytes[middle..middle + 5_000] {
            *byte ^= 0x5a;
        }
        fs::write(&file, &bytes).unwrap();
        let Ok(store) = SledStore::open(folder.path(), &Config::default()) else { continue };
        let Ok(pairs) = store.scan("t", b"", None, usize::MAX) else { continue };
        for (place, (key, value)) in pairs.into_iter().enumerate() {
            assert_eq!(key, [u8::try_from(place).unwrap()], "a hole after damage at {at} %");
            assert!(value.len() == 20_000 && value.iter().all(|byte| *byte == key[0]), "wrong data at {at} %");
        }
    }
}
