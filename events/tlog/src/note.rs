//! Signed notes, as C2SP signed-note says: a text and who signed it, with Ed25519.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature as Ed25519, Signer, VerifyingKey};
use sha2::{Digest, Sha256};

/// The most bytes that a note may have.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// The most signatures that are read of one note.
pub const SIGNATURES_MAX: usize = 64;

/// The kind of signature that is made and checked here.
const ED25519: u8 = 1;

/// The first bytes of a signature's line: an em dash and a space.
const MARK: &str = "\u{2014} ";

/// A text with its signatures, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What was signed; ends with a line's end.
    pub text: String,
    /// By whom, as the note says.
    pub signatures: Vec<Signature>,
}

/// One line below a note's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: String,
    /// Which key of that name.
    pub id: [u8; 4],
    /// The signature itself.
    pub bytes: Vec<u8>,
}

/// What is wrong with a note or key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The text is no key.
    #[error("not a verifier key such as name+1234abcd+AR…: {0}")]
    MalformedKey(&'static str),
    /// Nobody who counts has signed it.
    #[error("not signed by {0}")]
    NotSigned(String),
    /// The right key's signature does not fit the text.
    #[error("the signature of {0} is wrong: the text or the signature was changed")]
    WrongSignature(String),
}

/// Checks signatures. As text: `<name>+<hash>+<key>`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Name under which the key signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which key of that name: the first bytes of a hash over name and key.
    pub fn id(&self) -> [u8; 4] {
        let hash = Sha256::new_with_prefix(&self.name).chain_update([b'\n', ED25519]).chain_update(self.key.as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// Whether this key has signed `note`.
    ///
    /// # Errors
    /// [`Error::NotSigned`], [`Error::WrongSignature`].
    pub fn verify(&self, note: &Note) -> Result<(), Error> {
        let id = self.id();
        let mut ours = note.signatures.iter().filter(|signature| signature.name == self.name && signature.id == id);
        let signature = ours.next().ok_or_else(|| Error::NotSigned(self.to_string()))?;
        let wrong = || Error::WrongSignature(self.to_string());
        let signature = Ed25519::from_slice(&signature.bytes).map_err(|_| wrong())?;
        self.key.verify_strict(note.text.as_bytes(), &signature).map_err(|_| wrong())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = Error::MalformedKey;
        let (name, rest) = text.split_once('+').ok_or(malformed("it has no parts"))?;
        let (id, key) = rest.split_once('+').ok_or(malformed("it has too few parts"))?;
        if !is_key_name(name) {
            return Err(malformed("its name is empty or has spaces"));
        }
        let key = STANDARD.decode(key).map_err(|_| malformed("its key is not base64"))?;
        let Some((&ED25519, key)) = key.split_first() else { return Err(malformed("it is not an Ed25519 key")) };
        let key = key.try_into().map_err(|_| malformed("its key has not 32 bytes"))?;
        let key = VerifyingKey::from_bytes(key).map_err(|_| malformed("its key is no point on the curve"))?;
        let verifier = Self { name: name.to_owned(), key };
        let said = (id.len() == 8).then(|| u32::from_str_radix(id, 16).ok()).flatten();
        if said.map(u32::to_be_bytes) != Some(verifier.id()) {
            return Err(malformed("its hash does not fit its name and key"));
        }
        Ok(verifier)
    }
}

/// Signs notes. Never shown.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl SigningKey {
    /// From its 32 secret bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(bytes))
    }

    /// What checks its signatures under `name`.
    ///
    /// # Errors
    /// [`Error::MalformedKey`] if `name` is empty or has spaces or a plus sign.
    pub fn verifier(&self, name: &str) -> Result<VerifierKey, Error> {
        if !is_key_name(name) {
            return Err(Error::MalformedKey("its name is empty, or has spaces or a plus sign"));
        }
        Ok(VerifierKey { name: name.to_owned(), key: self.0.verifying_key() })
    }

    /// A short name that only this key has.
    pub fn fingerprint(&self) -> String {
        let hash: [u8; 32] = Sha256::digest(self.0.verifying_key().as_bytes()).into();
        format!("{:08x}", u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]))
    }

    /// `text` signed under `name`.
    ///
    /// # Errors
    /// [`Error`] if the name or the text cannot stand in a note.
    pub fn sign(&self, text: &str, name: &str) -> Result<Note, Error> {
        let verifier = self.verifier(name)?;
        well_formed(text)?;
        let bytes = self.0.sign(text.as_bytes()).to_bytes().to_vec();
        let signature = Signature { name: name.to_owned(), id: verifier.id(), bytes };
        Ok(Note { text: text.to_owned(), signatures: vec![signature] })
    }
}

