//! Guards one rule: what was signed of a tenant's tree is never contradicted.

use steward_events::command::{CheckpointCommand, SignCheckpoint};
use steward_events::digest::TreeHash;
use steward_events::event::CheckpointEvent;
use steward_events::rejection::Rejection;
use steward_events::timestamp::Timestamp;
use steward_tlog::note::NOTE_BYTES_MAX;
use steward_tlog::{Checkpoint as State, Note, VerifierKey};

use crate::aggregate::{Aggregate, Stamp};
use crate::limit;

/// The newest checkpoint of one tenant's tree.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    signed: Option<(u64, TreeHash)>,
}

impl Checkpoint {
    fn sign(&self, sign: &SignCheckpoint, stamp: &Stamp) -> Result<Vec<CheckpointEvent>, Rejection> {
        if !stamp.tenant.is_steward() {
            return Err(Rejection::invalid("tenant", "checkpoints are recorded in the tenant steward"));
        }
        limit::text("note", &sign.note, NOTE_BYTES_MAX)?;
        let note: Note = sign.note.parse().map_err(|error| invalid("note", &error))?;
        let key: VerifierKey = sign.key.parse().map_err(|error| invalid("key", &error))?;
        key.verify(&note).map_err(|error| invalid("note", &error))?;
        let state = State::read(&note).map_err(|error| invalid("note", &error))?;
        if (state.size, state.root) != (sign.size, sign.root) {
            return Err(Rejection::invalid("note", "names another size or root than this command"));
        }
        match self.signed {
            Some((size, root)) if size == sign.size && root != sign.root => {
                let reason = format!("another history of {size} commits was signed before, with the root {root}");
                Err(Rejection::invalid("root", reason))
            }
            // Recorded before, or overtaken by another signer.
            Some((size, _)) if size >= sign.size => Ok(vec![]),
            _ => Ok(vec![CheckpointEvent::Signed {
                tenant: sign.tenant.clone(),
                size: sign.size,
                root: sign.root,
                position: sign.position,
                note: sign.note.clone(),
                key: sign.key.clone(),
            }]),
        }
    }
}

fn invalid(field: &str, error: &dyn std::fmt::Display) -> Rejection {
    Rejection::invalid(field, error.to_string())
}

impl Aggregate for Checkpoint {
    type Command = CheckpointCommand;
    type Event = CheckpointEvent;

    fn decide(&self, command: &CheckpointCommand, stamp: &Stamp) -> Result<Vec<CheckpointEvent>, Rejection> {
        match command {
            CheckpointCommand::RequestCheckpoint(_) => Ok(vec![CheckpointEvent::Requested]),
            CheckpointCommand::SignCheckpoint(sign) => self.sign(sign, stamp),
        }
    }

    fn apply(&mut self, event: &CheckpointEvent, _: Timestamp) {
        match event {
            CheckpointEvent::Requested => {}
            CheckpointEvent::Signed { size, root, .. } => self.signed = Some((*size, *root)),
        }
    }
}

#[cfg(test)]
mod tests {
    use steward_tlog::SigningKey;

    use super::*;
    use crate::spec::given;

    const NAME: &str = "steward.example/acme";

    fn sign(size: u64, root: u8) -> SignCheckpoint {
        let key = SigningKey::from_bytes(&[7; 32]);
        let state = State { origin: NAME.to_owned(), size, root: TreeHash([root; 32]) };
        SignCheckpoint {
            tenant: "acme".parse().unwrap(),
            size,
            root: state.root,
            position: steward_events::quantity::Position(size),
            note: key.sign(&state.text(), NAME).unwrap().to_string(),
            key: key.verifier(NAME).unwrap().to_string(),
        }
    }

    fn signed(size: u64, root: u8) -> CheckpointEvent {
        let SignCheckpoint { tenant, size, root, position, note, key } = sign(size, root);
        CheckpointEvent::Signed { tenant, size, root, position, note, key }
    }

    fn stamped_for(tenant: &str) -> Stamp {
        Stamp {
            command: "c1".parse().unwrap(),
            at: Timestamp(1),
            tenant: tenant.parse().unwrap(),
            actor: "sys_worker".parse().unwrap(),
            key: None,
            on_behalf_of: None,
            reach: tenant.parse().unwrap(),
            timezone: "UTC".to_owned(),
            quotas: steward_events::event::Quotas::default(),
            shards: 8,
        }
    }

    fn decide(before: &[CheckpointEvent], sign: SignCheckpoint) -> Result<Vec<CheckpointEvent>, Rejection> {
        let mut state = Checkpoint::default();
        for event in before {
            state.apply(event, Timestamp(1));
        }
        state.decide(&CheckpointCommand::SignCheckpoint(sign), &stamped_for("steward"))
    }

    #[test]
    fn only_a_larger_tree_than_before_is_recorded() {
        assert_eq!(decide(&[], sign(4, 1)).unwrap(), [signed(4, 1)]);
        assert_eq!(decide(&[signed(4, 1)], sign(9, 2)).unwrap(), [signed(9, 2)]);
        assert_eq!(decide(&[signed(4, 1)], sign(4, 1)).unwrap(), []);
        assert_eq!(decide(&[signed(4, 1)], sign(3, 9)).unwrap(), []);
    }

    #[test]
    fn another_tree_of_the_same_size_is_refused() {
        let refused = decide(&[signed(4, 1)], sign(4, 2)).unwrap_err().to_string();
        assert!(refused.contains("another history of 4 commits"), "{refused}");
    }

    #[test]
    fn text_outside_the_signature_is_refused() {
        assert!(decide(&[], SignCheckpoint { size: 5, ..sign(4, 1) }).is_err());
        assert!(decide(&[], SignCheckpoint { note: sign(5, 1).note, ..sign(4, 1) }).is_err());
        let note = sign(4, 1).note.replacen("\n4\n", "\n5\n", 1);
        assert!(decide(&[], SignCheckpoint { size: 5, note, ..sign(4, 1) }).is_err());
        let state = Checkpoint::default();
        assert!(state.decide(&CheckpointCommand::SignCheckpoint(sign(4, 1)), &stamped_for("acme")).is_err());
    }

    #[test]
    fn anyone_permitted_requests_a_checkpoint() {
        let request = CheckpointCommand::RequestCheckpoint(steward_events::command::RequestCheckpoint {});
        given::<Checkpoint>([]).when(request).then([CheckpointEvent::Requested]);
    }
}
