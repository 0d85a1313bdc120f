//! Anthropic's messages: what coding tools and the clients of that API speak.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use steward_answers::chat::Answer;
use steward_answers::messages::{self, Event};
use steward_events::event::Operation;

use super::canonical::TranslatesCaller;
use super::openai_chat::names;
use super::question::{self, Question};
use super::{AnswerEvent, ChoicePiece, CutOff, Dialect, Measured, ModelRequest, Recipient, Speaks, WholeAnswer, sse};
use crate::Refused;
use crate::Total;
use crate::error::Error;

mod betas;
mod request;
mod translate;

pub use betas::{with_betas, without_betas};
pub use request::to_count;

/// The dialect.
#[derive(Clone, Copy, Debug)]
pub struct Anthropic;

/// How a model is told how much to think where a caller of another dialect says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffortForm {
    /// By a word: it decides itself how much that is.
    Word,
    /// By a number of tokens, as older models want it.
    Tokens,
}

/// The one answer that there is has this number.
const ONLY_CHOICE: u64 = 0;

impl Dialect for Anthropic {
    fn operation(&self) -> Operation {
        Operation::Chat
    }

    fn is_spoken(&self, upstream: Speaks) -> bool {
        matches!(upstream, Speaks::Anthropic { .. })
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
        body.set("max_tokens", to.output_max.to_string().into());
        body.write()
    }

    /// Who asks is told to the provider only.
    fn idle_fields(&self, _: &ModelRequest) -> Option<&'static [&'static str]> {
        Some(&["model", "metadata"])
    }

    fn question(&self, request: &ModelRequest) -> Option<Question> {
        let idle = self.idle_fields(request).filter(|_| request.choices == 1)?;
        question::of_messages(&request.body, idle)
    }

    /// What was written for the same dialect is the caller's own: there are no other words for it.
    fn otherwise(&self, refused: &Refused, spoken: Speaks) -> Option<Speaks> {
        if self.is_spoken(spoken) { None } else { spoken.otherwise(refused) }
    }

    fn read_answer(&self, body: &Bytes) -> WholeAnswer {
        match messages::read_whole(body) {
            Answer::Whole { usage, text_bytes } => WholeAnswer::Good(Measured { usage, text_bytes }),
            Answer::Problem(problem) => WholeAnswer::Problem(problem),
            Answer::Streamed => {
                WholeAnswer::Unusable(measured(body), "it answered with a stream that nobody asked for")
            }
            Answer::Unreadable => WholeAnswer::Unusable(Measured::default(), "its answer cannot be read"),
        }
    }

    fn read_event(&self, _: &ModelRequest, data: &Bytes) -> AnswerEvent {
        match messages::read_event(data) {
            Event::Nothing => AnswerEvent::Nothing,
            Event::Done => AnswerEvent::Done,
            Event::Problem(problem) => AnswerEvent::Failed(problem),
            Event::Whole => AnswerEvent::Several(messages::as_events(data)),
            Event::Unreadable => AnswerEvent::Unreadable,
            Event::Piece { usage, text_bytes, ends } => AnswerEvent::Piece {
                data: Some(data.clone()),
                usage,
                only_usage: false,
                text_bytes,
                choices: vec![ChoicePiece { index: ONLY_CHOICE, ends }],
            },
        }
    }

    fn as_events(&self, answer: &Bytes) -> Vec<Bytes> {
        messages::as_events(answer)
    }

    fn put_event(&self, to: &mut BytesMut, data: &[u8]) {
        if let Some(kind) = messages::kind_of(data) {
            to.put_slice(b"event: ");
            to.put_slice(kind.as_bytes());
            to.put_u8(b'\n');
        }
        sse::put_event(to, data);
    }

    fn keep_alive(&self) -> Bytes {
        Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n")
    }

    /// The end of the block that is open, and of the message at `max_tokens`: one event a line.
    fn cut_off(&self, cut: &CutOff<'_>) -> Bytes {
        let mut events = String::new();
        if let Some(index) = messages::open_block(cut.after) {
            events = format!("{}\n", json!({ "type": "content_block_stop", "index": index }));
        }
        let delta = json!({ "stop_reason": "max_tokens", "stop_sequence": null });
        let end = json!({ "type": "message_delta", "delta": delta, "usage": { "output_tokens": cut.output } });
        Bytes::from(events + &end.to_string())
    }

    /// The cost as a comment (clients pass over it), `message_stop`.
    fn end(&self, held: Option<Bytes>, total: &Total) -> Bytes {
        let mut last = BytesMut::new();
        for event in held.iter().flat_map(|held| held.split(|byte| *byte == b'\n')) {
            self.put_event(&mut last, event);
        }
        last.put_slice(format!(": x-steward-response-cost: {}\n", total.cost).as_bytes());
        if let Some(left) = total.budget_left {
            last.put_slice(format!(": x-steward-budget-remaining: {left}\n").as_bytes());
        }
        last.put_u8(b'\n');
        self.put_event(&mut last, br#"{"type":"message_stop"}"#);
        last.freeze()
    }
}

