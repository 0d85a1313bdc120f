//! What was spent.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use steward_events::event::Savings;
use steward_events::quantity::{InvalidQuantity, NanoDollars, Position};
use steward_events::timestamp::Timestamp;

/// By what a report is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostBy {
    /// By project: the first scope below the tenant.
    Project,
    /// By who called.
    Principal,
    /// By key.
    Key,
    /// By model.
    Model,
    /// By agent.
    Agent,
    /// By task.
    Task,
    /// By day, in the tenant's time zone.
    Day,
}

/// Asks for a cost report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CostQuery {
    /// Split by these, in this order; one row for all if empty.
    pub by: Vec<CostBy>,
    /// Calls finished from this day on: a day of the tenant's, e.g. `2026-11-30`, or the moment at which one begins.
    pub since: Option<ReportDay>,
    /// Calls finished before this day, written alike.
    pub until: Option<ReportDay>,
    /// Answer only from a state that includes this position.
    pub min_position: Option<Position>,
}

/// What was spent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostReport {
    /// The report includes the tenant's shard up to here.
    pub position: Position,
    /// The rows, dearest first.
    pub rows: Vec<CostRow>,
    /// The sum of the rows.
    pub total: CostSums,
    /// What was saved in all rows, by cause; left out if that is nothing.
    #[serde(default, skip_serializing_if = "Savings::is_empty")]
    pub savings: Savings,
}

/// One row of a cost report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostRow {
    /// The value of each part asked for, e.g. `{"key": "key_…", "model": "small"}`; `-` where a call has none.
    pub by: BTreeMap<String, String>,
    /// The sums.
    #[serde(flatten)]
    pub sums: CostSums,
    /// The prices charged, e.g. `small@2026-11-01`.
    pub prices: Vec<String>,
    /// What was saved beside, by cause; left out if that is nothing.
    #[serde(default, skip_serializing_if = "Savings::is_empty")]
    pub savings: Savings,
}

/// Sums over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CostSums {
    /// Calls that were billed, or may have been.
    pub calls: u64,
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Of these, cached.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
    /// What was charged.
    pub cost: NanoDollars,
    /// Of the calls, those whose usage is an estimate, those among them that were cut by a crash and count as the most that
    /// they can have cost.
    pub estimated: u64,
    /// Of the cost, what is an estimate.
    #[serde(skip_serializing_if = "nothing")]
    pub estimated_cost: NanoDollars,
    /// Of the cost, what was billed beyond what could be held out for its call.
    #[serde(skip_serializing_if = "nothing")]
    pub late: NanoDollars,
    /// Of the output tokens, reasoning.
    #[serde(skip_serializing_if = "none")]
    pub reasoning: u64,
    /// Of the calls, those that used something that their price does not name, such as a service tier, sound, writes to the
    /// provider's cache or searches: what they cost may differ from the bill.
    #[serde(skip_serializing_if = "none")]
    pub unpriced: u64,
    /// Attempts beside the calls that were certainly not billed.
    #[serde(skip_serializing_if = "none")]
    pub not_billed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn nothing(money: &NanoDollars) -> bool {
    money.0 == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
const fn none(count: &u64) -> bool {
    *count == 0
}

/// From which day on, or before which: a day of the tenant's calendar, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportDay {
    /// A day.
    Day(Date),
    /// A moment, at which a day must begin.
    Moment(Timestamp),
}

impl fmt::Display for ReportDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Moment(moment) => moment.fmt(f),
        }
    }
}

impl FromStr for ReportDay {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let day = || (text.len() == 10).then(|| text.parse().ok()).flatten().map(Self::Day);
        let moment = || text.parse().ok().map(Self::Moment);
        day().or_else(moment).ok_or_else(|| InvalidQuantity {
            text: text.chars().take(40).collect(),
            expected: "a day such as 2026-11-30",
        })
    }
}

impl Serialize for ReportDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReportDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        steward_events::text::read(deserializer)
    }
}

impl JsonSchema for ReportDay {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ReportDay".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["2026-11-30", "2026-11-29T23:00:00Z"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_no_moment() {
        let read = |text: &str| text.parse::<ReportDay>();
        assert_eq!(read("2026-11-30").unwrap(), ReportDay::Day(Date::constant(2026, 11, 30)));
        for text in ["2026-11-30", "2026-11-29T20:35:00Z"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert!(matches!(read("2026-11-30T00:00:00Z"), Ok(ReportDay::Moment(_))));
        for text in ["", "yesterday", "2026-13-01", "2026-11-3"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
