//! What providers answer in the wild, byte for byte: what callers get of it, and what is booked.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use steward_events::event::CallOutcome;

use crate::installation::{FinishedCall, Installation, Settings, chat_body, streamed_chat_body};
use crate::raw::{
    Part, RawUpstream, STOP, TEN_AND_FIVE, USAGE, delta, events, good_stream, good_whole, gzip, http, ok,
};

/// What the good answer costs: 10 tokens at $1 a million, 5 at $2.
const GOOD_NANO: u64 = 20_000;

struct Scene {
    steward: Installation,
    raw: RawUpstream,
    key: String,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let steward = Installation::start(change).await;
        let raw = RawUpstream::start().await;
        steward
            .command("steward", "providers:set", json!({ "provider": "raw", "kind": "openai", "url": raw.url }))
            .await;
        let key = steward.key("bot", Some("agent")).await;
        Self { steward, raw, key }
    }

    /// Calls a model that is answered so. Gives back status, headers, text, and what was booked.
    async fn call(&self, answer: Vec<u8>, stream: bool) -> (u16, reqwest::header::HeaderMap, String, FinishedCall) {
        self.raw.answer("m", answer);
        self.steward.model("small", &["raw/m"]).await;
        let before = self.steward.finished_calls().await.len();
        let body = if stream { streamed_chat_body("small", "hi") } else { chat_body("small", "hi") };
        let response = self.steward.chat(&self.key, &body).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let finished = self.steward.await_finished(before + 1).await;
        // What may pass soon is asked again, and each attempt is booked for itself.
        assert!(finished[before..].iter().all(|attempt| *attempt == finished[before]), "{finished:?}");
        (status, headers, text, finished[before].clone())
    }
}

