//! Who may do what on the bus: one table, from which the server's configuration is made.
//!
//! A part of Steward that answers requests has two connections. The *responder* reads requests and may publish to
//! inboxes only: whatever reply subject a caller chooses, nothing is forged through it. The other one writes and never
//! answers.

use std::fmt;

use steward_events::id::SystemPart;

use crate::names::{CONTENTS_STREAM, KEYS_STREAM, TIMERS_STREAM};

/// A user of the bus that is a part of Steward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Makes the streams, looks at their state, sends the first commands.
    Admin,
    /// Reads and writes the log, keeps data keys.
    Aggregates,
    /// Hears commands and answers them.
    AggregatesResponder,
    /// Reads the log.
    Projectors,
    /// Hears queries and answers them.
    ProjectorsResponder,
    /// Reads the log, sends commands, sets timers, closes journals of gateways that are gone.
    Workers,
    /// Reads the log, writes its own journals, sends the commands of callers it has authenticated.
    Gateway,
    /// Tells the server who a caller is.
    Login,
    /// Closes connections of callers whose right to them has ended. The only role in the server's own account.
    Sessions,
}

/// What a role may do, as subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// May publish to these …
    pub publish: Vec<String>,
    /// … but not to these.
    pub publish_never: Vec<String>,
    /// May subscribe to these.
    pub subscribe: Vec<String>,
}

/// What it takes to read the log: leader reads, batched reads, ephemeral consumers, their flow control and what they
/// are asked for.
const READ_LOG: &[&str] = &[
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.*",
    "$JS.API.CONSUMER.CREATE.*.*",
    "$JS.API.CONSUMER.MSG.NEXT.*.*",
    "$JS.API.CONSUMER.DELETE.*.*",
    "$JS.FC.>",
];

/// Journals of who was refused and who read what people did.
const NOTES: &[&str] = &["evt.*.*.denials.*", "evt.*.*.reads.*"];

/// What it takes to make the streams and to look at them.
const PROVISION: &[&str] = &[
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.CONSUMER.NAMES.*",
    "$JS.API.CONSUMER.LIST.*",
    "$JS.API.CONSUMER.INFO.*.*",
];

/// What it takes to set timers and to hear of them.
const TIMERS: &[&str] = &[
    "tmr.>",
    "$JS.API.STREAM.PURGE.TIMERS",
    "$JS.API.CONSUMER.CREATE.TIMERS.>",
    "$JS.API.CONSUMER.INFO.TIMERS.*",
    "$JS.API.CONSUMER.MSG.NEXT.TIMERS.*",
    "$JS.ACK.TIMERS.>",
];

/// One row of the table; inboxes come on top, by [`Role::inbox`].
struct RolePermissions {
    publish: &'static [&'static [&'static str]],
    publish_never: &'static [&'static str],
    subscribe: &'static [&'static str],
    /// May it name the stream of timers, that of data keys, that of contents?
    timers: bool,
    keys: bool,
    contents: bool,
}

const NOTHING: RolePermissions =
    RolePermissions { publish: &[], publish_never: &[], subscribe: &[], timers: false, keys: false, contents: false };

/// Hears of connections that have closed, and closes others.
const CLOSING: RolePermissions =
    RolePermissions { publish: &[&["$SYS.REQ.SERVER.*.KICK"]], subscribe: &["$SYS.ACCOUNT.*.DISCONNECT"], ..NOTHING };

