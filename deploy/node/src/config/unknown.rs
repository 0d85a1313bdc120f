//! Names that no setting has: they are refused, with the nearest name that one has.

use figment::value::{Dict, Value};
use steward_events::BoxError;

use super::settings::{sections, settings, variable};

/// Below this likeness a name is no help.
const LIKENESS_MIN: f64 = 0.6;

/// Refuses a name in `found` that is no setting. `origin` says where it was found; variables are named as such.
pub(super) fn refuse(found: &Dict, origin: Option<&str>) -> Result<(), BoxError> {
    let sections: Vec<String> = sections().into_iter().map(|section| section.path).collect();
    let settings: Vec<String> = settings().into_iter().map(|setting| setting.path).collect();
    let Some(path) = first_unknown("", found, &sections, &settings) else { return Ok(()) };
    let spelled = |path: &str| if origin.is_some() { path.to_owned() } else { variable(path) };
    let nearest = nearest(&path, settings.iter().chain(&sections));
    let hint = nearest.map_or_else(String::new, |near| format!("; the nearest name is {}", spelled(near)));
    let place = origin.unwrap_or("the environment");
    Err(format!("{place}: there is no setting {}{hint} (all of them: steward docs configuration)", spelled(&path))
        .into())
}

fn first_unknown(above: &str, found: &Dict, sections: &[String], settings: &[String]) -> Option<String> {
    found.iter().find_map(|(name, value)| {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            Value::Dict(_, within) if sections.contains(&path) => first_unknown(&path, within, sections, settings),
            // A value where a section should be is refused when it is read, with its type.
            _ if settings.contains(&path) || sections.contains(&path) => None,
            _ => Some(path),
        }
    })
}

/// The most alike by the name itself and by the whole path, so that a setting in the wrong section is found too.
fn nearest<'a>(path: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let name = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let alike = |other: &str| {
        let by_name = strsim::normalized_damerau_levenshtein(&name(path), &name(other));
        (2.0 * by_name + strsim::normalized_damerau_levenshtein(path, other)) / 3.0
    };
    let (likeness, best) = known.map(|other| (alike(other), other)).max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (likeness >= LIKENESS_MIN).then_some(best)
}
