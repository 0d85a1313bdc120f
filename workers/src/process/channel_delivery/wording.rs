//! How a message is said: as JSON for a webhook, to Slack, as alerts, and as a text for people.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use steward_events::event::{Notice, NoticeKind, Severity};
use steward_events::timestamp::Timestamp;

use super::outgoing::Outgoing;

/// The longest header and section that Slack takes, in characters.
const SLACK_HEADER_MAX: usize = 150;
const SLACK_SECTION_MAX: usize = 2_900;

/// How long an alert lasts whose end is not known: if another notice ends it, and if none does.
const UNTIL_ENDED: Duration = Duration::from_hours(7 * 24);
const PASSING: Duration = Duration::from_hours(1);

/// The title of all: that of the first notice, and how many more there are.
pub(super) fn title(outgoing: &Outgoing) -> String {
    let first = outgoing.notices.first().map_or("", |notice| notice.title.as_str());
    match count(outgoing) {
        0 | 1 => first.to_owned(),
        count => format!("{first} (and {} more)", count - 1),
    }
}

fn count(outgoing: &Outgoing) -> u64 {
    outgoing.notices.len() as u64 + u64::from(outgoing.more)
}

/// The body of a webhook: its type, when, and the first notice as `data`, with all of them in `data.notices`.
pub(super) fn webhook(outgoing: &Outgoing) -> Value {
    let Some(first) = outgoing.notices.first() else { return Value::Null };
    json!({
        "type": first.kind,
        "timestamp": first.at,
        "data": {
            "id": outgoing.message,
            "tenant": outgoing.tenant,
            "channel": outgoing.channel,
            "title": title(outgoing),
            "count": count(outgoing),
            "notices": outgoing.notices,
        },
    })
}

/// What Slack's incoming webhooks take.
pub(super) fn slack(outgoing: &Outgoing) -> Value {
    let title = title(outgoing);
    let header: String = title.chars().take(SLACK_HEADER_MAX).collect();
    let mut blocks = vec![json!({ "type": "header", "text": { "type": "plain_text", "text": header } })];
    for notice in &outgoing.notices {
        let mut text = format!("*{}*\n{}", slack_text(&notice.title), slack_text(&notice.text));
        for (name, value) in details(notice) {
            _ = write!(text, "\n{}: {}", slack_text(&name), slack_text(&value));
        }
        let text: String = text.chars().take(SLACK_SECTION_MAX).collect();
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    let foot = format!("{} · {} · {}{}", outgoing.tenant, outgoing.channel, outgoing.message, left_out(outgoing));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": foot }] }));
    json!({ "text": slack_text(&title), "blocks": blocks })
}

/// Text that is no link, no mention and no mark-up to Slack.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What `POST /api/v2/alerts` of an Alertmanager takes: one alert a notice. One that ends another ends that alert.
pub(super) fn alerts(outgoing: &Outgoing) -> Value {
    outgoing.notices.iter().map(|notice| alert(outgoing, notice)).collect()
}

fn alert(outgoing: &Outgoing, notice: &Notice) -> Value {
    let ended = ends(notice.kind);
    // The labels are what an alert is known by: that which ends has those of that which began.
    let (kind, severity) = ended.unwrap_or((notice.kind, notice.severity));
    let lasts = if is_ended(notice.kind) { UNTIL_ENDED } else { PASSING };
    let until = match ended {
        Some(_) => notice.at,
        None => notice.ends.unwrap_or_else(|| notice.at.plus(lasts)),
    };
    let description = if notice.text.is_empty() { &notice.title } else { &notice.text };
    let mut annotations = json!({ "summary": notice.title, "description": description });
    for (name, value) in details(notice) {
        annotations[label(&name)] = Value::from(value);
    }
    json!({
        "labels": {
            "alertname": alert_name(kind),
            "severity": severity,
            "tenant": outgoing.tenant,
            "scope": notice.scope,
            "about": notice.about,
            "source": "steward",
        },
        "annotations": annotations,
        "startsAt": notice.at,
        "endsAt": until,
    })
}

/// What notices of this kind end.
const fn ends(kind: NoticeKind) -> Option<(NoticeKind, Severity)> {
    match kind {
        NoticeKind::TenantResumed => Some((NoticeKind::TenantSuspended, Severity::Critical)),
        _ => None,
    }
}

fn is_ended(kind: NoticeKind) -> bool {
    NoticeKind::ALL.iter().any(|other| ends(*other).is_some_and(|(ended, _)| ended == kind))
}

/// `budget.threshold` as `StewardBudgetThreshold`.
fn alert_name(kind: NoticeKind) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    format!("Steward{}", kind.as_str().split(['.', '_']).map(capital).collect::<String>())
}

