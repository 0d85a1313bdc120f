//! Answers that are one list beside what was used: vectors, judgements, images.

use crate::chat;
use crate::json::Json;
use crate::problem::Problem;
use crate::usage::{self, Usage};

/// What a body says that was sent as such an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is one.
    Listed {
        /// What it says it used.
        usage: Option<Usage>,
        /// How many items the list has.
        items: u64,
    },
    /// It tells what went wrong instead.
    Problem(Problem),
    /// It is nothing of the kind.
    Unreadable,
}

/// Reads a whole body whose list stands under `name`.
pub fn read_whole(body: &[u8], name: &str) -> Answer {
    if chat::is_streamed(body) {
        return Answer::Unreadable;
    }
    let Some(json) = Json::read(body).filter(|json| json.is_object()) else { return Answer::Unreadable };
    let json = json.object();
    match json.get(name).filter(|list| list.is_list()) {
        Some(list) => Answer::Listed { usage: usage::of(&json), items: list.items().count() as u64 },
        None => Problem::instead_of_answer(&json).map_or(Answer::Unreadable, Answer::Problem),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use steward_events::quantity::Tokens;

    use super::*;

    #[test]
    fn a_list_is_counted_and_its_usage_read() {
        let vectors =
            r#"{"object":"list","data":[{"embedding":[0.5]},{"embedding":"AAA="}],"usage":{"prompt_tokens":8}}"#;
        let Answer::Listed { usage: Some(usage), items: 2 } = read_whole(vectors.as_bytes(), "data") else { panic!() };
        assert_eq!((usage.tokens.input, usage.input_is_said, usage.output_is_said), (Tokens(8), true, false));
        let images = r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":5,"output_tokens":272}}"#;
        let Answer::Listed { usage: Some(usage), items: 1 } = read_whole(images.as_bytes(), "data") else { panic!() };
        assert_eq!((usage.tokens.input, usage.tokens.output), (Tokens(5), Tokens(272)));
        let judged = br#"{"id":"modr-1","results":[{"flagged":false}]}"#;
        assert_eq!(read_whole(judged, "results"), Answer::Listed { usage: None, items: 1 });
    }

    #[test]
    fn what_is_no_list_is_a_problem_or_unreadable() {
        let problem = br#"{"object":"error","message":"too long","code":400}"#;
        assert!(matches!(read_whole(problem, "data"), Answer::Problem(_)));
        assert!(matches!(read_whole(br#"{"error":{"message":"no"},"data":null}"#, "data"), Answer::Problem(_)));
        for body in ["", "[]", "{}", r#"{"data":7}"#, r#"{"data":[1"#, "data: {}\n\n"] {
            assert_eq!(read_whole(body.as_bytes(), "data"), Answer::Unreadable, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read_whole(&body, "data");
        }
    }
}
