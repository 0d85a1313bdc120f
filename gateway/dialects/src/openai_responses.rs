//! OpenAI's Responses API.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use steward_answers::json::Json;
use steward_answers::responses::{self, Answer, Event};
use steward_events::event::Operation;

use super::canonical::TranslatesCaller;
use super::openai_chat::LimitField;
use super::{AnswerEvent, CutOff, Dialect, Measured, ModelRequest, Recipient, Speaks, WholeAnswer, sse};
use crate::Refused;
use crate::Total;
use crate::error::Error;

pub mod kept;
mod names;
mod request;
mod translate;

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiResponses;

impl Dialect for OpenAiResponses {
    fn operation(&self) -> Operation {
        Operation::Responses
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        upstream == Speaks::OpenAiResponses
    }

    fn translates(&self) -> Option<&'static dyn TranslatesCaller> {
        Some(&Self)
    }

    fn read(&self, body: &Bytes) -> Result<ModelRequest, Error> {
        request::read(body)
    }

    fn write(&self, request: &ModelRequest, to: &Recipient<'_>) -> Bytes {
        let mut body = request.body.clone();
        body.set("model", Value::from(to.model).to_string().into());
        body.set(request::LIMIT, to.output_max.to_string().into());
        body.write()
    }

    /// A response is stored unless its caller says that it shall not be, and who has its name can build on it or delete it:
    /// such a one is its caller's only. A response repeats whose it is and what for, so that these fields count.
    fn idle_fields(&self, request: &ModelRequest) -> Option<&'static [&'static str]> {
        let is_stored = !matches!(request.body.read_as("store"), Ok(Some(false)));
        (!is_stored).then_some(&["model"])
    }

    fn otherwise(&self, refused: &Refused, spoken: Speaks) -> Option<Speaks> {
        spoken.otherwise(refused)
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        match responses::read_whole(body) {
            Answer::Whole { usage, text_bytes } => WholeAnswer::Good(Measured { usage, text_bytes }),
            Answer::Problem(problem) => WholeAnswer::Problem(problem),
            Answer::Streamed => {
                WholeAnswer::Unusable(measured(body), "it answered with a stream that nobody asked for")
            }
            Answer::Unreadable => WholeAnswer::Unusable(Measured::default(), "its answer cannot be read"),
        }
    }

    fn read_event(&self, _: &ModelRequest, data: &Bytes) -> AnswerEvent {
        match responses::read_event(data) {
            Event::Nothing => AnswerEvent::Nothing,
            Event::Piece(text_bytes) => AnswerEvent::Piece {
                data: Some(data.clone()),
                usage: None,
                only_usage: false,
                text_bytes,
                choices: Vec::new(),
            },
            Event::Last(usage) => AnswerEvent::Last { data: data.clone(), usage },
            Event::Problem(problem) => AnswerEvent::Failed(problem),
            Event::Whole => AnswerEvent::Several(responses::as_events(data)),
            Event::Unreadable => AnswerEvent::Unreadable,
        }
    }

    fn as_events(&self, answer: &Bytes) -> Vec<Bytes> {
        responses::as_events(answer)
    }

    /// Each event also says its kind on a line of its own.
    fn put_event(&self, to: &mut BytesMut, data: &[u8]) {
        if let Some(kind) = responses::kind_of(data) {
            to.put_slice(format!("event: {kind}\n").as_bytes());
        }
        sse::put_event(to, data);
    }

    /// A comment: clients pass over it.
    fn keep_alive(&self) -> Bytes {
        Bytes::from_static(b": the model is at work\n\n")
    }

    /// As a provider says that it stopped at `max_output_tokens`. What was written is not kept here, so it is not repeated.
    fn cut_off(&self, cut: &CutOff<'_>) -> Bytes {
        let response = json!({
            "id": format!("resp_{}", cut.request),
            "object": "response",
            "created_at": cut.at,
            "status": "incomplete",
            "error": null,
            "incomplete_details": { "reason": "max_output_tokens" },
            "model": cut.model,
            "output": [],
            "usage": null,
        });
        let number = Json::begun(cut.after)
            .get("sequence_number")
            .and_then(Json::count)
            .map_or(0, |number| number.saturating_add(1));
        let event = json!({ "type": "response.incomplete", "sequence_number": number, "response": response });
        Bytes::from(event.to_string())
    }

    /// The cost as a comment (clients pass over it), and the event that says that the answer is whole: no other follows.
    fn end(&self, held: Option<Bytes>, total: &Total) -> Bytes {
        let mut last = BytesMut::new();
        last.put_slice(format!(": x-steward-response-cost: {}\n", total.cost).as_bytes());
        if let Some(left) = total.budget_left {
            last.put_slice(format!(": x-steward-budget-remaining: {left}\n").as_bytes());
        }
        last.put_u8(b'\n');
        if let Some(data) = held {
            self.put_event(&mut last, &data);
        }
        last.freeze()
    }
}

