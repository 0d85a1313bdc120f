//! Checkpoints, as C2SP tlog-checkpoint says: which tree, how many leaves, which root.

use steward_events::digest::TreeHash;

use crate::note::Note;

/// One state of one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which tree.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// Its root.
    pub root: TreeHash,
}

/// The text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: {0}")]
pub struct Error(&'static str);

impl Checkpoint {
    /// The text to be signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Reads a note's text. Lines after the third mean nothing here.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(note: &Note) -> Result<Self, Error> {
        let mut lines = note.text.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(Error("it names no origin"))?;
        let size = lines.next().and_then(decimal).ok_or(Error("its second line is no size"))?;
        let root =
            lines.next().and_then(|line| TreeHash::parse(line).ok()).ok_or(Error("its third line is no root"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// A number without leading zeros or signs.
fn decimal(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Note {
        Note { text: text.to_owned(), signatures: vec![] }
    }

    #[test]
    fn a_checkpoint_of_the_specification_is_read() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let read = Checkpoint::read(&note(text)).unwrap();
        assert_eq!((read.origin.as_str(), read.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(read.text(), text);
        assert_eq!(Checkpoint::read(&note(&format!("{text}more\n"))).unwrap(), read);
    }

    #[test]
    fn what_is_none_is_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for text in [
            String::new(),
            "a\n".to_owned(),
            format!("\n1\n{root}\n"),
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            "a\n1\nabcd\n".to_owned(),
            format!("a\n{}0\n{root}\n", u64::MAX),
        ] {
            assert!(Checkpoint::read(&note(&text)).is_err(), "{text:?}");
        }
    }
}