/// Told by the words: a model that knows the one form names it when it is asked in the other.
pub(super) fn otherwise(refused: &Refused, effort: EffortForm) -> Option<Speaks> {
    let said = refused.message.as_deref().unwrap_or_default();
    let is_about = |words: &[&str]| words.iter().any(|word| names::mentions(said, word));
    let effort = match effort {
        EffortForm::Word if is_about(&["adaptive", "effort", "output_config"]) => EffortForm::Tokens,
        EffortForm::Tokens if is_about(&["adaptive", "enabled", "budget_tokens"]) => EffortForm::Word,
        _ => return None,
    };
    (refused.status.as_u16() == 400).then_some(Speaks::Anthropic { effort })
}

/// What a stream says that came as a whole answer.
fn measured(body: &Bytes) -> Measured {
    sse::measured(body, |data| match messages::read_event(data) {
        Event::Piece { usage, text_bytes, .. } => (usage, text_bytes),
        _ => (None, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(data: &str) -> String {
        let mut to = BytesMut::new();
        Anthropic.put_event(&mut to, data.as_bytes());
        String::from_utf8(to.to_vec()).unwrap()
    }

    #[test]
    fn a_request_passes_as_it_is_but_for_model_and_limit() {
        let text = r#"{"model":"ours","max_tokens":90,"messages":[{"role":"user","content":"hi"}],"temperature":0.50,"new_field":{"a" : 1}}"#;
        let request = Anthropic.read(&Bytes::from(text)).unwrap();
        let to = Recipient { speaks: Speaks::Anthropic { effort: EffortForm::Word }, model: "theirs", output_max: 7 };
        let expected = text.replace("ours", "theirs").replace("90", "7");
        assert_eq!(Anthropic.write(&request, &to), expected);
    }

    #[test]
    fn an_event_goes_under_its_own_name() {
        assert_eq!(put(r#"{"type":"message_stop"}"#), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        assert_eq!(put(r#"{"type":"a\nevent: b"}"#), "data: {\"type\":\"a\\nevent: b\"}\n\n", "no line of its own");
    }

    #[test]
    fn an_answer_that_is_cut_off_closes_what_is_open() {
        let (request, model) = ("req_1".parse().unwrap(), "m".parse().unwrap());
        let cut = |after: &str| {
            let cut = CutOff { request: &request, model: &model, at: 1, after: after.as_bytes(), output: 9 };
            String::from_utf8(Anthropic.cut_off(&cut).to_vec()).unwrap()
        };
        let open = cut(r#"{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"a"}}"#);
        let events: Vec<Value> = open.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events[0], json!({ "type": "content_block_stop", "index": 3 }));
        assert_eq!(
            (&events[1]["delta"]["stop_reason"], &events[1]["usage"]["output_tokens"]),
            (&json!("max_tokens"), &json!(9))
        );
        assert_eq!(cut(r#"{"type":"content_block_stop","index":3}"#).lines().count(), 1);
    }

    #[test]
    fn how_a_model_wants_to_be_told_to_think_is_learnt() {
        let learnt = |message: &str, effort| {
            let status = http::StatusCode::BAD_REQUEST;
            otherwise(&Refused { message: Some(message.to_owned()), ..Refused::of(status) }, effort)
        };
        let (word, tokens) = (EffortForm::Word, EffortForm::Tokens);
        let is = |effort| Some(Speaks::Anthropic { effort });
        assert_eq!(learnt("adaptive thinking is not supported on this model", word), is(tokens));
        assert_eq!(learnt("This model does not support the effort parameter.", word), is(tokens));
        assert_eq!(learnt("use thinking.type.adaptive and output_config.effort", tokens), is(word));
        assert_eq!(learnt("messages: roles must alternate", word), None);
    }

    #[test]
    fn what_a_stream_says_that_nobody_asked_for_is_measured() {
        let body = Bytes::from_static(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"good day\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\n");
        let WholeAnswer::Unusable(measured, _) = Anthropic.read_answer(&body) else { panic!() };
        assert_eq!((measured.usage.unwrap().tokens.total().0, measured.text_bytes), (15, 8));
    }
}
