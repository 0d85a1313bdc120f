//! What is imported, fitted to what holds: a tenant keeps its time zone, and a price that is in force is not set again. One
//! that differs begins at the next midnight (UTC), because what was charged is never charged anew.

use std::time::Duration;

use serde_json::{Value, json};
use steward_events::BoxError;
use steward_events::quantity::InvalidQuantity;
use steward_events::timestamp::Timestamp;

use super::Dates;
use super::notes::{Notes, Place};
use crate::command::apply::setting::{Kind, Setting, Settings};

const DAY: Duration = Duration::from_hours(24);

/// The midnight (UTC) before `at`, so many days later.
pub(super) fn midnight(at: Timestamp, days: u32) -> Result<Timestamp, BoxError> {
    let day: String = at.to_string().chars().take(10).collect();
    let midnight = day.parse::<Timestamp>().map_err(|error: InvalidQuantity| error.to_string())?;
    Ok(midnight.plus(DAY.saturating_mul(days)))
}

/// Fits `file` to `log`, and tells what begins later than it says.
pub(super) fn fit(file: &mut Settings, log: &Settings, dates: Dates, notes: &mut Notes) {
    let wanted = std::mem::take(file);
    for (name, mut setting) in wanted {
        match setting.kind {
            Kind::Tenant => {
                if let Some(holds) = log.get(&name) {
                    setting.fields.clone_from(&holds.fields);
                }
                file.insert(name, setting);
            }
            Kind::Price => {
                if let Some(fitted) = price(setting, log, dates, notes) {
                    file.insert(fitted.name(), fitted);
                }
            }
            _ => _ = file.insert(name, setting),
        }
    }
}

/// A price as it can be set; none if it holds, or ends before it could begin.
fn price(setting: Setting, log: &Settings, dates: Dates, notes: &mut Notes) -> Option<Setting> {
    let moment = |text: &str| text.parse::<Timestamp>().ok();
    let begun = moment(setting.id("from")).is_some_and(|from| from <= dates.now);
    let in_force = in_force(&setting, log, dates.now);
    let Some(holds) = in_force.filter(|_| begun) else { return Some(setting) };
    let same =
        ["price", "variants", "until"].iter().all(|field| setting.fields.get(*field) == holds.fields.get(*field));
    if same {
        return None;
    }
    if dates.is_typed {
        return Some(setting);
    }
    let from = midnight(dates.now, 1).ok()?;
    let until = setting.fields.get("until").and_then(Value::as_str).and_then(moment);
    if until.is_some_and(|until| until <= from) {
        return None;
    }
    let model = setting.id("model").to_owned();
    let place = Place { path: format!("price of {model}"), line: None };
    notes.partly(&place, format!("begins on {from}, because {model} has another now; --from sets another moment"));
    let id = (json!({ "model": model, "from": from }), format!("{model} from {from}"));
    Some(Setting::new(&setting.tenant, Kind::Price, id, Value::Object(setting.fields)))
}

/// The price of the same model that is in force.
fn in_force<'l>(setting: &Setting, log: &'l Settings, now: Timestamp) -> Option<&'l Setting> {
    let moment = |text: &str| text.parse::<Timestamp>().ok();
    let of_model = log.values().filter(|other| {
        other.kind == Kind::Price && other.tenant == setting.tenant && other.id("model") == setting.id("model")
    });
    let begun = of_model.filter_map(|other| Some((moment(other.id("from"))?, other))).filter(|(from, _)| *from <= now);
    let (_, last) = begun.max_by_key(|(from, _)| *from)?;
    let until = last.fields.get("until").and_then(Value::as_str).and_then(moment);
    until.is_none_or(|until| until > now).then_some(last)
}

#[cfg(test)]
mod tests {
    use steward_events::id::TenantId;

    use super::*;

    fn dates(is_typed: bool) -> Dates {
        let now = "2026-11-30T10:00:00Z".parse().unwrap();
        Dates { now, from: "2026-11-30".parse().unwrap(), is_typed }
    }

    fn prices(all: &[(&str, u64)]) -> Settings {
        let one = |(from, input): &(&str, u64)| {
            let from: Timestamp = from.parse().unwrap();
            let id = (json!({ "model": "m", "from": from }), format!("m from {from}"));
            Setting::new(&TenantId::steward(), Kind::Price, id, json!({ "price": { "input": input }, "source": from }))
        };
        all.iter().map(one).map(|setting| (setting.name(), setting)).collect()
    }

    fn fitted(file: &[(&str, u64)], log: &[(&str, u64)], is_typed: bool) -> Vec<String> {
        let (mut file, mut notes) = (prices(file), Notes::default());
        fit(&mut file, &prices(log), dates(is_typed), &mut notes);
        file.values().map(|setting| setting.id("from").to_owned()).collect()
    }

    #[test]
    fn a_price_that_is_in_force_is_not_set_again() {
        assert!(fitted(&[("2026-11-30", 1)], &[("2026-11-01", 1)], false).is_empty());
        assert!(fitted(&[("2026-11-30", 1)], &[("2026-11-30", 1)], false).is_empty());
    }

    #[test]
    fn another_price_begins_at_the_next_midnight() {
        assert_eq!(fitted(&[("2026-11-30", 2)], &[("2026-11-01", 1)], false), ["2026-12-01T00:00:00Z"]);
        assert_eq!(fitted(&[("2026-11-30", 2)], &[("2026-11-01", 1)], true), ["2026-11-30T00:00:00Z"], "as was typed");
        assert_eq!(fitted(&[("2026-11-30", 2)], &[], false), ["2026-11-30T00:00:00Z"], "there was none");
        assert_eq!(fitted(&[("2027-01-01", 2)], &[("2026-11-01", 1)], false), ["2027-01-01T00:00:00Z"], "to come");
    }

    #[test]
    fn a_tenant_keeps_its_time_zone() {
        let acme: TenantId = "acme".parse().unwrap();
        let zone = |zone: &str| {
            let setting = Setting::new(
                &acme,
                Kind::Tenant,
                (json!({ "tenant": "acme" }), "acme".to_owned()),
                json!({ "timezone": zone }),
            );
            Settings::from([(setting.name(), setting)])
        };
        let (mut file, log) = (zone("UTC"), zone("Europe/Berlin"));
        fit(&mut file, &log, dates(false), &mut Notes::default());
        assert_eq!(file, log);
    }
}
