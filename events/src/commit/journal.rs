//! How commits of usage journals stand in the log (schema 2): what calls have in common once a commit, the rest as numbers.
//!
//! A commit's `entries` are tables and, after them, the entries as lists without names. An entry names its rows of the
//! tables by number. What is rare stands at the end of a list under its name, and is left out when there is nothing to
//! say; so does each list of numbers leave out zeros at its end. A unique id is 16 bytes, any other id its text. Nothing
//! is lost: what is read is what was written.

use serde::{Deserialize, Serialize};

use super::Entry;
use super::compact::{COUNTS, Compact, Numbers, UNITS};
use crate::event::{
    AnswerSource, CallContext, CallOutcome, Event, Saved, Savings, ServiceTier, Tags, TokenUsage, UnpricedSet,
    UsageEvent,
};
use crate::id::{CallId, CommandId, CorrelationId, LeaseId, PrincipalId};
use crate::quantity::{Amounts, NanoDollars};
use crate::shared::Shared;
use crate::timestamp::Timestamp;

mod contexts;
mod written;

/// What an entry is made for at first. Bytes may lie about how many follow.
const EVENTS_EXPECTED_MAX: usize = 16;

/// The entries of one commit of a usage journal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    origins: Vec<Origin>,
    leases: Vec<LeaseId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    contexts: Vec<Shared<CallContext>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tags>,
    entries: Vec<EntryRow>,
}

/// Who recorded entries, when, and what for.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    at: Timestamp,
    actor: PrincipalId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<PrincipalId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation: Option<String>,
}

/// Origin, correlation, command (none if it is named as the first event's call), events.
#[derive(Serialize, Deserialize)]
struct EntryRow(u32, Compact<CorrelationId>, Option<Compact<CommandId>>, Vec<Row>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // half of all are finishes
enum Row {
    Start(StartRow),
    Finish(FinishRow),
    /// Lease, reason.
    LeaseClosed(u32, String),
}

/// Context, lease, call, request (none if it is the entry's correlation), worst case, tags.
#[derive(Serialize, Deserialize)]
struct StartRow(u32, u32, Compact<CallId>, Option<Compact<CorrelationId>>, Numbers<UNITS>, Option<u32>);

/// Context, lease, call, tokens, cost, used, milliseconds, what else there is to say.
#[derive(Serialize, Deserialize)]
struct FinishRow(u32, u32, Compact<CallId>, Numbers<COUNTS>, u64, Numbers<UNITS>, u64, Option<More>);

/// What few finishes have to say.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<CallOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<Numbers<UNITS>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<ServiceTier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<u16>,
    #[serde(skip_serializing_if = "UnpricedSet::is_empty")]
    unpriced: UnpricedSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<AnswerSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<Saved>,
    #[serde(skip_serializing_if = "Savings::is_empty")]
    savings: Savings,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<u32>,
}

impl Journal {
    /// The form in which `entries` are recorded; none if one holds an event of another aggregate.
    pub(super) fn of(entries: &[Entry]) -> Option<Self> {
        let mut tables = Self { origins: vec![], leases: vec![], contexts: vec![], tags: vec![], entries: Vec::new() };
        let rows = entries.iter().map(|entry| tables.entry(entry)).collect::<Option<_>>()?;
        Some(Self { entries: rows, ..tables })
    }

    fn entry(&mut self, entry: &Entry) -> Option<EntryRow> {
        let Entry { command, at, actor, on_behalf_of, key: _, causation, correlation, body: _, events } = entry;
        let origin =
            Origin { at: *at, actor: actor.clone(), on_behalf_of: on_behalf_of.clone(), causation: causation.clone() };
        let first = events.first().and_then(|event| if let Event::Usage(event) = event { event.call() } else { None });
        let command = (first.map(CallId::as_str) != Some(command.as_str())).then(|| Compact(command.clone()));
        let rows = events.iter().map(|event| match event {
            Event::Usage(event) => Some(self.row(event, correlation)),
            _ => None,
        });
        let rows = rows.collect::<Option<_>>()?;
        Some(EntryRow(number_of(&mut self.origins, &origin), Compact(correlation.clone()), command, rows))
    }

    fn row(&mut self, event: &UsageEvent, correlation: &CorrelationId) -> Row {
        match event {
            UsageEvent::CallStarted { call, lease, context, worst, request, tags } => Row::Start(StartRow(
                number_of(&mut self.contexts, context),
                number_of(&mut self.leases, lease),
                Compact(call.clone()),
                (request != correlation).then(|| Compact(request.clone())),
                (*worst).into(),
                (!tags.is_empty()).then(|| number_of(&mut self.tags, tags)),
            )),
            UsageEvent::CallFinished {
                call,
                lease,
                context,
                tokens,
                cost,
                variant,
                unpriced,
                source,
                saved,
                savings,
                used,
                late,
                outcome,
                duration_ms,
                tags,
            } => {
                let more = More {
                    outcome: (*outcome != CallOutcome::Completed).then(|| outcome.clone()),
                    late: (!late.is_zero()).then(|| (*late).into()),
                    tier: (!tokens.tier.is_standard()).then_some(tokens.tier),
                    variant: (*variant != 0).then_some(*variant),
                    unpriced: *unpriced,
                    source: (!source.is_provider()).then(|| source.clone()),
                    saved: (!saved.is_nothing()).then_some(*saved),
                    savings: savings.clone(),
                    tags: (!tags.is_empty()).then(|| number_of(&mut self.tags, tags)),
                };
                Row::Finish(FinishRow(
                    number_of(&mut self.contexts, context),
                    number_of(&mut self.leases, lease),
                    Compact(call.clone()),
                    (*tokens).into(),
                    cost.0,
                    (*used).into(),
                    *duration_ms,
                    (more != More::default()).then_some(more),
                ))
            }
            UsageEvent::LeaseClosed { lease, reason } => {
                Row::LeaseClosed(number_of(&mut self.leases, lease), reason.clone())
            }
        }
    }

