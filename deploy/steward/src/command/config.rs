//! `steward config`: with which settings a process of this configuration would run.

use std::path::Path;

use steward_events::BoxError;

use crate::config::Config;
use crate::output;

pub(super) fn show(file: Option<&Path>, json: bool) -> Result<(), BoxError> {
    let effective = Config::effective(file)?;
    if json {
        return output::json(&effective);
    }
    let rows = effective.into_iter().map(|one| {
        let value = if one.value.is_null() { "–".to_owned() } else { one.value.to_string() };
        vec![one.setting, value, one.source.to_string()]
    });
    output::say_lines(&output::table(&["setting", "value", "from"], &[], rows));
    Ok(())
}