impl Role {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Admin,
        Self::Aggregates,
        Self::AggregatesResponder,
        Self::Projectors,
        Self::ProjectorsResponder,
        Self::Workers,
        Self::Gateway,
        Self::Login,
        Self::Sessions,
    ];

    /// The user's name.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Aggregates => "aggregates",
            Self::AggregatesResponder => "aggregates-responder",
            Self::Projectors => "projectors",
            Self::ProjectorsResponder => "projectors-responder",
            Self::Workers => "workers",
            Self::Gateway => "gateway",
            Self::Login => "login",
            Self::Sessions => "sessions",
        }
    }

    /// As whom the role sends commands, if it does.
    pub const fn principal(self) -> Option<SystemPart> {
        match self {
            Self::Admin => Some(SystemPart::Bootstrap),
            Self::Workers => Some(SystemPart::Worker),
            Self::Gateway => Some(SystemPart::Gateway),
            _ => None,
        }
    }

    /// What the role's inboxes begin with. Only those of roles that send requests are under `_INBOX`, where responders
    /// may publish.
    pub fn inbox(self) -> String {
        match self.principal() {
            Some(part) => inbox("steward", part.principal()),
            None => format!("_ROLE.{}", self.user()),
        }
    }

    const fn row(self) -> RolePermissions {
        match self {
            Self::Admin => RolePermissions {
                publish: &[PROVISION, &["$SRV.>", "cmd.*.sys_bootstrap.*.*"]],
                timers: true,
                keys: true,
                contents: true,
                ..NOTHING
            },
            Self::Aggregates => {
                RolePermissions { publish: &[READ_LOG, &["evt.*.*.*.*", "$KV.KEYS.>"]], keys: true, ..NOTHING }
            }
            Self::AggregatesResponder => {
                RolePermissions { publish: &[&["_INBOX.>"]], subscribe: &["cmd.*.*.*.*", "$SRV.>"], ..NOTHING }
            }
            Self::Projectors => RolePermissions { publish: &[READ_LOG, NOTES], keys: true, ..NOTHING },
            Self::ProjectorsResponder => {
                RolePermissions { publish: &[&["_INBOX.>"]], subscribe: &["qry.*.*.*.*", "$SRV.>"], ..NOTHING }
            }
            Self::Workers => RolePermissions {
                publish: &[
                    READ_LOG,
                    TIMERS,
                    &[
                        "evt.*.*.usage.*",
                        "cmd.*.sys_worker.*.*",
                        "qry.*.sys_worker.*.*",
                        "$JS.API.STREAM.MSG.DELETE.KEYS",
                        "$KV.KEYS.>",
                        "$JS.API.STREAM.PURGE.CONTENTS",
                    ],
                ],
                timers: true,
                keys: true,
                ..NOTHING
            },
            Self::Gateway => RolePermissions {
                publish: &[
                    READ_LOG,
                    NOTES,
                    &["evt.*.*.usage.*", "cmd.*.*.*.*", "qry.*.*.*.*", "kept.>", "$JS.API.STREAM.PURGE.CONTENTS"],
                ],
                publish_never: &["cmd.*.sys_worker.>", "cmd.*.sys_bootstrap.>"],
                contents: true,
                ..NOTHING
            },
            Self::Login => {
                RolePermissions { publish: &[&["$SYS._INBOX.>"]], subscribe: &["$SYS.REQ.USER.AUTH"], ..NOTHING }
            }
            Self::Sessions => CLOSING,
        }
    }

    /// What the role may do.
    pub fn permissions(self) -> Permissions {
        let row = self.row();
        let owned = |subject: &&str| (*subject).to_owned();
        let mut never: Vec<String> = row.publish_never.iter().map(owned).collect();
        for (stream, named) in [(TIMERS_STREAM, row.timers), (KEYS_STREAM, row.keys), (CONTENTS_STREAM, row.contents)] {
            if !named {
                let about = [
                    "STREAM.MSG.GET.{}",
                    "DIRECT.GET.{}",
                    "DIRECT.GET.{}.>",
                    "CONSUMER.CREATE.{}.>",
                    "CONSUMER.MSG.NEXT.{}.>",
                ];
                never.extend(about.map(|subject| format!("$JS.API.{}", subject.replace("{}", stream))));
            }
        }
        let mut subscribe: Vec<String> = row.subscribe.iter().map(owned).collect();
        subscribe.push(format!("{}.>", self.inbox()));
        let mut publish: Vec<String> = row.publish.iter().copied().flatten().map(owned).collect();
        publish.push(nobody(&self.inbox()));
        Permissions { publish, publish_never: never, subscribe }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.user())
    }
}

/// What the inboxes of a principal begin with. The tenant is part of it: two tenants may choose the same principal id.
pub fn inbox(tenant: &str, principal: &str) -> String {
    format!("_INBOX.{tenant}.{principal}")
}

/// True if `subject` lies in the [`inbox`] of that principal.
pub(crate) fn is_in_inbox(subject: &str, tenant: &str, principal: &str) -> bool {
    let tokens = ["_INBOX", tenant, principal];
    let below = tokens.iter().try_fold(subject, |rest, token| rest.strip_prefix(token)?.strip_prefix('.'));
    below.is_some_and(|rest| !rest.is_empty())
}

