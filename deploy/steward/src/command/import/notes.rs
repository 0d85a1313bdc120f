//! What became of each part of another gateway's file.

use serde::Serialize;

use crate::output;

/// How far something maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It holds here as it did there.
    Maps,
    /// It holds here in another way.
    Partly,
    /// It is left out.
    Not,
    /// As long as it stands there, nothing is applied.
    Refused,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Maps => "maps",
            Self::Partly => "partly",
            Self::Not => "not",
            Self::Refused => "refused",
        }
    }
}

/// Where something stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// Its names from the top: `model_list[0].litellm_params.model`.
    pub(super) path: String,
    /// Its line, from 1; none if the file has only paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u64>,
}

/// What became of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Note {
    outcome: Outcome,
    #[serde(flatten)]
    place: Place,
    /// What it became, or what to do instead. It never repeats a value of the file that may be a secret.
    says: String,
}

/// What became of all parts.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub(super) fn maps(&mut self, place: &Place, says: impl Into<String>) {
        self.add(Outcome::Maps, place, says.into());
    }

    pub(super) fn partly(&mut self, place: &Place, says: impl Into<String>) {
        self.add(Outcome::Partly, place, says.into());
    }

    pub(super) fn not(&mut self, place: &Place, says: impl Into<String>) {
        self.add(Outcome::Not, place, says.into());
    }

    pub(super) fn refused(&mut self, place: &Place, says: impl Into<String>) {
        self.add(Outcome::Refused, place, says.into());
    }

    fn add(&mut self, outcome: Outcome, place: &Place, says: String) {
        self.0.push(Note { outcome, place: place.clone(), says });
    }

    /// The same in the order of the file.
    pub(super) fn sorted(mut self) -> Self {
        self.0.sort_by_key(|note| note.place.line);
        self
    }

    /// How many have this outcome.
    pub(super) fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|note| note.outcome == outcome).count()
    }

    /// Prints each, and how many there are.
    pub(super) fn show(&self) {
        output::say_lines(&self.text());
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for Note { outcome, place: Place { path, line }, says } in &self.0 {
            let line = line.map_or_else(String::new, |line| format!(" (line {line})"));
            lines.push(format!("  {:<8}{path}{line}: {says}", outcome.word()));
        }
        let [maps, partly, not, refused] =
            [Outcome::Maps, Outcome::Partly, Outcome::Not, Outcome::Refused].map(|outcome| self.count(outcome));
        lines.push(format!("  {maps} map, {partly} map partly, {not} do not, {refused} are refused"));
        lines.join("\n")
    }
}

#[cfg(test)]
impl Notes {
    /// `outcome path: says` of each.
    pub(super) fn lines(&self) -> Vec<String> {
        self.text().lines().map(|line| line.trim_start().to_owned()).collect()
    }
}
