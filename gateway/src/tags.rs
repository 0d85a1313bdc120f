//! What a call says of itself for its route: `x-steward-route-tags: eu,fast`. The same in every face.

use http::HeaderMap;
use steward_aggregates::catalog::{TAG_BYTES_MAX, TAGS_MAX};

use crate::error::Error;

/// The header.
pub(crate) const ROUTE_TAGS: &str = "x-steward-route-tags";

/// The tags of a request; none if it says none.
///
/// # Errors
/// If there are too many, or one is longer than any that a target can have.
pub(crate) fn read(headers: &HeaderMap) -> Result<Vec<String>, Error> {
    let mut tags = Vec::new();
    for value in headers.get_all(ROUTE_TAGS) {
        let text = value.to_str().map_err(|_| Error::bad(ROUTE_TAGS, "is no plain text"))?;
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            if tags.len() == TAGS_MAX || tag.len() > TAG_BYTES_MAX {
                let bounds = format!("holds at most {TAGS_MAX} tags of at most {TAG_BYTES_MAX} bytes");
                return Err(Error::bad(ROUTE_TAGS, bounds));
            }
            tags.push(tag.to_owned());
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(values: &[&str]) -> Option<Vec<String>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ROUTE_TAGS, value.parse().unwrap());
        }
        read(&headers).ok()
    }

    #[test]
    fn tags_stand_between_commas_in_any_number_of_headers() {
        assert_eq!(tags(&[]), Some(vec![]));
        assert_eq!(tags(&["eu, fast ,", "more"]).unwrap(), ["eu", "fast", "more"]);
    }

    #[test]
    fn tags_are_taken_up_to_their_bounds() {
        let (most, longest) = (vec!["t"; TAGS_MAX], "t".repeat(TAG_BYTES_MAX));
        assert_eq!(tags(&[&most.join(",")]).unwrap().len(), TAGS_MAX);
        assert_eq!(tags(&[&most.join(","), "t"]), None);
        assert!(tags(&[&longest]).is_some() && tags(&[&format!("{longest}t")]).is_none());
    }
}