    /// The entries as they were recorded.
    ///
    /// # Errors
    /// If one names a row that its table has not, or holds no event.
    pub(super) fn into_entries(self) -> Result<Vec<Entry>, String> {
        let Self { origins, leases, contexts, tags, entries } = self;
        let tables = Tables { origins: &origins, leases: &leases, contexts: &contexts, tags: &tags };
        let entry = |EntryRow(origin, Compact(correlation), command, rows)| {
            tables.entry(origin, correlation, command, rows.into_iter().map(Ok))
        };
        entries.into_iter().map(entry).collect()
    }
}

/// The tables that the rows of one commit refer to.
struct Tables<'a> {
    origins: &'a [Origin],
    leases: &'a [LeaseId],
    contexts: &'a [Shared<CallContext>],
    tags: &'a [Tags],
}

impl Tables<'_> {
    fn entry(
        &self,
        origin: u32,
        correlation: CorrelationId,
        command: Option<Compact<CommandId>>,
        rows: impl ExactSizeIterator<Item = Result<Row, String>>,
    ) -> Result<Entry, String> {
        let Origin { at, actor, on_behalf_of, causation } = row_of(self.origins, origin, "origin")?;
        // Mostly one: a list that grows would be made for more.
        let mut events = Vec::with_capacity(rows.len().min(EVENTS_EXPECTED_MAX));
        for row in rows {
            events.push(Event::Usage(self.event(row?, &correlation)?));
        }
        let call = if let Some(Event::Usage(first)) = events.first() { first.call() } else { None };
        let command = match (command, call) {
            (Some(Compact(command)), _) => command,
            (None, Some(call)) => CommandId::from(call),
            (None, None) => return Err("an entry names no command and holds no call".to_owned()),
        };
        Ok(Entry { command, at, actor, on_behalf_of, key: None, causation, correlation, body: None, events })
    }

    fn event(&self, row: Row, correlation: &CorrelationId) -> Result<UsageEvent, String> {
        let tags = |number: Option<u32>| number.map_or(Ok(Tags::default()), |tags| row_of(self.tags, tags, "tags"));
        Ok(match row {
            Row::Start(StartRow(context, lease, Compact(call), request, worst, tagged)) => UsageEvent::CallStarted {
                call,
                lease: row_of(self.leases, lease, "lease")?,
                context: row_of(self.contexts, context, "context")?,
                worst: worst.into(),
                request: request.map_or_else(|| correlation.clone(), |Compact(request)| request),
                tags: tags(tagged)?,
            },
            Row::Finish(FinishRow(context, lease, Compact(call), counts, cost, used, duration_ms, more)) => {
                let More { outcome, late, tier, variant, unpriced, source, saved, savings, tags: tagged } =
                    more.unwrap_or_default();
                UsageEvent::CallFinished {
                    call,
                    lease: row_of(self.leases, lease, "lease")?,
                    context: row_of(self.contexts, context, "context")?,
                    tokens: TokenUsage { tier: tier.unwrap_or_default(), ..counts.into() },
                    cost: NanoDollars(cost),
                    variant: variant.unwrap_or_default(),
                    unpriced,
                    source: source.unwrap_or_default(),
                    saved: saved.unwrap_or_default(),
                    savings,
                    used: used.into(),
                    late: late.map_or(Amounts::ZERO, Amounts::from),
                    outcome: outcome.unwrap_or(CallOutcome::Completed),
                    duration_ms,
                    tags: tags(tagged)?,
                }
            }
            Row::LeaseClosed(lease, reason) => {
                UsageEvent::LeaseClosed { lease: row_of(self.leases, lease, "lease")?, reason }
            }
        })
    }
}

/// The number of `value` in `table`, where it is put if it is not there yet.
fn number_of<T: PartialEq + Clone>(table: &mut Vec<T>, value: &T) -> u32 {
    // Most calls are as the call before.
    let known = table.iter().rposition(|known| known == value);
    let number = known.unwrap_or_else(|| {
        table.push(value.clone());
        table.len() - 1
    });
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn row_of<T: Clone>(table: &[T], number: u32, what: &str) -> Result<T, String> {
    let row = usize::try_from(number).ok().and_then(|number| table.get(number));
    row.cloned().ok_or_else(|| format!("there is no {what} {number}"))
}
