//! What came of a batch's lines, and the two files that say so: answers, and failures.

use serde::Serialize;
use serde_json::value::RawValue;
use steward_events::event::LineCounts;
use steward_events::id::BatchId;

use super::lines::Line;

/// What came of one line.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The gateway said something, good or not.
    Said {
        /// The HTTP status.
        status: u16,
        /// The request's id, by which the gateway's records name it.
        request_id: String,
        /// What it said.
        body: Box<RawValue>,
    },
    /// There is nothing that the gateway said.
    Failed {
        /// What programs match on.
        code: &'static str,
        /// For people.
        message: String,
    },
}

impl Outcome {
    /// True if it was answered.
    pub(crate) const fn is_good(&self) -> bool {
        matches!(self, Self::Said { status: 200..=299, .. })
    }

    /// How much it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Said { body, .. } => body.get().len(),
            Self::Failed { message, .. } => message.len(),
        }
    }
}

/// A line of a file that a batch makes.
#[derive(Serialize)]
struct Written<'a> {
    id: String,
    custom_id: &'a str,
    response: Option<Response<'a>>,
    error: Option<Failure<'a>>,
}

#[derive(Serialize)]
struct Response<'a> {
    status_code: u16,
    request_id: &'a str,
    body: &'a RawValue,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    message: &'a str,
}

/// The two files of a batch: none if it would be empty.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) answers: Vec<u8>,
    pub(crate) failures: Vec<u8>,
    pub(crate) counts: LineCounts,
}

impl Files {
    /// Adds what came of `line`.
    pub(crate) fn add(&mut self, batch: &BatchId, line: &Line, outcome: &Outcome) -> Result<(), serde_json::Error> {
        let (response, error) = match outcome {
            Outcome::Said { status, request_id, body } => {
                (Some(Response { status_code: *status, request_id, body }), None)
            }
            Outcome::Failed { code, message } => (None, Some(Failure { code, message })),
        };
        let id = format!("{batch}_req_{}", line.number);
        let written = Written { id, custom_id: &line.custom_id, response, error };
        let (file, count) = if outcome.is_good() {
            (&mut self.answers, &mut self.counts.completed)
        } else {
            (&mut self.failures, &mut self.counts.failed)
        };
        serde_json::to_writer(&mut *file, &written)?;
        file.push(b'\n');
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn line(number: u32) -> Line {
        Line { number, custom_id: format!("call-{number}"), body: bytes::Bytes::from_static(b"{}") }
    }

    fn said(status: u16, body: &str) -> Outcome {
        let body = RawValue::from_string(body.to_owned()).unwrap();
        Outcome::Said { status, request_id: "r_1".to_owned(), body }
    }

    #[test]
    fn answers_and_failures_stand_in_files_of_their_own() {
        let (batch, mut files) = (BatchId::of("7").unwrap(), Files::default());
        files.add(&batch, &line(1), &said(200, r#"{"ok": 1.0}"#)).unwrap();
        files.add(&batch, &line(2), &said(402, r#"{"error":{}}"#)).unwrap();
        let failed = Outcome::Failed { code: "batch_expired", message: "too late".to_owned() };
        files.add(&batch, &line(3), &failed).unwrap();
        assert_eq!(files.counts, LineCounts { completed: 1, failed: 2 });
        let answers = String::from_utf8(files.answers).unwrap();
        assert!(answers.contains(r#"{"ok": 1.0}"#), "as it was said: {answers}");
        let rows = |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
        let response = json!({ "status_code": 200, "request_id": "r_1", "body": { "ok": 1.0 } });
        let expected = json!({ "id": "batch_7_req_1", "custom_id": "call-1", "response": response, "error": null });
        assert_eq!(rows(&answers), [expected]);
        let failures = rows(std::str::from_utf8(&files.failures).unwrap());
        assert_eq!(failures[0]["response"]["status_code"], 402);
        assert_eq!(failures[1]["error"], json!({ "code": "batch_expired", "message": "too late" }));
        assert_eq!(failures[1]["response"], Value::Null);
    }
}
