//! Questions in other words: how near two are, by their embeddings and by the words that count.
//!
//! This module knows texts and vectors; it must not know calls, tenants or what is kept.

use serde::Deserialize;
use steward_events::event::Similarity;

mod words;

use words::Words;

/// The most dimensions that embeddings have.
const DIMENSIONS_MAX: usize = 8_192;

/// What a question is about.
#[derive(Debug)]
pub(crate) struct About {
    /// Its embedding, of length 1.
    vector: Vec<f32>,
    words: Words,
}

impl About {
    /// What `text` is about, of which an embeddings model answered this; none if that is no embedding.
    pub(crate) fn of(text: &str, answer: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            data: [Embedding; 1],
        }
        #[derive(Deserialize)]
        struct Embedding {
            embedding: Vec<f32>,
        }
        let Answer { data: [Embedding { mut embedding }] } = serde_json::from_slice(answer).ok()?;
        let length = dot(&embedding, &embedding).sqrt();
        if !length.is_normal() || embedding.len() > DIMENSIONS_MAX {
            return None;
        }
        for number in &mut embedding {
            *number /= length;
        }
        Some(Self { vector: embedding, words: Words::of(text) })
    }

    /// How near this is to `other`; none if their words say that they ask for different things.
    pub(crate) fn nearness(&self, other: &Self) -> Option<Similarity> {
        let may_be = self.vector.len() == other.vector.len() && self.words.agree(&other.words);
        may_be.then(|| Similarity::of(dot(&self.vector, &other.vector).into()))
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.vector) + self.words.bytes()
    }
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a question is about whose embedding is this.
    pub(crate) fn about(text: &str, embedding: &str) -> Option<About> {
        About::of(text, format!(r#"{{"data":[{{"embedding":{embedding}}}]}}"#).as_bytes())
    }

    #[test]
    fn near_questions_whose_words_agree_are_near() {
        let one = about("reset my password", "[3.0, 4.0]").unwrap();
        let near = |text: &str, embedding: &str| one.nearness(&about(text, embedding).unwrap());
        assert_eq!(near("please reset my password", "[30, 40]"), Some(Similarity::of(1.0)));
        assert_eq!(near("please reset my password", "[4.0, 3.0]"), Some(Similarity::of(0.96)));
        assert_eq!(near("please reset my password", "[-3, -4]"), Some(Similarity::of(0.0)));
        assert_eq!(near("reset two passwords", "[3, 4]"), None);
        assert_eq!(near("reset my password", "[3, 4, 0]"), None, "of another model");
    }

    #[test]
    fn what_is_no_embedding_is_nothing() {
        for embedding in ["[]", "[0, 0]", "\"AAAA\"", "null", "[1e39, 1]", "[1e30, 1e30]"] {
            assert!(about("hi", embedding).is_none(), "{embedding}");
        }
        assert!(About::of("hi", br#"{"data":[]}"#).is_none());
    }
}