/// Where nobody listens: what is sent there says only that the server has come so far.
pub(crate) fn nobody(inbox: &str) -> String {
    format!("{inbox}.nobody")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, subject: &str) -> bool {
        let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
        loop {
            match (pattern.next(), subject.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some(p), Some(s)) if p == "*" || p == s => {}
                _ => return false,
            }
        }
    }

    fn may_publish(role: Role, subject: &str) -> bool {
        let may = role.permissions();
        may.publish.iter().any(|p| covers(p, subject)) && !may.publish_never.iter().any(|p| covers(p, subject))
    }

    #[test]
    fn only_aggregates_may_write_decisions_and_responders_may_write_nothing() {
        for role in Role::ALL {
            assert_eq!(may_publish(role, "evt.00.acme.ledger.main"), role == Role::Aggregates, "{role}");
            let journal = matches!(role, Role::Aggregates | Role::Workers | Role::Gateway);
            assert_eq!(may_publish(role, "evt.00.acme.usage.x"), journal, "{role}");
            let notes = matches!(role, Role::Aggregates | Role::Projectors | Role::Gateway);
            assert_eq!(may_publish(role, "evt.00.acme.denials.x"), notes, "{role}");
            let answers = matches!(role, Role::AggregatesResponder | Role::ProjectorsResponder);
            assert_eq!(may_publish(role, "_INBOX.acme.p_1.x"), answers, "{role}");
        }
    }

    #[test]
    fn only_the_role_itself_speaks_as_a_part_of_steward() {
        for role in Role::ALL {
            for part in [SystemPart::Gateway, SystemPart::Worker, SystemPart::Bootstrap] {
                let subject = format!("cmd.acme.{}.lease.end", part.principal());
                assert_eq!(
                    may_publish(role, &subject),
                    role.principal() == Some(part),
                    "{role} as {}",
                    part.principal()
                );
            }
        }
    }

    #[test]
    fn only_the_gateway_asks_for_secrets() {
        for role in Role::ALL {
            let asks = may_publish(role, "qry.acme.sys_gateway.secret.open");
            assert_eq!(asks, role == Role::Gateway, "{role}");
        }
    }

    #[test]
    fn only_the_gateway_reads_and_writes_contents() {
        for role in Role::ALL {
            let writes = may_publish(role, "kept.acme.claim.x.0");
            assert_eq!(writes, role == Role::Gateway, "{role}");
            let reads = may_publish(role, "$JS.API.STREAM.MSG.GET.CONTENTS");
            assert_eq!(reads, role == Role::Gateway, "{role}");
            let follows = may_publish(role, "$JS.API.CONSUMER.CREATE.CONTENTS.x");
            assert_eq!(follows, role == Role::Gateway, "{role}");
        }
    }

    #[test]
    fn only_workers_destroy_keys_and_only_deciders_make_them() {
        for role in Role::ALL {
            let destroys = may_publish(role, "$JS.API.STREAM.MSG.DELETE.KEYS");
            assert_eq!(destroys, role == Role::Workers, "{role}");
            // A worker puts the mark where a key was.
            let writes = may_publish(role, "$KV.KEYS.tenant.acme");
            assert_eq!(writes, matches!(role, Role::Aggregates | Role::Workers), "{role}");
            let purges = may_publish(role, "$JS.API.STREAM.PURGE.CONTENTS");
            assert_eq!(purges, matches!(role, Role::Gateway | Role::Workers), "{role}");
        }
    }

    #[test]
    fn nobody_may_change_or_delete_the_log() {
        for role in Role::ALL {
            for verb in ["UPDATE", "DELETE", "PURGE", "MSG.DELETE", "RESTORE", "SNAPSHOT"] {
                assert!(!may_publish(role, &format!("$JS.API.STREAM.{verb}.EVT_00")), "{role} {verb}");
            }
            assert_eq!(
                may_publish(role, "$JS.API.STREAM.MSG.GET.KEYS"),
                matches!(role, Role::Aggregates | Role::Projectors | Role::Workers),
                "{role}"
            );
        }
    }
}
