//! The lines of a batch's file: one call each. What is wrong is said by line, and repeats nothing of what stands there.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use steward_aggregates::batch::PROBLEMS_MAX;
use steward_events::event::{BatchEndpoint, BatchProblem};

/// The longest name that a caller gives a line, in bytes.
const CUSTOM_ID_BYTES_MAX: usize = 512;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number in the file, from 1; lines without anything are counted.
    pub(crate) number: u32,
    /// What its caller calls it.
    pub(crate) custom_id: String,
    /// What is asked, as it stands there.
    pub(crate) body: Bytes,
}

/// A line as it stands there.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    custom_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    method: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    url: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

/// The lines of `file`, at most `lines_max`, which all call `endpoint`.
///
/// # Errors
/// What is wrong, the first of it.
pub(crate) fn read(file: &Bytes, endpoint: BatchEndpoint, lines_max: u32) -> Result<Vec<Line>, Vec<BatchProblem>> {
    let (mut lines, mut problems, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (number, text) in (1_u32..).zip(file.split(|byte| *byte == b'\n')) {
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if lines.len() >= lines_max as usize {
            let message = format!("the file has more than {lines_max} lines: divide it into several batches");
            return Err(vec![problem("too_many_lines", message, None)]);
        }
        match line(file, number, text, endpoint) {
            Ok(line) if !seen.insert(line.custom_id.clone()) => {
                problems.push(problem("duplicate_custom_id", "custom_id stands in a line before", Some(number)));
            }
            Ok(line) => lines.push(line),
            Err(wrong) => problems.push(wrong),
        }
        if problems.len() == PROBLEMS_MAX {
            break;
        }
    }
    if problems.is_empty() && lines.is_empty() {
        problems.push(problem("empty_file", "the file has no lines", None));
    }
    if problems.is_empty() { Ok(lines) } else { Err(problems) }
}

fn line(file: &Bytes, number: u32, text: &[u8], endpoint: BatchEndpoint) -> Result<Line, BatchProblem> {
    let wrong = |code: &str, message: &str| problem(code, message, Some(number));
    let no_json = || wrong("invalid_json_line", "the line is no JSON object with custom_id, method, url and body");
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err(no_json());
    }
    let Said { custom_id, method, url, body } = serde_json::from_slice(text).map_err(|_| no_json())?;
    let missing = |field: &str| wrong("missing_required_parameter", &format!("{field} is missing"));
    let custom_id = custom_id.filter(|id| !id.is_empty()).ok_or_else(|| missing("custom_id"))?;
    if custom_id.len() > CUSTOM_ID_BYTES_MAX {
        let message = format!("custom_id is longer than {CUSTOM_ID_BYTES_MAX} bytes");
        return Err(wrong("invalid_custom_id", &message));
    }
    if method.ok_or_else(|| missing("method"))? != "POST" {
        return Err(wrong("invalid_method", "method must be POST"));
    }
    if url.ok_or_else(|| missing("url"))? != endpoint.path() {
        return Err(wrong("mismatched_url", &format!("url must be the batch's endpoint, {endpoint}")));
    }
    let body = body.ok_or_else(|| missing("body"))?.get();
    let Ok(fields) = serde_json::from_str::<BTreeMap<&str, &RawValue>>(body) else {
        return Err(wrong("invalid_body", "body is no JSON object"));
    };
    if fields.get("stream").is_some_and(|stream| stream.get() == "true") {
        return Err(wrong("invalid_body", "a batch has no streams: leave out stream"));
    }
    Ok(Line { number, custom_id: custom_id.into_owned(), body: file.slice_ref(body.as_bytes()) })
}

fn problem(code: &str, message: impl Into<String>, line: Option<u32>) -> BatchProblem {
    BatchProblem { code: code.to_owned(), message: message.into(), line }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: BatchEndpoint = BatchEndpoint::ChatCompletions;

    fn said(id: &str, url: &str, body: &str) -> String {
        format!(r#"{{"custom_id":"{id}","method":"POST","url":"{url}","body":{body}}}"#)
    }

    fn codes(file: &str) -> Vec<(String, Option<u32>)> {
        let problems = read(&Bytes::from(file.to_owned()), CHAT, 100).unwrap_err();
        problems.into_iter().map(|problem| (problem.code, problem.line)).collect()
    }

    #[test]
    fn a_line_is_sent_as_it_stands_in_the_file() {
        let body = r#"{ "model": "small",  "n":1e0 }"#;
        let file = format!("{}\r\n\n{}", said("a", CHAT.path(), body), said("b", CHAT.path(), "{}"));
        let lines = read(&Bytes::from(file), CHAT, 2).unwrap();
        let seen: Vec<_> = lines.iter().map(|line| (line.number, line.custom_id.as_str(), &line.body[..])).collect();
        assert_eq!(seen, [(1, "a", body.as_bytes()), (3, "b", b"{}".as_slice())]);
    }

    #[test]
    fn each_wrong_line_is_named_and_not_repeated() {
        let good = said("a", CHAT.path(), "{}");
        for (file, expected) in [
            (format!("{good}\nsecret"), ("invalid_json_line", Some(2))),
            ("[]".to_owned(), ("invalid_json_line", Some(1))),
            (format!("{good}\n{good}"), ("duplicate_custom_id", Some(2))),
            (r#"{"method":"POST"}"#.to_owned(), ("missing_required_parameter", Some(1))),
            (good.replace("POST", "GET"), ("invalid_method", Some(1))),
            (said("a", "/v1/embeddings", "{}"), ("mismatched_url", Some(1))),
            (said("a", CHAT.path(), "7"), ("invalid_body", Some(1))),
            (said("a", CHAT.path(), r#"{"stream":true}"#), ("invalid_body", Some(1))),
            (said(&"a".repeat(513), CHAT.path(), "{}"), ("invalid_custom_id", Some(1))),
            ("\n \n".to_owned(), ("empty_file", None)),
        ] {
            let problems = read(&Bytes::from(file.clone()), CHAT, 100).unwrap_err();
            assert_eq!((problems[0].code.as_str(), problems[0].line), expected, "{file}");
            assert!(!problems[0].message.contains("secret"), "{problems:?}");
        }
    }

    #[test]
    fn a_file_has_as_many_lines_as_are_allowed_and_no_more() {
        let file = (0..3).map(|at| said(&at.to_string(), CHAT.path(), "{}")).collect::<Vec<_>>().join("\n");
        assert_eq!(read(&Bytes::from(file.clone()), CHAT, 3).unwrap().len(), 3);
        assert_eq!(read(&Bytes::from(file), CHAT, 2).unwrap_err()[0].code, "too_many_lines");
        assert_eq!(codes(&"x\n".repeat(50)).len(), PROBLEMS_MAX, "more would help nobody");
    }
}