/// The text of a stream or of a whole answer.
fn said(text: &str, stream: bool) -> String {
    if !stream {
        let answer: Value =
            serde_json::from_str(text.trim_start_matches('\u{feff}').replace("NaN", "0").as_str()).unwrap();
        return answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.filter_map(|data| {
        let chunk: Value = serde_json::from_str(data).ok()?;
        chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
    })
    .collect()
}

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

#[tokio::test]
async fn whatever_official_clients_read_is_the_good_answer() {
    let scene = Scene::new().await;
    let good = good_stream();
    let whole = good_whole(TEN_AND_FIVE, "");
    let with_error = |error: &str| good.replace("\"id\":\"c1\"", &format!("\"id\":\"c1\",\"error\":{error}"));
    let mut cases: Vec<(String, bool, Vec<u8>)> = vec![
        ("empty data".into(), true, ok(SSE, good.replacen("\n\n", "\n\ndata: \n\ndata:\n\n", 2))),
        ("as text".into(), true, ok("text/plain; charset=utf-8", &good)),
        ("as JSON".into(), true, ok(JSON, &good)),
        ("without a type".into(), true, http("200 OK", "", &good)),
        ("a comment first, as JSON".into(), true, ok(JSON, format!(": busy\n\n{good}"))),
        ("blank lines first".into(), true, ok(JSON, format!("\n\n{good}"))),
        ("CR LF".into(), true, ok(SSE, good.replace('\n', "\r\n"))),
        ("no blank".into(), true, ok(SSE, good.replace("data: ", "data:"))),
        ("retry, id and event alone".into(), true, ok(SSE, format!("retry: 3000\n\nid: 1\n\nevent: ping\n\n{good}"))),
        (
            "usage null in each".into(),
            true,
            ok(SSE, good.replace("\"finish_reason\":null}]", "\"finish_reason\":null}],\"usage\":null")),
        ),
        ("usage twice".into(), true, ok(SSE, good.replace("\"usage\":{", "\"usage\":null,\"usage\":{"))),
        ("201 as a stream".into(), true, http("201 Created", "content-type: text/event-stream\r\n", &good)),
        (
            "gzip as a stream".into(),
            true,
            http("200 OK", "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n", gzip(good.as_bytes())),
        ),
        ("whole for a stream".into(), true, ok(JSON, &whole)),
        ("whole for a stream, as a stream".into(), true, ok(SSE, &whole)),
        ("whole as one event".into(), true, ok(SSE, events(&[&whole, &"[DONE]".to_owned()]))),
        ("NaN where nobody looks".into(), false, ok(JSON, good_whole(TEN_AND_FIVE, ",\"score\":NaN"))),
        ("as text, whole".into(), false, ok("text/plain", &whole)),
        ("without a type, whole".into(), false, http("200 OK", "", &whole)),
        ("a byte order mark".into(), false, ok(JSON, format!("\u{feff}{whole}"))),
        (
            "gzip".into(),
            false,
            http("200 OK", "content-type: application/json\r\ncontent-encoding: gzip\r\n", gzip(whole.as_bytes())),
        ),
        (
            "HTTP/1.0".into(),
            false,
            format!("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{whole}").into_bytes(),
        ),
    ];
    for error in ["null", "\"\"", "{}", "false", "0", "[]"] {
        cases.push((format!("error {error}"), true, ok(SSE, with_error(error))));
        cases.push((
            format!("error {error}, whole"),
            false,
            ok(JSON, good_whole(TEN_AND_FIVE, &format!(",\"error\":{error}"))),
        ));
    }
    for status in
        ["201 Created", "202 Accepted", "203 Non-Authoritative Information", "206 Partial Content", "299 Fine"]
    {
        cases.push((status.to_owned(), false, http(status, "content-type: application/json\r\n", &whole)));
    }
    for (name, stream, answer) in cases {
        let (status, _, text, finished) = scene.call(answer, stream).await;
        assert_eq!((status, said(&text, stream).as_str()), (200, "good day"), "{name}: {text}");
        assert!(!stream || text.ends_with("data: [DONE]\n\n"), "{name}: {text}");
        assert_eq!((&finished.outcome, finished.cost.0), (&CallOutcome::Completed, GOOD_NANO), "{name}: {finished:?}");
    }
    let asked = scene.raw.asked();
    assert!(asked.iter().all(|(head, _)| head.contains("accept-encoding: identity")));
}

#[tokio::test]
async fn odd_streams_pass_as_they_came() {
    let scene = Scene::new().await;
    let half = [
        r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"\ud83d"},"finish_reason":null}]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"\ude00"},"finish_reason":null}]}"#,
    ];
    let (_, _, text, finished) = scene.call(ok(SSE, events(&[half[0], half[1], STOP, USAGE, "[DONE]"])), true).await;
    assert!(text.contains(half[0]) && text.contains(half[1]), "{text}");
    assert_eq!((&finished.outcome, finished.cost.0), (&CallOutcome::Completed, GOOD_NANO));
    let twice = r#"{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":"hm","reasoning_content":"hm"},"finish_reason":null}]}"#;
    let (_, _, text, finished) =
        scene.call(ok(SSE, events(&[twice, &delta("good day"), STOP, USAGE, "[DONE]"])), true).await;
    assert!(text.contains(twice) && finished.cost.0 == GOOD_NANO, "{text}");
    let large = delta(&"x".repeat(1_500_000));
    let (_, _, text, finished) = scene.call(ok(SSE, events(&[&large, STOP, USAGE, "[DONE]"])), true).await;
    assert!(text.len() > 1_500_000 && text.ends_with("[DONE]\n\n"), "{} bytes", text.len());
    assert_eq!((&finished.outcome, finished.cost.0), (&CallOutcome::Completed, GOOD_NANO));
    let lines = "data: {\"id\":\"c1\",\ndata: \"choices\":[{\"index\":0,\"delta\":{\"content\":\"good day\"}}]}\n\n";
    let (_, _, _, finished) = scene.call(ok(SSE, format!("{lines}{}", events(&[STOP, USAGE, "[DONE]"]))), true).await;
    assert_eq!((&finished.outcome, finished.cost.0), (&CallOutcome::Completed, GOOD_NANO));
}

