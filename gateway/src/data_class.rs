//! What a call says of the data it holds: `x-steward-data-class: confidential`. The same in every face.

use http::HeaderMap;
use steward_events::id::DataClass;

use crate::error::Error;

/// The header.
pub(crate) const DATA_CLASS: &str = "x-steward-data-class";

/// The class that a request names; none if it names none.
///
/// # Errors
/// If it names several, or one that can be no class.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<DataClass>, Error> {
    let mut values = headers.get_all(DATA_CLASS).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::bad(DATA_CLASS, "names more than one class; name the strictest"));
    }
    let text = value.to_str().map_err(|_| Error::bad(DATA_CLASS, "is no plain text"))?;
    DataClass::new(text.trim()).map(Some).map_err(|error| Error::bad(DATA_CLASS, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_names_one_class_or_none() {
        let class = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(DATA_CLASS, value.parse().unwrap());
            }
            read(&headers).ok().map(|class| class.map(|class| class.to_string()))
        };
        assert_eq!(class(&[]), Some(None));
        assert_eq!(class(&[" confidential "]), Some(Some("confidential".to_owned())));
        assert_eq!(class(&["public", "secret"]), None);
        assert_eq!(class(&["Top Secret"]), None);
    }
}
