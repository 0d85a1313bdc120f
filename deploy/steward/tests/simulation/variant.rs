//! Rules that can be dropped, one at a time, to see that the checker would notice.

use std::fmt;

pub(crate) use steward_aggregates::mutations::Rule;

/// Rules that are kept outside the parts themselves: by the append, the broker and the callers of providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// A commit's id is made from its version, so that rivals share one.
    MsgIdByVersion,
    /// After a conflict only the last message of the stream is looked at.
    LastMessageOnly,
    /// An append without an answer is given up once a read has not seen it.
    ReadClosesTimeout,
    /// A second attempt at a provider is paid from the first one's reservation.
    SharedAttempts,
}

/// The protocol, whole or without one rule.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// All rules.
    Sound,
    /// Without a rule of the ports.
    Port(Port),
    /// Without a rule of the protocol's own code.
    Rule(Rule),
}

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sound => f.write_str("Sound"),
            Self::Port(port) => fmt::Debug::fmt(port, f),
            Self::Rule(rule) => fmt::Debug::fmt(rule, f),
        }
    }
}

impl Variant {
    /// Each dropped rule.
    pub(crate) const DROPPED: [Self; 22] = [
        Self::Port(Port::MsgIdByVersion),
        Self::Port(Port::LastMessageOnly),
        Self::Port(Port::ReadClosesTimeout),
        Self::Port(Port::SharedAttempts),
        Self::Rule(Rule::StartBeforeAck),
        Self::Rule(Rule::BlindRetry),
        Self::Rule(Rule::NoFence),
        Self::Rule(Rule::NoTurn),
        Self::Rule(Rule::DeltaUsed),
        Self::Rule(Rule::TimerByHandler),
        Self::Rule(Rule::NoRearm),
        Self::Rule(Rule::NoRecall),
        Self::Rule(Rule::NoQueue),
        Self::Rule(Rule::ShrinkLate),
        Self::Rule(Rule::CorrectDropped),
        Self::Rule(Rule::NewBudgetBlind),
        Self::Rule(Rule::NewBudgetHalfBlind),
        Self::Rule(Rule::StaleFold),
        Self::Rule(Rule::RefuseOnLeased),
        Self::Rule(Rule::ForgetsEnded),
        Self::Rule(Rule::ReportsUnacked),
        Self::Rule(Rule::TimeReleases),
    ];

    /// Makes this thread's parts follow the variant.
    pub(crate) fn install(self) {
        steward_aggregates::mutations::drop_rule(match self {
            Self::Rule(rule) => Some(rule),
            Self::Sound | Self::Port(_) => None,
        });
    }
}
