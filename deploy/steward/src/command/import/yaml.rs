//! YAML as a tree whose nodes know their lines. What is read may come from anywhere: size, depth, nodes and what aliases
//! repeat have bounds, and no error repeats a line of the file, which may hold a secret.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use steward_events::BoxError;

use super::notes::{Notes, Place};

/// The deepest nesting.
const DEPTH_MAX: usize = 32;

/// The most values of a file, counted again wherever an alias repeats them.
const NODES_MAX: usize = 200_000;

/// The most aliases.
const ALIASES_MAX: usize = 1_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    line: u64,
    value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    /// True or false: nothing that is read here is one.
    Bool,
    /// A number in decimals.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Reads a file's text.
///
/// # Errors
/// What is wrong, with line and column.
pub(super) fn read(text: &str) -> Result<Node, BoxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: NODES_MAX,
            max_replay_stack_depth: DEPTH_MAX,
        },
        with_snippet: false,
        // A model may be called n or on.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string().into())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { line: referenced.line(), value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
                Ok(Value::Bool)
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Number(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Number(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Number(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Value::List(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    all.push(entry);
                }
                Ok(Value::Map(all))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// A value with its path.
#[derive(Clone, Debug)]
pub(super) struct Found<'n> {
    pub(super) place: Place,
    value: &'n Value,
}

impl<'n> Found<'n> {
    /// The whole file.
    pub(super) fn top(node: &'n Node) -> Self {
        Self { place: Place { path: String::new(), line: Some(node.line) }, value: &node.value }
    }

    fn within(&self, name: &str, node: &'n Node) -> Self {
        let path = if self.place.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place.path) };
        Self { place: Place { path, line: Some(node.line) }, value: &node.value }
    }

    /// True if nothing stands there.
    pub(super) const fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// A text; a number is one, too. None of anything else.
    pub(super) fn text(&self) -> Option<&'n str> {
        match self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            _ => None,
        }
    }

    /// A number in decimals; one in quotes is one, too.
    pub(super) fn number(&self) -> Option<&'n str> {
        self.text()
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<Vec<Self>> {
        let Value::List(items) = self.value else { return None };
        let item = |(at, node): (usize, &'n Node)| Self {
            place: Place { path: format!("{}[{at}]", self.place.path), line: Some(node.line) },
            value: &node.value,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The entries of a table.
    pub(super) fn entries(&self) -> Option<Vec<(&'n str, Self)>> {
        let Value::Map(entries) = self.value else { return None };
        Some(entries.iter().map(|(name, node)| (name.as_str(), self.within(name, node))).collect())
    }

    /// A table, to be taken apart.
    pub(super) fn section(&self) -> Option<Section<'n>> {
        Some(Section { place: self.place.clone(), left: self.entries()? })
    }

    /// The texts of a list, or the one that stands there alone.
    pub(super) fn texts(&self) -> Option<Vec<&'n str>> {
        match self.items() {
            Some(items) => items.iter().map(Self::text).collect(),
            None => self.text().map(|one| vec![one]),
        }
    }
}

/// A table that is taken apart name by name, so that what nobody took can be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Section<'n> {
    pub(super) place: Place,
    left: Vec<(&'n str, Found<'n>)>,
}

impl<'n> Section<'n> {
    /// What stands under `name`; null is nothing.
    pub(super) fn take(&mut self, name: &str) -> Option<Found<'n>> {
        let at = self.left.iter().position(|(known, _)| *known == name)?;
        Some(self.left.remove(at).1).filter(|found| !found.is_null())
    }

    /// The names that are left and are like this.
    pub(super) fn names(&self, is_like: impl Fn(&str) -> bool) -> Vec<String> {
        self.left.iter().map(|(name, _)| *name).filter(|name| is_like(name)).map(str::to_owned).collect()
    }

    /// The same, read by `read`; noted if that cannot.
    pub(super) fn take_as<T>(
        &mut self,
        name: &str,
        (wanted, read): (&str, impl FnOnce(&Found<'n>) -> Option<T>),
        notes: &mut Notes,
    ) -> Option<(Place, T)> {
        let found = self.take(name)?;
        let read = read(&found);
        if read.is_none() {
            notes.not(&found.place, format!("left out, because it is not {wanted}"));
        }
        read.map(|value| (found.place, value))
    }

    /// A text under `name`.
    pub(super) fn text(&mut self, name: &str, notes: &mut Notes) -> Option<(Place, &'n str)> {
        self.take_as(name, ("a text", Found::text), notes)
    }

    /// A table under `name`; empty if there is none.
    pub(super) fn section(&mut self, name: &str, notes: &mut Notes) -> Self {
        self.take_as(name, ("a table", Found::section), notes).map(|(_, section)| section).unwrap_or_default()
    }

    /// The items of a list under `name`; none if there is no list.
    pub(super) fn items(&mut self, name: &str, notes: &mut Notes) -> Vec<Found<'n>> {
        self.take_as(name, ("a list", Found::items), notes).map(|(_, items)| items).unwrap_or_default()
    }

    /// Adds what `other` has and this has not.
    pub(super) fn fill_from(&mut self, other: &Self) {
        let missing = other.left.iter().filter(|(name, _)| !self.left.iter().any(|(known, _)| known == name));
        let missing: Vec<_> = missing.cloned().collect();
        self.left.extend(missing);
    }

    /// What nobody took.
    pub(super) fn rest(self) -> Vec<(&'n str, Found<'n>)> {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn values_know_their_lines_and_paths() {
        let node = read("a: 1\nb:\n  - c: os.environ/X\n    d: 1.5e-07\n").unwrap();
        let mut top = Found::top(&node).section().unwrap();
        let mut notes = Notes::default();
        assert_eq!(top.text("a", &mut notes).unwrap().1, "1");
        let items = top.items("b", &mut notes);
        let mut first = items[0].section().unwrap();
        let (place, text) = first.text("c", &mut notes).unwrap();
        assert_eq!((place.path.as_str(), place.line, text), ("b[0].c", Some(3), "os.environ/X"));
        assert_eq!(first.take("d").unwrap().number(), Some("0.00000015"));
        assert!(first.rest().is_empty() && top.rest().is_empty());
    }

    #[test]
    fn a_slip_is_told_with_its_place_and_without_its_line() {
        let told = error("key: sk-very-secret\nlist: [1, 2\nnext: x\n");
        assert!(told.contains("line") && !told.contains("sk-very-secret"), "{told}");
        assert!(error("a: 1\na: 2\n").contains('2'));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let level = |level: usize| {
            let below = level.checked_sub(1).map_or_else(|| "x".to_owned(), |below| format!("*a{below}"));
            format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "))
        };
        let bomb: String = (0..12).map(level).collect();
        assert!(read(&bomb).is_err());
        let harmless: String = (0..3).map(level).collect();
        assert!(read(&harmless).is_ok());
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(read(&"[".repeat(10_000)).is_err());
        assert!(read(&format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1))).is_err());
        assert!(read(&format!("{}{}", "[".repeat(DEPTH_MAX - 1), "]".repeat(DEPTH_MAX - 1))).is_ok());
    }

    #[test]
    fn several_documents_are_refused() {
        assert!(read("a: 1\n---\nb: 2\n").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            let _ = read(&text);
        }
    }
}