/// A name that may stand in a label of Prometheus.
fn label(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// The text of a mail.
pub(super) fn text(outgoing: &Outgoing) -> String {
    let mut text = String::new();
    for notice in &outgoing.notices {
        _ = write!(text, "{}\n\n", notice.title);
        if !notice.text.is_empty() {
            _ = write!(text, "{}\n\n", notice.text);
        }
        for (name, value) in details(notice) {
            _ = writeln!(text, "{name}: {value}");
        }
        text.push('\n');
    }
    let Outgoing { tenant, channel, message, .. } = outgoing;
    _ = write!(text, "-- \nSteward, tenant {tenant}, channel {channel}, {message}{}\n", left_out(outgoing));
    text
}

fn left_out(outgoing: &Outgoing) -> String {
    if outgoing.more == 0 { String::new() } else { format!(", and {} more that are not told here", outgoing.more) }
}

/// All that there is to say of a notice beside its title and text, by name.
fn details(notice: &Notice) -> Vec<(String, String)> {
    let mut all = vec![
        ("what".to_owned(), notice.kind.to_string()),
        ("severity".to_owned(), notice.severity.to_string()),
        ("where".to_owned(), notice.scope.to_string()),
        ("when".to_owned(), stated(notice.at)),
    ];
    all.extend(notice.fields.clone());
    all.extend(notice.ends.map(|ends| ("until".to_owned(), stated(ends))));
    all.extend(notice.act.clone().map(|act| ("look or act".to_owned(), act)));
    all
}

fn stated(at: Timestamp) -> String {
    // To the second is enough for people.
    Timestamp(at.0 / 1_000_000 * 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use steward_events::event::{ChannelKind, ChannelSpec};

    use super::*;

    fn notice(kind: NoticeKind, severity: Severity, title: &str) -> Notice {
        Notice {
            kind,
            severity,
            scope: "acme".parse().unwrap(),
            at: Timestamp(1_795_428_000_000_000),
            about: "tenant acme".to_owned(),
            title: title.to_owned(),
            text: "<!channel> & more".to_owned(),
            fields: BTreeMap::from([("a b".to_owned(), "c".to_owned())]),
            act: Some("steward tenant show acme".to_owned()),
            ends: None,
        }
    }

    fn outgoing(notices: Vec<Notice>, more: u32) -> Outgoing {
        Outgoing {
            tenant: "acme".parse().unwrap(),
            channel: "ops".parse().unwrap(),
            message: "msg_1".parse().unwrap(),
            spec: ChannelSpec {
                kind: ChannelKind::Webhook,
                url: None,
                secret: None,
                recipients: None,
                notices: vec![],
                scopes: vec![],
                enabled: true,
            },
            notices,
            more,
            secrets: vec![],
        }
    }

    #[test]
    fn gathered_notices_are_one_message_that_counts_them() {
        let one = notice(NoticeKind::TaskFailed, Severity::Warning, "The task t_1 failed");
        let gathered = outgoing(vec![one.clone(), one], 11);
        assert_eq!(title(&gathered), "The task t_1 failed (and 12 more)");
        let said = webhook(&gathered);
        assert_eq!((&said["type"], &said["data"]["count"]), (&json!("task.failed"), &json!(13)));
        assert!(text(&gathered).contains("and 11 more that are not told here"), "{}", text(&gathered));
    }

    #[test]
    fn slack_is_sent_no_mention_and_no_link() {
        let said = slack(&outgoing(vec![notice(NoticeKind::TaskFailed, Severity::Warning, "<@U1> failed")], 0));
        assert_eq!(said["text"], "&lt;@U1&gt; failed");
        let section = said["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(section.contains("&lt;!channel&gt; &amp; more") && !section.contains('<'), "{section}");
    }

    #[test]
    fn an_end_has_the_labels_of_what_it_ends() {
        let began = notice(NoticeKind::TenantSuspended, Severity::Critical, "suspended");
        let ended = notice(NoticeKind::TenantResumed, Severity::Info, "resumed");
        let alerts = alerts(&outgoing(vec![began, ended], 0));
        assert_eq!(alerts[0]["labels"], alerts[1]["labels"]);
        assert_eq!(alerts[0]["labels"]["alertname"], "StewardTenantSuspended");
        assert_eq!(alerts[1]["endsAt"], alerts[1]["startsAt"], "over");
        assert_eq!(alerts[0]["endsAt"], "2026-11-30T10:00:00Z", "until something ends it, a week at most");
        assert_eq!(alerts[0]["annotations"]["a_b"], "c");
    }
}
