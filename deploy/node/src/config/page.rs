//! docs/CONFIGURATION.md, made from the types.

use std::fmt::Write as _;

use serde_json::Value;

use super::settings::{Setting, sections, settings};

const HEAD: &str = "# Configuration\n\n\
Made from the types by `steward docs configuration`; a test says so. Each section is the `Config` of the crate that it is\n\
for.\n\n\
A process reads `steward.toml` in its working folder, or the file that `--config` or `STEWARD_CONFIG` names; then the\n\
environment, whose variables override the file. Every setting has a default that works. A name that no setting has is\n\
refused, with the nearest that one has. `steward config show` prints each value and where it comes from. A span of time\n\
is written with its units, e.g. `500ms`, `30s`, `1m 30s`. Lists in variables are written as `[\"a\", \"b\"]`.\n\n\
Secrets are no settings: keys of providers are references (`env:NAME`, `file:PATH`) in the catalog, and the keys of an\n\
installation are files in its data folder.\n";

/// The page.
pub fn page() -> String {
    let (sections, settings) = (sections(), settings());
    let of = |section: &str| -> Vec<&Setting> { settings.iter().filter(|s| s.section() == section).collect() };
    let mut page = HEAD.to_owned();
    _ = write!(page, "\n## Above all sections\n\n{}", table(&of("")));
    for section in &sections {
        _ = write!(page, "\n## `[{}]`\n\n{}.\n\n", section.path, section.meaning.trim_end_matches('.'));
        page.push_str(&table(&of(&section.path)));
    }
    _ = write!(
        page,
        "\n## The file with every setting at its default\n\nWhat has no default is commented out.\n\n```toml\n{}```\n",
        example(&of(""), &sections.iter().map(|s| (s.path.as_str(), of(&s.path))).collect::<Vec<_>>())
    );
    page
}

fn table(settings: &[&Setting]) -> String {
    let mut table = String::from("| setting | variable | value | default | meaning |\n|---|---|---|---|---|\n");
    for setting in settings {
        let default = match &setting.default {
            Value::Null => "–".to_owned(),
            value => format!(
                "`{}`",
                value.as_str().filter(|text| !text.is_empty()).map_or_else(|| value.to_string(), str::to_owned)
            ),
        };
        _ = writeln!(
            table,
            "| `{}` | `{}` | {} | {default} | {} |",
            setting.name(),
            setting.variable(),
            setting.form,
            setting.meaning.replace('|', "\\|")
        );
    }
    table
}

fn example(top: &[&Setting], sections: &[(&str, Vec<&Setting>)]) -> String {
    let mut file = String::new();
    let mut lines = |heading: Option<&str>, settings: &[&Setting]| {
        if let Some(heading) = heading {
            // An optional section that is there must be whole.
            let absent = settings.iter().all(|setting| setting.default.is_null());
            _ = writeln!(file, "\n{}[{heading}]", if absent { "# " } else { "" });
        }
        for setting in settings {
            _ = match &setting.default {
                Value::Null => writeln!(file, "# {} =", setting.name()),
                value => writeln!(file, "{} = {value}", setting.name()),
            };
        }
    };
    lines(None, top);
    for (heading, settings) in sections {
        lines(Some(heading), settings);
    }
    file
}
