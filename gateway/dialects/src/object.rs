//! Objects of a request that is translated: read field by field, so that nothing is lost unseen, and written without a tree.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use steward_answers::json::Json;

use super::Fields;
use crate::error::Error;

/// Items of one list that are translated: each is an object of its own in memory.
const ITEMS_MAX: usize = 16_384;

/// An object that is read. Whoever asks for a field takes it; what is left at the end is refused by its name.
pub(super) struct Reading {
    /// Where it stands in the request; empty for the request itself.
    path: String,
    fields: Fields,
}

impl Reading {
    /// The fields of a whole request.
    pub(super) fn of_request(fields: Fields) -> Self {
        Self { path: String::new(), fields }
    }

    /// The object `json`, which stands at `path`.
    pub(super) fn of(path: String, json: &Bytes) -> Result<Self, Error> {
        match Fields::read(json) {
            Ok(fields) => Ok(Self { path, fields }),
            Err(error) => Err(Error::bad(&path, format!("{path} must be an object: {error}"))),
        }
    }

    /// Where its field `name` stands.
    pub(super) fn place(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Says that its field `name` cannot be right, and why.
    pub(super) fn bad(&self, name: &str, why: &str) -> Error {
        let place = self.place(name);
        Error::bad(&place, format!("{place} {why}"))
    }

    /// Says that what its field `name` says cannot be told a provider that speaks another dialect.
    pub(super) fn untranslatable(&self, name: &str) -> Error {
        untranslatable(&self.place(name))
    }

    /// Takes a field, as JSON; none if it is not there, or `null`.
    pub(super) fn raw(&mut self, name: &str) -> Option<Bytes> {
        self.fields.take(name).filter(|value| value.as_ref() != b"null")
    }

    /// Puts a field back that was taken to look at it.
    pub(super) fn put_back(&mut self, name: &str, value: Bytes) {
        self.fields.set(name, value);
    }

    /// Takes a field, which is to be `wanted`.
    pub(super) fn read<T: DeserializeOwned>(&mut self, name: &str, wanted: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        serde_json::from_slice(&value).map(Some).map_err(|_| self.bad(name, &format!("must be {wanted}")))
    }

    /// Takes a text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        self.read(name, "a string")
    }

    /// Takes a text that must be there.
    pub(super) fn needed(&mut self, name: &str) -> Result<String, Error> {
        self.text(name)?.ok_or_else(|| self.bad(name, "is missing"))
    }

    /// Takes true or false.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Error> {
        self.read(name, "true or false")
    }

    /// Takes JSON that goes on as it is.
    pub(super) fn json(&mut self, name: &str) -> Result<Option<Box<RawValue>>, Error> {
        self.read(name, "JSON")
    }

    /// Takes an object.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Self>, Error> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        Self::of(self.place(name), &value).map(Some)
    }

    /// Takes a list, each item with where it stands.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<(String, Bytes)>, Error> {
        let Some(value) = self.raw(name) else { return Ok(Vec::new()) };
        let items: Vec<&RawValue> =
            serde_json::from_slice(&value).map_err(|error| self.bad(name, &format!("must be a list: {error}")))?;
        if items.len() > ITEMS_MAX {
            return Err(self.bad(name, &format!("has more than {ITEMS_MAX} items")));
        }
        let place = self.place(name);
        let item =
            |(number, item): (usize, &&RawValue)| (format!("{place}.{number}"), value.slice_ref(item.get().as_bytes()));
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// Takes fields of which nothing must be told, because they change no answer, or say what goes without saying.
    pub(super) fn pass_over(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(name);
        }
    }

    /// Takes a field that may have one of these values, which go without saying.
    pub(super) fn only(&mut self, name: &str, values: &[&str]) -> Result<(), Error> {
        match self.text(name)? {
            Some(value) if !values.contains(&value.as_str()) => Err(self.untranslatable(name)),
            _ => Ok(()),
        }
    }

    /// Nothing that says something may be left.
    pub(super) fn end(self) -> Result<(), Error> {
        match self.fields.iter().find(|(_, value)| !Json::begun(value).is_nothing()) {
            Some((name, _)) => Err(self.untranslatable(name)),
            None => Ok(()),
        }
    }
}

/// Says that what stands at `place` cannot be told a provider that speaks another dialect.
pub(super) fn untranslatable(place: &str) -> Error {
    let message =
        format!("`{place}` cannot be said to the provider of this model, which speaks another dialect: leave it out");
    Error::bad(place, message)
}

/// An object that is written.
pub(super) struct Writing(Vec<u8>);

impl Writing {
    pub(super) fn new() -> Self {
        Self(vec![b'{'])
    }

    /// With a field.
    pub(super) fn with(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.name(name);
        // Texts, numbers and JSON are always JSON, and memory takes what is written to it.
        let _ = serde_json::to_writer(&mut self.0, value);
        self
    }

    /// With a field, if there is a value.
    pub(super) fn perhaps(self, name: &str, value: Option<&(impl Serialize + ?Sized)>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With a field whose value is JSON already.
    pub(super) fn with_json(mut self, name: &str, value: &[u8]) -> Self {
        self.name(name);
        self.0.extend_from_slice(value);
        self
    }

    /// With a list of what is JSON already.
    pub(super) fn with_list(self, name: &str, items: &[Bytes]) -> Self {
        let list = list(items);
        self.with_json(name, &list)
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        let _ = serde_json::to_writer(&mut self.0, name);
        self.0.push(b':');
    }

    /// The object, as JSON.
    pub(super) fn end(mut self) -> Bytes {
        self.0.push(b'}');
        self.0.into()
    }
}

/// A list of what is JSON already.
pub(super) fn list(items: &[Bytes]) -> Vec<u8> {
    let mut list = vec![b'['];
    for item in items {
        if list.len() > 1 {
            list.push(b',');
        }
        list.extend_from_slice(item);
    }
    list.push(b']');
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &'static str) -> Reading {
        Reading::of("a".to_owned(), &Bytes::from_static(text.as_bytes())).unwrap()
    }

    fn blamed(error: Error) -> String {
        match error {
            Error::BadRequest { param, .. } => param.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_nobody_asked_for_is_refused_by_its_place() {
        let mut it = reading(r#"{"b":"x","c":null,"d":false,"e":[],"f":0,"g":7}"#);
        assert_eq!(it.text("b").unwrap().unwrap(), "x");
        assert_eq!(blamed(it.end().unwrap_err()), "a.g");
        assert!(reading(r#"{"c":null,"d":false,"e":{}}"#).end().is_ok());
    }

    #[test]
    fn a_wrong_kind_is_told_by_its_place() {
        assert_eq!(blamed(reading(r#"{"b":7}"#).text("b").unwrap_err()), "a.b");
        assert_eq!(blamed(reading("{}").needed("b").unwrap_err()), "a.b");
        let items = reading(r#"{"b":[1, {"x":2}]}"#).list("b").unwrap();
        assert_eq!(items, [("a.b.0".to_owned(), "1".into()), ("a.b.1".to_owned(), r#"{"x":2}"#.into())]);
    }

    #[test]
    fn an_object_is_written_as_it_was_put_together() {
        let inner = Writing::new().with("x", &1).end();
        let whole = Writing::new().with("a", "é\"").perhaps("b", None::<&str>).with_list("c", &[inner.clone(), inner]);
        assert_eq!(whole.end(), r#"{"a":"é\"","c":[{"x":1},{"x":1}]}"#);
    }
}