/// What a stream says that came as a whole answer.
fn measured(body: &Bytes) -> Measured {
    sse::measured(body, |data| match responses::read_event(data) {
        Event::Piece(text_bytes) => (None, text_bytes),
        Event::Last(usage) => (usage, 0),
        _ => (None, 0),
    })
}

/// A compatible server that does not know the path is spoken with as all of them can be; how it wants that, its refusals of a
/// chat teach.
pub(super) fn otherwise(refused: &Refused) -> Option<Speaks> {
    let chat = Speaks::OpenAiChat { limit_field: LimitField::MaxTokens, only_that: false, stream_options: true };
    has_no_such_path(refused).then_some(chat)
}

/// True if nothing is served at the path: neither the model nor what the request names is what is missing.
fn has_no_such_path(refused: &Refused) -> bool {
    let names = |text: &Option<String>, word: &str| {
        text.as_deref().is_some_and(|text| text.to_ascii_lowercase().contains(word))
    };
    matches!(refused.status.as_u16(), 404 | 405 | 501)
        && !refused.as_answer
        && refused.param.as_deref().is_none_or(str::is_empty)
        && ![&refused.message, &refused.code]
            .iter()
            .any(|said| ["model", "deployment"].iter().any(|word| names(said, word)))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use steward_events::id::{CorrelationId, ModelId};

    use super::*;

    fn read(body: &Value) -> ModelRequest {
        OpenAiResponses.read(&body.to_string().into()).unwrap()
    }

    #[test]
    fn only_model_and_limit_change_on_the_way_out() {
        let body = json!({ "zeta": 1, "model": "ours", "input": [{ "role": "user", "content": "hi" }], "store": false,
            "max_output_tokens": 90, "text": { "format": { "type": "text" } }, "stream": true });
        let to = Recipient { speaks: Speaks::OpenAiResponses, model: "theirs", output_max: 70 };
        let mut expected = body.clone();
        (expected["model"], expected["max_output_tokens"]) = (json!("theirs"), json!(70));
        assert_eq!(OpenAiResponses.write(&read(&body), &to), expected.to_string());
    }

    #[test]
    fn a_server_without_the_path_is_asked_for_a_chat() {
        let learnt = |status: u16, message: &str, code: Option<&str>| {
            let refused = Refused {
                message: Some(message.to_owned()),
                code: code.map(str::to_owned),
                ..Refused::of(StatusCode::from_u16(status).unwrap())
            };
            OpenAiResponses.otherwise(&refused, Speaks::OpenAiResponses)
        };
        for (status, message, code) in [
            (404, "Not Found", None),
            (404, "Unknown request URL: POST /openai/v1/responses", Some("unknown_url")),
            (405, "Method Not Allowed", None),
            (501, "not implemented", None),
        ] {
            assert!(matches!(learnt(status, message, code), Some(Speaks::OpenAiChat { .. })), "{message}");
        }
        for (status, message, code) in [
            (404, "The model `x` does not exist", Some("model_not_found")),
            (404, "nothing here", Some("DeploymentNotFound")),
            (400, "Not Found", None),
            (500, "Not Found", None),
        ] {
            assert_eq!(learnt(status, message, code), None, "{message}");
        }
        assert_eq!(
            OpenAiResponses.otherwise(&Refused::of(StatusCode::NOT_FOUND), Speaks::OpenAiResponses).map(|_| ()),
            Some(())
        );
    }

    #[test]
    fn a_fallen_back_server_goes_on_teaching() {
        let chat = Speaks::OpenAiChat { limit_field: LimitField::MaxTokens, only_that: false, stream_options: true };
        let refused = Refused {
            message: Some("max_tokens is not supported; use max_completion_tokens".to_owned()),
            ..Refused::of(StatusCode::BAD_REQUEST)
        };
        let learnt = OpenAiResponses.otherwise(&refused, chat);
        assert!(matches!(
            learnt,
            Some(Speaks::OpenAiChat { limit_field: LimitField::MaxCompletionTokens, only_that: true, .. })
        ));
    }

    #[test]
    fn what_builds_on_kept_responses_is_bound_to_its_provider() {
        let bound = |field: &str, value: Value| {
            let mut body = json!({ "model": "m", "input": "hi" });
            body[field] = value;
            OpenAiResponses.builds_on(&read(&body))
        };
        for field in request::KEPT {
            assert_eq!(bound(field, json!("resp_1")), Some(*field));
        }
        assert_eq!(bound("input", json!([{ "type": "item_reference", "id": "msg_1" }])), Some("input"));
        assert_eq!(bound("input", json!([{ "role": "user", "content": "item_reference" }])), None);
        assert_eq!([bound("previous_response_id", json!(null)), bound("store", json!(true))], [None, None]);
    }

    #[test]
    fn events_have_lines_for_kind_and_data() {
        let mut to = BytesMut::new();
        OpenAiResponses.put_event(&mut to, br#"{"type":"response.created","n":1}"#);
        assert_eq!(to, "event: response.created\ndata: {\"type\":\"response.created\",\"n\":1}\n\n");
    }

    #[test]
    fn the_last_event_waits_for_the_end() {
        let request = read(&json!({ "model": "m", "input": "hi", "stream": true }));
        let event = |data: Value| OpenAiResponses.read_event(&request, &data.to_string().into());
        let delta = event(json!({ "type": "response.output_text.delta", "delta": "good" }));
        assert!(matches!(delta, AnswerEvent::Piece { data: Some(_), text_bytes: 4, .. }));
        let last = event(json!({ "type": "response.completed",
            "response": { "usage": { "input_tokens": 3, "output_tokens": 2 }, "service_tier": "flex" } }));
        let AnswerEvent::Last { usage: Some(usage), .. } = last else { panic!("{last:?}") };
        assert_eq!((usage.tokens.input.0, usage.tokens.output.0), (3, 2));
        assert!(matches!(event(json!({ "type": "error", "message": "m" })), AnswerEvent::Failed(_)));
    }

    #[test]
    fn a_cut_off_response_is_incomplete_for_its_length() {
        let (request, model) = (CorrelationId::new("req_1").unwrap(), "small".parse::<ModelId>().unwrap());
        let cut = OpenAiResponses.cut_off(&CutOff {
            request: &request,
            model: &model,
            at: 7,
            after: br#"{"sequence_number":4}"#,
            output: 9,
        });
        let cut: Value = serde_json::from_slice(&cut).unwrap();
        assert_eq!((&cut["type"], &cut["sequence_number"]), (&json!("response.incomplete"), &json!(5)));
        assert_eq!(cut["response"]["incomplete_details"]["reason"], "max_output_tokens");
    }

    #[test]
    fn a_stream_that_nobody_asked_for_is_measured() {
        let body = Bytes::from_static(b"event: x\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"good day\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":10,\"output_tokens\":5}}}\n\n");
        let WholeAnswer::Unusable(measured, _) = OpenAiResponses.read_answer(&body) else { panic!() };
        assert_eq!((measured.usage.unwrap().tokens.total().0, measured.text_bytes), (15, 8));
    }
}
