//! Feature flags: for whom each is on.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{FlagId, PrincipalId};

/// Into how many parts principals fall: a percent is a hundred of them.
const PARTS: u64 = 10_000;

/// For whom a flag is on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlagSpec {
    /// For all who are not named: `on`, `off`, or for a share of them such as `25%`.
    pub state: FlagState,
    /// On for these principals, whatever the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_for: Vec<PrincipalId>,
    /// Off for these principals, whatever the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub off_for: Vec<PrincipalId>,
}

impl FlagSpec {
    /// Whether the flag called `flag` is on for `principal`: the same at every question, and for whom it is on at one percentage
    /// it is on at every higher one.
    pub fn is_on(&self, flag: &FlagId, principal: &PrincipalId) -> bool {
        if self.off_for.contains(principal) {
            return false;
        }
        self.on_for.contains(principal) || part(flag, principal) < u64::from(self.state.0) * (PARTS / 100)
    }
}

/// Which part a principal falls into: another for each flag, so that it is not always the same people who come first.
fn part(flag: &FlagId, principal: &PrincipalId) -> u64 {
    let hash = blake3::hash(format!("flag\0{flag}\0{principal}").as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    // Of 2^64 numbers no part has a share that is off by more than one in 10^15.
    u64::from_le_bytes(first) % PARTS
}

/// Of how many percent of the principals a flag is on: `off`, `on` or `25%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlagState(u8);

impl FlagState {
    /// On for nobody who is not named.
    pub const OFF: Self = Self(0);
    /// On for everybody who is not named otherwise.
    pub const ON: Self = Self(100);
}

/// A text that says no state of a flag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a flag's state: write on, off, or a share of the principals such as 25%")]
pub struct InvalidFlagState(pub String);

impl FromStr for FlagState {
    type Err = InvalidFlagState;

    fn from_str(text: &str) -> Result<Self, InvalidFlagState> {
        let percent = match text {
            "on" => Some(100),
            "off" => Some(0),
            _ => text.strip_suffix('%').and_then(|number| number.parse().ok()).filter(|percent| *percent <= 100),
        };
        percent.map(Self).ok_or_else(|| InvalidFlagState(text.chars().take(40).collect()))
    }
}

impl fmt::Display for FlagState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.pad("off"),
            100 => f.pad("on"),
            percent => f.pad(&format!("{percent}%")),
        }
    }
}

impl Serialize for FlagState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FlagState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::read(deserializer)
    }
}

impl JsonSchema for FlagState {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FlagState".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "on, off, or a share of the principals such as 25%",
                       "pattern": "^(on|off|(100|[0-9]{1,2})%)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(state: &str) -> FlagSpec {
        FlagSpec { state: state.parse().unwrap(), ..FlagSpec::default() }
    }

    fn somebody(number: u32) -> PrincipalId {
        PrincipalId::new(format!("p_{number}")).unwrap()
    }

    #[test]
    fn a_higher_percentage_never_turns_anybody_off() {
        let name = FlagId::new("new-search").unwrap();
        for number in 0..2_000 {
            let who = somebody(number);
            let on: Vec<bool> = (0..=100).map(|percent| flag(&format!("{percent}%")).is_on(&name, &who)).collect();
            assert!(on.is_sorted() && !on[0] && on[100], "{who}");
        }
    }

    #[test]
    fn a_percentage_is_about_that_many_and_others_for_another_flag() {
        let (search, chat) = (FlagId::new("search").unwrap(), FlagId::new("chat").unwrap());
        let on = |name: &FlagId| (0..10_000).filter(|n| flag("25%").is_on(name, &somebody(*n))).count();
        assert!((2_300..2_700).contains(&on(&search)), "{}", on(&search));
        let both = |n: &u32| flag("25%").is_on(&search, &somebody(*n)) && flag("25%").is_on(&chat, &somebody(*n));
        let both = (0..10_000).filter(both).count();
        assert!((500..750).contains(&both), "a sixteenth by chance: {both}");
    }

    #[test]
    fn who_is_named_is_on_or_off_whatever_the_state() {
        let name = FlagId::new("search").unwrap();
        let (ana, ben) = (somebody(1), somebody(2));
        let named = |state| FlagSpec { on_for: vec![ana.clone()], off_for: vec![ben.clone()], ..flag(state) };
        for state in ["on", "off", "50%"] {
            assert!(named(state).is_on(&name, &ana) && !named(state).is_on(&name, &ben), "{state}");
        }
    }

    #[test]
    fn a_state_is_read_as_it_is_shown() {
        for text in ["on", "off", "1%", "99%"] {
            assert_eq!(text.parse::<FlagState>().unwrap().to_string(), text);
        }
        for text in ["", "101%", "-1%", "yes", "25"] {
            assert!(text.parse::<FlagState>().is_err(), "{text:?}");
        }
    }
}
