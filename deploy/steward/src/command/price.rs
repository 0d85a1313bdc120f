//! `steward price check`: the prices in force beside the list of public prices that is shipped.
//!
//! Exit status: 0 if nothing is to be done, 1 if something is.

use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use serde::Serialize;
use serde_json::Map;
use steward_events::BoxError;
use steward_events::event::Target;
use steward_events::id::ModelId;
use steward_events::timestamp::Timestamp;
use steward_ports::clock::{Clock, SystemClock};
use steward_queries::{ModelRow, PriceRow};

use super::apply::price::Priced;
use super::list::fetch;
use crate::client::Client;
use crate::output;

pub(crate) mod list;

use list::PriceList;

const DAY: Duration = Duration::from_hours(24);

/// What is the matter with a model's price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Finding {
    /// It has none now, so that it cannot be called.
    NoPrice,
    /// Nobody is said to say so.
    NoSource,
    /// The list has a newer one that differs.
    OutOfDate,
    /// It ends soon, and none follows.
    EndsSoon,
    /// The list has another from a day on that is near, and it is not set.
    ChangesSoon,
    /// It is as the list says, or newer.
    Right,
    /// The list does not know the model.
    NotListed,
}

impl Finding {
    const fn is_to_do(self) -> bool {
        !matches!(self, Self::Right | Self::NotListed)
    }
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    model: ModelId,
    finding: Finding,
    /// In words, with what to do.
    says: String,
}

/// What a check looks at.
struct Check<'c> {
    list: &'c PriceList,
    now: Timestamp,
    /// What is nearer than this is soon.
    soon: Timestamp,
}