#[tokio::test]
async fn what_is_not_whole_is_broken_off() {
    let scene = Scene::new().await;
    let unfinished = |text: &str| delta(text).replace("null", "\"\"");
    let second = r#"{"choices":[{"index":1,"delta":{"content":"long and not yet"},"finish_reason":null}]}"#;
    for (name, body) in [
        ("an empty reason", events(&[unfinished("one "), unfinished("two "), unfinished("thr")])),
        ("one of two choices", events(&[delta("short"), second.to_owned(), STOP.to_owned()])),
        ("an error after some text", events(&[delta("good"), r#"{"error":{"message":"the supplier hung up"},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#.to_owned()])),
        ("a flat error", events(&[delta("good"), r#"{"object":"error","message":"the supplier hung up","code":500}"#.to_owned()])),
    ] {
        let (status, _, text, finished) = scene.call(ok(SSE, body), true).await;
        assert_eq!(status, 200, "{name}");
        assert!(!text.contains("[DONE]"), "{name}: {text}");
        let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
        let error: Value = serde_json::from_str(last).unwrap();
        assert!(error["error"]["message"].is_string(), "{name}: {last}");
        assert!(!name.contains("error") || last.contains("the supplier hung up"), "{name}: {last}");
        assert!(matches!(finished.outcome, CallOutcome::Estimated { closed: false, .. }), "{name}: {finished:?}");
    }
}

#[tokio::test]
async fn an_endless_stream_with_an_empty_reason_is_cut_off() {
    let scene = Scene::new().await;
    let word = delta("abcdefghijkl").replace("null", "\"\"");
    let answer = ok(SSE, events(&vec![word.as_str(); 4_000]) + &events(&[STOP, "[DONE]"]));
    let (_, _, text, finished) = scene.call(answer, true).await;
    assert!(said(&text, true).len() < 1_200, "50 tokens were reserved");
    assert!(matches!(&finished.outcome, CallOutcome::Estimated { reason, .. } if reason.contains("used up")));
}

#[tokio::test]
async fn usage_is_read_wherever_and_however_it_is_written() {
    let scene = Scene::new().await;
    let in_choice = STOP.replace("\"stop\"", "\"stop\",\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":500}");
    let groq = r#"{"choices":[],"x_groq":{"usage":{"prompt_tokens":1000,"completion_tokens":500}}}"#;
    for (name, answer, stream, cost, completed) in [
        ("in the last choice", ok(SSE, events(&[&delta("good day"), &in_choice, "[DONE]"])), true, 2_000_000, true),
        (
            "in an object of its own",
            ok(SSE, events(&[&delta("good day"), STOP, groq, "[DONE]"])),
            true,
            2_000_000,
            true,
        ),
        (
            "twice, and the later is less",
            ok(SSE, events(&[&delta("good day"), STOP, &USAGE.replace("10", "99"), USAGE, "[DONE]"])),
            true,
            GOOD_NANO,
            true,
        ),
        (
            "a larger total",
            ok(JSON, good_whole(r#"{"prompt_tokens":7,"completion_tokens":20,"total_tokens":127}"#, "")),
            false,
            247_000,
            true,
        ),
        (
            "thinking beside",
            ok(
                JSON,
                good_whole(
                    r#"{"prompt_tokens":7,"completion_tokens":20,"total_tokens":127,"completion_tokens_details":{"reasoning_tokens":100}}"#,
                    "",
                ),
            ),
            false,
            247_000,
            true,
        ),
        (
            "with fractions",
            ok(JSON, good_whole(r#"{"prompt_tokens":1000.0,"completion_tokens":500.0}"#, "")),
            false,
            2_000_000,
            true,
        ),
        (
            "as texts",
            ok(JSON, good_whole(r#"{"prompt_tokens":"1000","completion_tokens":"500"}"#, "")),
            false,
            2_000_000,
            true,
        ),
        (
            "no output",
            ok(JSON, good_whole(r#"{"prompt_tokens":1000,"completion_tokens":null,"total_tokens":1000}"#, "")),
            false,
            1_004_000,
            false,
        ),
        (
            "nothing came out",
            ok(
                JSON,
                r#"{"choices":[{"index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":1000,"total_tokens":1000}}"#,
            ),
            false,
            1_000_000,
            true,
        ),
        ("a stream nobody asked for", ok(SSE, good_stream()), false, GOOD_NANO, true),
    ] {
        let (_, _, text, finished) = scene.call(answer, stream).await;
        assert_eq!(finished.cost.0, cost, "{name}: {finished:?} {text}");
        assert_eq!(finished.outcome == CallOutcome::Completed, completed, "{name}: {finished:?}");
    }
}

#[tokio::test]
async fn usage_that_cannot_be_is_not_believed() {
    let scene = Scene::new().await;
    for number in ["9223372036854775807", "1e300", "18446744073709551615", "4000000000"] {
        let usage = format!(r#"{{"prompt_tokens":{number},"completion_tokens":{number}}}"#);
        let (status, _, _, finished) = scene.call(ok(JSON, good_whole(&usage, "")), false).await;
        assert_eq!(status, 200);
        assert_eq!(
            (finished.tokens.input.0, finished.tokens.output.0),
            (8_192, 8_192),
            "what the model reads and writes"
        );
        assert!(
            matches!(&finished.outcome, CallOutcome::Estimated { reason, closed: true } if reason.contains("more than"))
        );
    }
}

#[tokio::test]
async fn errors_are_told_in_the_providers_words() {
    let scene = Scene::new().await;
    let long = format!(
        r#"{{"error":{{"message":"the prompt is too long","type":"t","code":"context_length_exceeded","echo":"{}"}}}}"#,
        "x".repeat(200_000)
    );
    let busy = r#"{"error":{"message":"all our suppliers are busy","code":429},"user_id":"u1"}"#;
    let no_tools = r#"{"error":{"message":"no supplier of this model takes tools","code":404}}"#;
    let flat = r#"{"object":"error","message":"the prompt is 904 tokens too long","type":"BadRequestError","param":"messages","code":400}"#;
    let detail =
        r#"{"detail":[{"type":"extra_forbidden","loc":["body","logit_bias"],"msg":"this field is not known here"}]}"#;
    let refused = |status: &str, body: &str| http(status, "content-type: application/json\r\n", body);
    for (answer, stream, status, words, code) in [
        (refused("400 Bad Request", flat), false, 400, "904 tokens", "upstream_refused"),
        (refused("422 Unprocessable Entity", detail), false, 422, "this field is not known here", "upstream_refused"),
        (
            refused("422 Unprocessable Entity", r#"{"detail":"no such thing"}"#),
            true,
            422,
            "no such thing",
            "upstream_refused",
        ),
        (refused("400 Bad Request", &long), false, 400, "the prompt is too long", "context_length_exceeded"),
        (refused("200 OK", busy), false, 429, "all our suppliers are busy", "rate_limit_exceeded"),
        (refused("200 OK", no_tools), true, 404, "takes tools", "upstream_refused"),
        (refused("200 OK", r#"{"error":"out of order"}"#), true, 502, "out of order", "upstream_refused"),
        (
            http(
                "400 Bad Request",
                "content-type: application/json\r\ncontent-encoding: gzip\r\n",
                gzip(flat.as_bytes()),
            ),
            false,
            400,
            "904 tokens",
            "upstream_refused",
        ),
    ] {
        let (got, _, text, finished) = scene.call(answer, stream).await;
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((got, error["error"]["code"].as_str()), (status, Some(code)), "{text}");
        assert!(error["error"]["message"].as_str().unwrap().contains(words), "{text}");
        assert!(matches!(finished.outcome, CallOutcome::NotBilled { .. }), "{finished:?}");
    }
    let (_, headers, text, _) = scene.call(refused("400 Bad Request", flat), false).await;
    assert!(text.contains("\"param\":\"messages\"") && !headers.contains_key("x-steward-response-cost"), "{text}");
}

#[tokio::test]
async fn an_error_in_place_of_an_answer_goes_on_to_the_next_target() {
    let scene = Scene::new().await;
    scene.raw.answer("good", ok(JSON, good_whole(TEN_AND_FIVE, "")));
    let empty = r#"{"error":{"message":"the account has no credit left","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    for bad in [
        ok(JSON, r#"{"error":{"message":"busy","code":429}}"#),
        ok(JSON, r#"{"error":{"message":"bad","code":400}}"#),
        http("429 Too Many Requests", "content-type: application/json\r\n", empty),
    ] {
        scene.raw.answer("bad", bad);
        scene.steward.model("small", &["raw/bad", "raw/good"]).await;
        let response = scene.steward.chat(&scene.key, &chat_body("small", "hi")).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-steward-attempts"]),
            (200, &"2".parse().unwrap())
        );
    }
    scene.steward.model("small", &["raw/bad"]).await;
    let response = scene.steward.chat(&scene.key, &chat_body("small", "hi")).await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-should-retry"]), (502, &"false".parse().unwrap()));
    let text = response.text().await.unwrap();
    assert!(text.contains("upstream_out_of_credit") && text.contains("no credit"), "{text}");
}

#[tokio::test]
async fn a_provider_says_when_to_come_back_in_any_form() {
    let scene = Scene::new().await;
    let now = std::time::Duration::from_micros(
        steward_ports::clock::Clock::now(&steward_ports::clock::SystemClock::default()).0,
    );
    let moment = jiff::Timestamp::from_second(i64::try_from(now.as_secs()).unwrap() + 30).unwrap();
    let date = moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (header, at_least, at_most) in [
        (format!("retry-after: {date}"), 29, 31),
        ("retry-after: 7".to_owned(), 7, 7),
        ("retry-after: 2.2".to_owned(), 3, 3),
        ("retry-after-ms: 4100".to_owned(), 5, 5),
    ] {
        let body = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;
        let answer = http("429 Too Many Requests", &format!("content-type: application/json\r\n{header}\r\n"), body);
        let (status, headers, _, _) = scene.call(answer, false).await;
        let after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(status == 429 && (at_least..=at_most).contains(&after), "{header}: {after}");
    }
}

#[tokio::test]
async fn what_a_provider_will_not_take_is_asked_otherwise_and_remembered() {
    let scene = Scene::new().await;
    scene.raw.answer_by("m", |body| {
        let refused = |field: &str, other: &str| {
            let error = json!({ "error": { "message": format!("this model knows {other}, not {field}"), "param": field, "code": "unsupported_parameter" } });
            vec![Part(Duration::ZERO, http("400 Bad Request", "content-type: application/json\r\n", error.to_string()))]
        };
        if body.get("stream_options").is_some() {
            return refused("stream_options", "nothing of the kind");
        }
        if body.get("max_tokens").is_some() {
            return refused("max_tokens", "max_completion_tokens");
        }
        let (kind, text) = if body["stream"] == true { (SSE, good_stream()) } else { (JSON, good_whole(TEN_AND_FIVE, "")) };
        vec![Part(Duration::ZERO, ok(kind, text))]
    });
    scene.steward.model("small", &["raw/m"]).await;
    for (calls, body) in
        [(3, streamed_chat_body("small", "hi")), (1, chat_body("small", "hi")), (1, streamed_chat_body("small", "hi"))]
    {
        let before = scene.raw.asked().len();
        let response = scene.steward.chat(&scene.key, &body).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-steward-attempts"]),
            (200, &"1".parse().unwrap())
        );
        response.text().await.unwrap();
        assert_eq!(scene.raw.asked().len() - before, calls, "learnt once");
        let (_, asked) = scene.raw.asked().pop().unwrap();
        assert_eq!((asked["max_completion_tokens"].as_u64(), asked.get("max_tokens")), (Some(50), None));
    }
    for finished in scene.steward.await_finished(3).await {
        assert_eq!((&finished.outcome, finished.cost.0), (&CallOutcome::Completed, GOOD_NANO), "metered by its usage");
    }
}

#[tokio::test]
async fn a_caller_hears_something_while_its_model_thinks() {
    let scene = Scene::with(|settings| settings.config.calls.keep_alive_every = Duration::from_millis(100)).await;
    scene.raw.answer_by("m", |_| {
        vec![Part(Duration::ZERO, ok(SSE, "")), Part(Duration::from_secs(1), good_stream().into_bytes())]
    });
    scene.steward.model("small", &["raw/m"]).await;
    let mut pieces = scene.steward.chat(&scene.key, &streamed_chat_body("small", "hi")).await.bytes_stream();
    let mut text = String::new();
    while let Ok(Some(piece)) = tokio::time::timeout(Duration::from_millis(600), pieces.next()).await {
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert!(text.matches(": the model is at work\n\n").count() >= 3, "{text}");
    assert_eq!(said(&text, true), "good day");
    assert!(text.ends_with("[DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn who_leaves_early_pays_what_was_thought_unseen() {
    let scene = Scene::with(|settings| settings.config.calls.abandoned_time_max = Duration::from_millis(500)).await;
    let thought = r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":45}}"#;
    for (said_in, completed) in [(Duration::from_millis(200), true), (Duration::from_secs(60), false)] {
        scene.raw.answer_by("m", move |_| {
            let first = events(&[delta("good day")]);
            let rest = events(&[STOP, thought, "[DONE]"]);
            vec![Part(Duration::ZERO, ok(SSE, first)), Part(said_in, rest.into_bytes())]
        });
        scene.steward.model("small", &["raw/m"]).await;
        let before = scene.steward.finished_calls().await.len();
        let mut pieces = scene.steward.chat(&scene.key, &streamed_chat_body("small", "hi")).await.bytes_stream();
        pieces.next().await.unwrap().unwrap();
        drop(pieces);
        let finished = scene.steward.await_finished(before + 1).await;
        assert_eq!(finished[before].outcome == CallOutcome::Completed, completed, "{finished:?}");
        assert!(finished[before].tokens.output.0 >= 45, "what was said, or all that was reserved: {finished:?}");
    }
}

#[tokio::test]
async fn estimates_of_whole_answers_give_back_what_they_do_not_use() {
    let scene = Scene::new().await;
    scene.raw.answer("m", ok(SSE, events(&[&delta("good day"), STOP, "[DONE]"])));
    scene.steward.model("small", &["raw/m"]).await;
    let budget = json!({ "scope": "acme/support", "limit": "$0.01", "per": "day", "hard": true });
    scene.steward.command("acme", "budgets:set", budget).await;
    let mut body = streamed_chat_body("small", "hi");
    body["max_tokens"] = json!(1_000);
    for number in 1..=12 {
        let response = scene.steward.chat(&scene.key, &body).await;
        assert_eq!(response.status(), 200, "call {number}");
        response.text().await.unwrap();
    }
    for finished in scene.steward.await_finished(12).await {
        assert!(matches!(finished.outcome, CallOutcome::Estimated { closed: true, .. }), "{finished:?}");
    }
}

#[tokio::test]
async fn more_than_was_reserved_counts_at_once() {
    let scene = Scene::new().await;
    scene.raw.answer("dear", ok(JSON, good_whole(r#"{"prompt_tokens":10,"completion_tokens":8000}"#, "")));
    scene.raw.answer("m", ok(JSON, good_whole(TEN_AND_FIVE, "")));
    for (model, target) in [("dear", "raw/dear"), ("small", "raw/m")] {
        scene.steward.model(model, &[target]).await;
    }
    let budget = json!({ "scope": "acme/support", "limit": "$0.01", "per": "day", "hard": true });
    scene.steward.command("acme", "budgets:set", budget).await;
    // Lends something to the other model, too.
    assert_eq!(scene.steward.chat(&scene.key, &chat_body("small", "hi")).await.status(), 200);
    assert_eq!(scene.steward.chat(&scene.key, &chat_body("dear", "hi")).await.status(), 200);
    assert_eq!(scene.steward.chat(&scene.key, &chat_body("dear", "hi")).await.status(), 402);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        scene.steward.chat(&scene.key, &chat_body("small", "hi")).await.status(),
        402,
        "what was lent is asked back"
    );
}