/// The note as bytes are exchanged.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, id, bytes } in &self.signatures {
            let mut signed = id.to_vec();
            signed.extend_from_slice(bytes);
            writeln!(f, "{MARK}{name} {}", STANDARD.encode(signed))?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = Error;

    fn from_str(note: &str) -> Result<Self, Error> {
        let malformed = Error::Malformed;
        if note.len() > NOTE_BYTES_MAX {
            return Err(malformed("it is too large"));
        }
        let (text, signatures) =
            note.rsplit_once("\n\n").ok_or(malformed("it has no line between text and signatures"))?;
        let text = format!("{text}\n");
        well_formed(&text)?;
        let lines = signatures.strip_suffix('\n').ok_or(malformed("it does not end with a line's end"))?;
        let mut read = Vec::new();
        for line in lines.split('\n') {
            if read.len() >= SIGNATURES_MAX {
                return Err(malformed("it has too many signatures"));
            }
            read.push(signature(line).ok_or(malformed("a signature is not readable"))?);
        }
        Ok(Self { text, signatures: read })
    }
}

fn signature(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix(MARK)?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    (is_key_name(name) && !bytes.is_empty()).then(|| Signature {
        name: name.to_owned(),
        id: *id,
        bytes: bytes.to_vec(),
    })
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn well_formed(text: &str) -> Result<(), Error> {
    if !text.ends_with('\n') || text == "\n" {
        return Err(Error::Malformed("its text is empty or does not end with a line's end"));
    }
    if text.chars().any(|c| c < ' ' && c != '\n') {
        return Err(Error::Malformed("its text has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the Go package `note`, which the format comes from.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_of_others_is_verified() {
        let key: VerifierKey = GO_KEY.parse().unwrap();
        assert_eq!(key.to_string(), GO_KEY);
        let note: Note = GO_NOTE.parse().unwrap();
        assert_eq!(note.to_string(), GO_NOTE);
        key.verify(&note).unwrap();
        let changed = Note { text: note.text.replace("answer", "Answer"), ..note };
        assert_eq!(key.verify(&changed), Err(Error::WrongSignature(GO_KEY.to_owned())));
    }

    #[test]
    fn a_signature_is_verified_by_its_key_only() {
        let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let note: Note = key.sign("a\n\nb\n", "steward.example/acme").unwrap().to_string().parse().unwrap();
        assert_eq!(note.text, "a\n\nb\n");
        key.verifier("steward.example/acme").unwrap().verify(&note).unwrap();
        for (key, name) in [(&other, "steward.example/acme"), (&key, "steward.example/globex")] {
            assert!(matches!(key.verifier(name).unwrap().verify(&note), Err(Error::NotSigned(_))), "{name}");
        }
        assert!(key.verifier("a b").is_err() && key.verifier("").is_err() && key.verifier("a+b").is_err());
        assert!(key.sign("no end", "a").is_err() && key.sign("a\tb\n", "a").is_err());
    }

    #[test]
    fn a_damaged_key_is_none() {
        for text in [
            "",
            "a",
            "a+b",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+AhpcMQcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+AR",
        ] {
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nonsense_is_refused_without_a_panic(text in "\\PC{0,80}", lines in "[\n\u{2014} a-z+/=]{0,120}") {
            let _ = text.parse::<VerifierKey>();
            let _ = text.parse::<Note>();
            if let Ok(note) = format!("a\n\n{lines}").parse::<Note>() {
                prop_assert!(!note.signatures.is_empty());
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(at in 0_usize..200, bit in 0_u8..7) {
            let mut bytes = GO_NOTE.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let key: VerifierKey = GO_KEY.parse().unwrap();
            let read = String::from_utf8(bytes).ok().and_then(|text| text.parse::<Note>().ok());
            prop_assert!(read.is_none_or(|note| key.verify(&note).is_err()));
        }
    }
}
