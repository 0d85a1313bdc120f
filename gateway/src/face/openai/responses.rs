//! How the stream of a response says that it failed.

use serde_json::{Value, json};

/// The event that says what `refusal` does. Clients look for it in either of two places.
pub(super) fn failure(refusal: &Value) -> Value {
    let said = &refusal["error"];
    json!({
        "type": "error",
        "code": said["code"],
        "message": said["message"],
        "param": said["param"],
        "error": said,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_in_both_places() {
        let said =
            json!({ "message": "it broke off", "type": "server_error", "param": null, "code": "upstream_broke_off" });
        let event = failure(&json!({ "error": said }));
        assert_eq!(
            (&event["type"], &event["code"], &event["message"]),
            (&json!("error"), &said["code"], &said["message"])
        );
        assert_eq!(event["error"], said);
    }
}
