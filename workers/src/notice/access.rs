//! What events of access tell: that somebody asks for a role, has it, or that grants are to be looked at.

use steward_events::commit::Recorded;
use steward_events::event::{AccessEvent, ElevationRequest, Notice, NoticeKind, ReviewSpec, Severity};
use steward_events::id::{ElevationId, PrincipalId, ReviewId};
use steward_events::timestamp::Timestamp;

use super::{Notices, notice};

impl Notices {
    /// What an event of roles, grants and their rules tells.
    pub(crate) fn access(&mut self, event: &AccessEvent, recorded: &Recorded<'_>) -> Option<Notice> {
        let place = |elevation: &ElevationId| (recorded.stream.tenant.clone(), elevation.clone());
        match event {
            AccessEvent::ElevationRequested { elevation, request } => {
                self.elevations.insert(place(elevation), request.clone());
                Some(requested(elevation, request, recorded))
            }
            AccessEvent::ElevationApproved { elevation, by, until, self_approved, reason } => {
                let request = self.elevations.remove(&place(elevation))?;
                let mut notice = approved(elevation, &request, (by, *until, *self_approved), recorded);
                notice.text.clone_from(reason);
                Some(notice)
            }
            AccessEvent::ElevationRefused { elevation, .. } | AccessEvent::ElevationEnded { elevation, .. } => {
                self.elevations.remove(&place(elevation));
                None
            }
            AccessEvent::ReviewStarted { review, spec } => Some(review_started(review, spec, recorded)),
            // Who holds what changes all day long; whoever minds looks at the audit.
            _ => None,
        }
    }
}

fn requested(elevation: &ElevationId, request: &ElevationRequest, recorded: &Recorded<'_>) -> Notice {
    let ElevationRequest { rule, by, role, on, duration_s, reason, lapses } = request;
    let mut notice = notice(NoticeKind::ElevationRequested, Severity::Warning, on.clone(), recorded);
    notice.about = format!("elevation {elevation}");
    notice.title = format!("{by} asks for the role {role} on {on}");
    notice.text.clone_from(reason);
    notice.fields.insert("rule".to_owned(), rule.to_string());
    notice.fields.insert("seconds".to_owned(), duration_s.to_string());
    notice.act = Some(format!("steward elevation approve {elevation} --tenant {}", recorded.stream.tenant));
    notice.ends = Some(*lapses);
    notice
}

fn approved(
    elevation: &ElevationId,
    request: &ElevationRequest,
    (approver, until, self_approved): (&PrincipalId, Timestamp, bool),
    recorded: &Recorded<'_>,
) -> Notice {
    let ElevationRequest { by, role, on, .. } = request;
    let severity = if self_approved { Severity::Critical } else { Severity::Info };
    let mut notice = notice(NoticeKind::ElevationApproved, severity, on.clone(), recorded);
    notice.about = format!("elevation {elevation}");
    notice.title = if self_approved {
        format!("{by} has taken the role {role} on {on}, and nobody else approved it")
    } else {
        format!("{by} has the role {role} on {on}, approved by {approver}")
    };
    notice.fields.insert("until".to_owned(), until.to_string());
    notice.act = Some(format!("steward elevation end {elevation} --tenant {}", recorded.stream.tenant));
    notice.ends = Some(until);
    notice
}

fn review_started(review: &ReviewId, spec: &ReviewSpec, recorded: &Recorded<'_>) -> Notice {
    let ReviewSpec { on, due, reviewers, revoke_unreviewed } = spec;
    let mut notice = notice(NoticeKind::ReviewStarted, Severity::Warning, on.clone(), recorded);
    notice.about = format!("review {review}");
    notice.title = format!("Who holds what on {on} is to be reviewed until {due}");
    if *revoke_unreviewed {
        "What nobody confirms until then ends.".clone_into(&mut notice.text);
    }
    if !reviewers.is_empty() {
        let names: Vec<&str> = reviewers.iter().map(AsRef::as_ref).collect();
        notice.fields.insert("reviewers".to_owned(), names.join(", "));
    }
    notice.act = Some(format!("steward access review --review {review} --tenant {}", recorded.stream.tenant));
    notice.ends = Some(*due);
    notice
}
