//! Follows the hash chains of streams, commit by commit, and says where one is broken.
//!
//! Knows what a whole chain is; must not know where commits come from: the log and an export are checked alike.

use std::collections::HashMap;

use steward_events::commit::Commit;
use steward_events::digest::CommitHash;
use steward_events::quantity::Version;
use steward_events::stream::StreamName;
use steward_events::timestamp::Timestamp;

/// The chains met so far.
#[derive(Debug, Default)]
pub struct Chains {
    links: HashMap<StreamName, Link>,
}

/// What the next commit of a stream has to follow.
#[derive(Debug)]
struct Link {
    version: Version,
    hash: CommitHash,
    at: Timestamp,
}

impl Chains {
    /// How many streams there are.
    pub fn count(&self) -> u64 {
        self.links.len() as u64
    }

    /// What is wrong with the commit that stands in `stream` with these bytes, whose hash is `hash`; the chain is then
    /// taken up from it, so that one break is told once.
    pub fn follow(&mut self, stream: &StreamName, bytes: &[u8], hash: CommitHash) -> Vec<String> {
        let mut wrong = Vec::new();
        let before = self.links.get(stream);
        let (version, prev, at) =
            before.map_or((Version(0), CommitHash::default(), Timestamp(0)), |link| (link.version, link.hash, link.at));
        let mut link = Link { version: version.next(), hash, at };
        // Decoding checks that the contents are what the subject says.
        match Commit::decode(stream, bytes) {
            Ok(commit) => {
                if commit.version != version.next() {
                    wrong.push(format!("version {} follows version {version}", commit.version));
                }
                if commit.prev != prev {
                    wrong.push(format!("it follows a commit with the hash {}, not {prev}", commit.prev));
                }
                for entry in &commit.entries {
                    if entry.at < link.at {
                        wrong.push(format!("an entry of {} follows one of {}", entry.at, link.at));
                    }
                    link.at = entry.at;
                }
                link.version = commit.version;
            }
            Err(error) => wrong.push(error.to_string()),
        }
        match self.links.get_mut(stream) {
            Some(known) => *known = link,
            None => _ = self.links.insert(stream.clone(), link),
        }
        wrong
    }
}
