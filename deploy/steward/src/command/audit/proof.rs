//! `steward audit verify --proof`: a proof that was handed on, with nothing beside it but the key.

use std::path::Path;
use std::process::ExitCode;

use steward_events::BoxError;
use steward_events::digest::CommitHash;
use steward_events::digest::TreeHash;
use steward_queries::InclusionProof;
use steward_tlog::proof::{PROOF_HASHES_MAX, includes};
use steward_tlog::{Checkpoint, Note, VerifierKey, leaf};

use crate::output;

/// The most bytes that a proof may have.
const PROOF_BYTES_MAX: u64 = 128 * 1024;

pub(super) fn verify(file: &Path, keys: &[VerifierKey], json: bool) -> Result<ExitCode, BoxError> {
    let text = super::read_small(file, PROOF_BYTES_MAX)?;
    let proof: InclusionProof =
        serde_json::from_str(&text).map_err(|error| format!("{} is not a proof: {error}", file.display()))?;
    if keys.is_empty() {
        return Err("without a trusted key a proof shows nothing: give --verifier-key (see steward audit key)".into());
    }
    let wrong = check(&proof, keys).err().map(|error| error.to_string());
    if json {
        output::json(&serde_json::json!({ "ok": wrong.is_none(), "reason": wrong }))?;
    } else {
        let InclusionProof { tenant, position, commit, index, size, .. } = &proof;
        match &wrong {
            None => {
                println!("{tenant}: the commit {commit} at {position} is number {} of {size} signed: ok", index + 1);
            }
            Some(reason) => println!("{tenant}: the commit {commit} at {position} is NOT proven: {reason}"),
        }
    }
    Ok(super::status(wrong.is_none()))
}

fn check(proof: &InclusionProof, keys: &[VerifierKey]) -> Result<(), BoxError> {
    let note: Note = proof.checkpoint.as_ref().ok_or("the proof has no checkpoint")?.parse()?;
    let state = Checkpoint::read(&note)?;
    if state.origin.rsplit_once('/').is_none_or(|(_, tenant)| tenant != proof.tenant.as_str()) {
        return Err(format!("its checkpoint is about {}", state.origin).into());
    }
    let key = keys
        .iter()
        .find(|key| key.name() == state.origin)
        .ok_or("none of the given keys is called like the checkpoint's origin")?;
    key.verify(&note)?;
    let hash = hash(&proof.commit).ok_or("the proof's commit is not a hash")?;
    let leaf = TreeHash::leaf(&leaf(proof.position, &hash));
    let fits = (state.size, state.root) == (proof.size, proof.root)
        && proof.path.len() <= PROOF_HASHES_MAX
        && includes(leaf, proof.index, proof.size, &proof.path, proof.root);
    if fits { Ok(()) } else { Err("the hashes of the proof do not lead to the signed root".into()) }
}

fn hash(hex: &str) -> Option<CommitHash> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(CommitHash::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use steward_events::quantity::Position;
    use steward_tlog::{Frontier, SigningKey};

    use super::*;

    #[test]
    fn a_proof_verifies_by_itself_but_not_once_changed() {
        let (key, name) = (SigningKey::from_bytes(&[7; 32]), "steward.example/acme");
        let (ours, other) = (CommitHash::of(b"ours"), CommitHash::of(b"other"));
        let leaf_of = |at: u64, hash: &CommitHash| TreeHash::leaf(&leaf(Position(at), hash));
        let mut tree = Frontier::default();
        tree.push(leaf_of(3, &other));
        tree.push(leaf_of(4, &ours));
        let state = Checkpoint { origin: name.to_owned(), size: 2, root: tree.root() };
        let proof = InclusionProof {
            tenant: "acme".parse().unwrap(),
            position: Position(4),
            commit: ours.to_string(),
            index: 1,
            size: 2,
            root: tree.root(),
            path: vec![leaf_of(3, &other)],
            checkpoint: Some(key.sign(&state.text(), name).unwrap().to_string()),
        };
        let keys = [key.verifier(name).unwrap()];
        check(&proof, &keys).unwrap();
        assert!(check(&InclusionProof { position: Position(5), ..proof.clone() }, &keys).is_err());
        assert!(check(&InclusionProof { commit: other.to_string(), ..proof.clone() }, &keys).is_err());
        assert!(check(&InclusionProof { tenant: "globex".parse().unwrap(), ..proof.clone() }, &keys).is_err());
        assert!(check(&InclusionProof { checkpoint: None, ..proof.clone() }, &keys).is_err());
        assert!(check(&InclusionProof { commit: "é".repeat(32), ..proof.clone() }, &keys).is_err());
        let stranger = SigningKey::from_bytes(&[8; 32]).verifier(name).unwrap();
        assert!(check(&proof, &[stranger]).is_err());
    }
}