pub(super) async fn check(matches: &ArgMatches, client: &Client, json: bool) -> Result<ExitCode, BoxError> {
    let tenant = client.tenant()?;
    let days = matches.get_one::<u32>("days").copied().unwrap_or_default();
    let now = SystemClock::default().now();
    let list = PriceList::shipped()?;
    let check = Check { list: &list, now, soon: now.plus(DAY.saturating_mul(days)) };
    let models = fetch::<ModelRow>(client, &tenant, "model", Map::new()).await?.rows;
    let prices = fetch::<PriceRow>(client, &tenant, "price", Map::new()).await?.rows;
    let lines: Vec<Line> = models.iter().flat_map(|model| check.model(model, &prices)).collect();
    let to_do = lines.iter().filter(|line| line.finding.is_to_do()).count();
    if json {
        output::json(&lines)?;
    } else {
        for Line { model, finding, says } in &lines {
            let mark = if finding.is_to_do() { "!" } else { " " };
            output::say(format_args!("{mark} {model}: {says}"));
        }
        output::say(format_args!("{} models, {to_do} findings", models.len()));
    }
    Ok(if to_do == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Check<'_> {
    /// All that is the matter with one model; one line if nothing is.
    fn model(&self, row: &ModelRow, prices: &[PriceRow]) -> Vec<Line> {
        if row.targets.is_empty() {
            return Vec::new();
        }
        let in_force = |price: &&PriceRow| price.from <= self.now && price.until.is_none_or(|until| until > self.now);
        let own: Vec<&PriceRow> =
            prices.iter().filter(|price| price.model == row.model && price.target.is_none()).collect();
        let mut found: Vec<(Finding, String)> = Vec::new();
        let now = own.iter().find(|price| in_force(price));
        // Of a target with a price of its own, nobody asks for the model's.
        let has_its_own = |target: &Target| {
            let id = target.id();
            let of_it = |price: &&PriceRow| price.model == row.model && price.target.as_ref() == Some(&id);
            prices.iter().filter(of_it).any(|price| in_force(&price))
        };
        let listed = row.targets.iter().map(|target| self.list.of(&target.upstream_model)).find(|all| !all.is_empty());
        match now {
            None if row.targets.iter().all(has_its_own) => {}
            None => {
                let set = "steward price set MODEL --input '$…/M' --output '$…/M'".replace("MODEL", row.model.as_str());
                found.push((Finding::NoPrice, format!("has no price now, so that it cannot be called; {set}")));
            }
            Some(price) => self.in_force(price, &own, listed.unwrap_or_default(), &mut found),
        }
        if found.is_empty() {
            found.push(match listed {
                Some(_) => (Finding::Right, "as the list says, or set later".to_owned()),
                None => (Finding::NotListed, "is not on the list; compare it with its provider's page".to_owned()),
            });
        }
        found.into_iter().map(|(finding, says)| Line { model: row.model.clone(), finding, says }).collect()
    }

    fn in_force(&self, price: &PriceRow, own: &[&PriceRow], listed: &[Priced], found: &mut Vec<(Finding, String)>) {
        if price.source.is_none() {
            found.push((Finding::NoSource, "nobody is said to say so; give the next price a --source".to_owned()));
        }
        let follows = |at: Timestamp| own.iter().any(|other| other.from >= at);
        if let Some(ends) =
            price.ends.filter(|ends| *ends < self.soon && !follows(price.from.plus(Duration::from_micros(1))))
        {
            found.push((Finding::EndsSoon, format!("ends on {}, and no price follows", day(ends))));
        }
        let differs = |public: &Priced| (public.rates, &public.variants) != (price.price, &price.variants);
        let lasts = |public: &Priced| public.until.is_none_or(|until| until > self.now);
        let current = listed.iter().rfind(|public| public.from <= self.now && lasts(public));
        if let Some(public) = current.filter(|public| public.from > price.from && differs(public)) {
            found.push((
                Finding::OutOfDate,
                format!(
                    "is out of date: from {} on it is {} for input and {} for output ({})",
                    day(public.from),
                    a_million(public.rates.input.0),
                    a_million(public.rates.output.0),
                    public.source.as_deref().unwrap_or("no source"),
                ),
            ));
        }
        let next = listed.iter().find(|public| public.from > self.now && public.from < self.soon);
        if let Some(public) = next.filter(|public| differs(public) && !follows(public.from)) {
            found.push((
                Finding::ChangesSoon,
                format!(
                    "changes on {} to {} for input and {} for output, which is not set",
                    day(public.from),
                    a_million(public.rates.input.0),
                    a_million(public.rates.output.0),
                ),
            ));
        }
    }
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

fn a_million(pico: u64) -> String {
    format!("{}/M", steward_events::quantity::NanoDollars(pico.saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const LIST: &str = r#"
        [model.m]
        price = [
            { from = 2026-06-01, until = 2026-09-01, input = "$2/M", output = "$4/M", source = "page" },
            { from = 2026-09-01, until = 2027-01-01, input = "$1/M", output = "$2/M", source = "page" },
            { from = 2027-01-01, input = "$3/M", output = "$6/M", source = "page" },
        ]
    "#;

    fn row(upstream: &str) -> ModelRow {
        serde_json::from_value(json!({
            "model": "mine", "spec": { "context_max": 9, "output_max": 9 },
            "targets": [{ "provider": "p", "upstream_model": upstream }], "price": null, "inherited": false,
        }))
        .unwrap()
    }

    fn price(from: &str, input: u64, more: &[(&str, Value)]) -> PriceRow {
        let mut row = json!({
            "model": "mine", "from": from, "until": null, "source": "page", "inherited": false,
            "price": { "input": input, "cached": input, "output": 2 * input },
        });
        for (name, value) in more {
            row[*name] = value.clone();
        }
        serde_json::from_value(row).unwrap()
    }

    fn findings(upstream: &str, prices: &[PriceRow], soon: &str) -> Vec<Finding> {
        let list = PriceList::read(LIST).unwrap();
        let check = Check { list: &list, now: "2026-11-30".parse().unwrap(), soon: soon.parse().unwrap() };
        check.model(&row(upstream), prices).iter().map(|line| line.finding).collect()
    }

    #[test]
    fn a_price_as_on_the_list_is_right() {
        let right = [price("2026-09-01", 1_000_000, &[])];
        assert_eq!(findings("m", &right, "2026-12-01"), [Finding::Right]);
        assert_eq!(findings("m-20260901", &right, "2026-12-01"), [Finding::Right]);
        assert_eq!(findings("another", &right, "2026-12-01"), [Finding::NotListed]);
        let own_agreement = [price("2026-10-01", 900_000, &[])];
        assert_eq!(findings("m", &own_agreement, "2026-12-01"), [Finding::Right], "set after the list's");
    }

    #[test]
    fn a_newer_price_on_the_list_is_told() {
        assert_eq!(findings("m", &[price("2026-06-01", 2_000_000, &[])], "2026-12-01"), [Finding::OutOfDate]);
        assert_eq!(
            findings("m", &[price("2026-06-01", 1_000_000, &[])], "2026-12-01"),
            [Finding::Right],
            "the same rates"
        );
    }

    #[test]
    fn what_ends_or_changes_soon_is_told_once_near() {
        let ends = [price("2026-09-01", 1_000_000, &[("ends", json!("2027-01-01")), ("until", json!("2027-01-01"))])];
        assert_eq!(findings("m", &ends, "2026-12-30"), [Finding::Right]);
        assert_eq!(findings("m", &ends, "2027-01-02"), [Finding::EndsSoon, Finding::ChangesSoon]);
        let followed = [ends[0].clone(), price("2027-01-01", 3_000_000, &[])];
        assert_eq!(findings("m", &followed, "2027-01-02"), [Finding::Right]);
    }

    #[test]
    fn no_price_and_no_source_are_told() {
        assert_eq!(findings("m", &[], "2026-12-01"), [Finding::NoPrice]);
        let over = [price("2026-01-01", 1, &[("until", json!("2026-02-01"))])];
        assert_eq!(findings("m", &over, "2026-12-01"), [Finding::NoPrice]);
        let nobody = [price("2026-09-01", 1_000_000, &[("source", Value::Null)])];
        assert_eq!(findings("m", &nobody, "2026-12-01"), [Finding::NoSource]);
    }
}
