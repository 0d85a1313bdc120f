//! `/v1/responses`: how a request for a response is answered, and how its stream says that it failed.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use serde_json::json;
use steward_calls::dialect::Dialect;
use steward_calls::dialect::openai_responses::OpenAiResponses;

use super::{OpenAi, refusal, respond};

/// Where responses are made.
pub(super) const RESPONSES: &str = "/v1/responses";

/// `POST /v1/responses`.
pub(super) async fn create(State(face): State<Arc<OpenAi>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let replied = async {
        let accepted = face.door.accept(&parts, body).await?;
        Ok(respond(face.calls.make(&OpenAiResponses, accepted).await?, failed))
    };
    face.finish(&parts, replied.await)
}

/// The last event of a stream that failed. Clients look for what it says in either of two places.
fn failed(error: steward_calls::Error) -> Bytes {
    let said = &refusal::body(&error.into())["error"];
    let event = json!({
        "type": "error",
        "code": said["code"],
        "message": said["message"],
        "param": said["param"],
        "error": said,
    });
    let mut bytes = BytesMut::new();
    OpenAiResponses.put_event(&mut bytes, event.to_string().as_bytes());
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_failed_stream_says_so_in_an_event_of_its_own() {
        let text = failed(steward_calls::Error::UpstreamBroke("it broke off".to_owned()));
        let text = String::from_utf8(text.to_vec()).unwrap();
        let data = text.strip_prefix("event: error\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!((&event["code"], &event["message"]), (&json!("upstream_broke_off"), &json!("it broke off")));
        assert_eq!(event["error"]["type"], "server_error");
    }
}
