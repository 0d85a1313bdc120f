//! A process that writes is killed (SIGKILL) again and again: each batch is there whole or not at all, and all that
//! was flushed is there. Runs itself as the victim, so it has no test harness.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in helpers of tests, too

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use steward_ports::store::{Store, Write};
use steward_sled::{Config, SledStore};

/// So many keys change in each batch.
const KEYS: u8 = 20;
/// So many victims die.
const ROUNDS: u64 = 6;

/// The one test here.
const TEST: &str = "each_batch_is_whole_after_kill";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, folder] = arguments.as_slice()
        && role == "victim"
    {
        write_until_killed(Path::new(folder));
    }
    // What a runner of tests asks for before it runs them.
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("{TEST}: test");
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut flushed = 0;
    for round in 0..ROUNDS {
        flushed = kill_one(folder.path(), Duration::from_millis(150 + 70 * round)).max(flushed);
        let found = batch_found(folder.path());
        assert!(found >= flushed, "batch {flushed} was flushed, the store holds {found}");
        println!("round {round}: flushed up to {flushed}, found {found}");
    }
    assert!(flushed > 0, "no victim ever flushed: this proves nothing");
    println!("test {TEST} ... ok");
}

fn write_until_killed(folder: &Path) -> ! {
    let store = SledStore::open(folder, &Config::default()).unwrap();
    let from = number(store.get("t", b"checkpoint").unwrap());
    for batch in from + 1.. {
        let value = batch.to_be_bytes().to_vec();
        let mut writes: Vec<Write> = (0..KEYS).map(|key| Write::Put(vec![b'k', key], value.clone())).collect();
        writes.push(Write::Put(b"checkpoint".to_vec(), value));
        store.write("t", writes).unwrap();
        if batch % 10 == 0 {
            store.flush().unwrap();
            println!("{batch}");
            std::io::stdout().flush().unwrap();
        }
    }
    unreachable!("killed long before 2^64 batches");
}

/// Starts a victim, kills it after `life` and returns the last batch it said was flushed.
fn kill_one(folder: &Path, life: Duration) -> u64 {
    let victim = std::env::current_exe().unwrap();
    let mut victim = Command::new(victim).arg("victim").arg(folder).stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(victim.stdout.take().unwrap());
    let listening =
        std::thread::spawn(move || said.lines().map_while(Result::ok).filter_map(|l| l.parse().ok()).last());
    std::thread::sleep(life);
    victim.kill().unwrap();
    victim.wait().unwrap();
    listening.join().unwrap().unwrap_or(0)
}

/// The batch that the store holds; all its keys must be of that batch.
fn batch_found(folder: &Path) -> u64 {
    let store = SledStore::open(folder, &Config::default()).unwrap();
    let checkpoint = number(store.get("t", b"checkpoint").unwrap());
    let pairs = store.scan("t", b"k", None, usize::MAX).unwrap();
    assert!(checkpoint == 0 || pairs.len() == usize::from(KEYS), "{} keys", pairs.len());
    for (key, value) in pairs {
        assert_eq!(number(Some(value)), checkpoint, "key {key:?} is of another batch than the checkpoint");
    }
    checkpoint
}

fn number(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}
