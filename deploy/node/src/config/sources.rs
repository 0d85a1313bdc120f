//! Where values come from: the defaults, then the file, then the environment.

use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::{Figment, Provider};
use serde::Serialize;
use serde_json::Value;
use steward_events::BoxError;

use super::settings::{Setting, sections, settings};
use super::{Config, unknown};

/// The file that is read if none is named and it is there.
const FILE: &str = "steward.toml";

/// Who gave a setting its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nobody.
    Default,
    /// This file.
    File(PathBuf),
    /// This variable.
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
        }
    }
}

/// A setting as this process would run with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    /// Its section and name, e.g. `gateway.listen`.
    pub setting: String,
    /// Its value; null if it has none. User and password of a URL are left out.
    pub value: Value,
    /// Who gave it.
    pub source: Source,
}

/// All values in their order: later ones win.
pub(super) fn figment(file: Option<&Path>) -> Result<Figment, BoxError> {
    let path = file.unwrap_or_else(|| Path::new(FILE));
    if file.is_some() && !path.is_file() {
        return Err(format!("there is no configuration file {}", path.display()).into());
    }
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if path.is_file() {
        let toml = Toml::file_exact(path);
        for found in toml.data()?.into_values() {
            unknown::refuse(&found, Some(&path.display().to_string()))?;
        }
        figment = figment.merge(toml);
    }
    let environment = environment();
    for found in environment.data()?.into_values() {
        unknown::refuse(&found, None)?;
    }
    Ok(figment.merge(environment))
}

/// The variables that are ours: other `STEWARD_` variables, e.g. `STEWARD_API_KEY`, are options of the command line.
fn environment() -> Env {
    let top = settings().into_iter().map(|setting| setting.path).filter(|path| !path.contains('.'));
    let ours: Vec<String> = sections().into_iter().map(|section| section.path).chain(top).collect();
    Env::prefixed("STEWARD_").split("__").filter(move |key| {
        let first = key.as_str().split('.').next().unwrap_or_default().to_lowercase();
        ours.contains(&first)
    })
}

impl Config {
    /// Every setting with its value and who gave it.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn effective(file: Option<&Path>) -> Result<Vec<Effective>, BoxError> {
        let config = serde_json::to_value(Self::read(file)?)?;
        let figment = figment(file)?;
        let effective = |setting: Setting| {
            let at = format!("/{}", setting.path.replace('.', "/"));
            let value = without_password(config.pointer(&at).cloned().unwrap_or_default());
            Effective { source: source(&figment, &setting), setting: setting.path, value }
        };
        Ok(settings().into_iter().map(effective).collect())
    }
}

fn source(figment: &Figment, setting: &Setting) -> Source {
    let Some(metadata) = figment.find_metadata(&setting.path) else { return Source::Default };
    match metadata.source.as_ref().and_then(|source| source.file_path()) {
        Some(path) => Source::File(path.to_owned()),
        None if metadata.name.contains("environment") => Source::Environment(setting.variable()),
        None => Source::Default,
    }
}

/// `http://user:secret@host` without user and secret, and so for each of several.
fn without_password(value: Value) -> Value {
    let hidden = |url: &str| {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://…@{host}{path}"))
    };
    match value {
        Value::String(text) => {
            let each: Vec<String> = text.split(',').map(|url| hidden(url).unwrap_or_else(|| url.to_owned())).collect();
            Value::String(each.join(","))
        }
        Value::Array(all) => Value::Array(all.into_iter().map(without_password).collect()),
        other => other,
    }
}
