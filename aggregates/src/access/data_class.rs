//! Of which class the data at a scope is.

use steward_events::command::SetDataClass;
use steward_events::event::AccessEvent;
use steward_events::id::DataClass;
use steward_events::rejection::Rejection;
use steward_events::scope::Scope;

use super::Access;
use crate::aggregate::Stamp;
use crate::limit;

/// The most scopes that have a class of their own.
const CLASSES_MAX: usize = 1_000;

impl Access {
    /// The class of what names none at `scope`, if it or a scope above has one.
    pub fn data_class(&self, scope: &Scope) -> Option<&DataClass> {
        if self.classes.is_empty() {
            return None;
        }
        scope.ancestors().find_map(|at| self.classes.get(&at))
    }

    pub(super) fn set_data_class(&self, set: &SetDataClass, stamp: &Stamp) -> Result<Vec<AccessEvent>, Rejection> {
        let SetDataClass { scope, class } = set.clone();
        super::within("scope", &scope, stamp)?;
        if self.classes.get(&scope) == class.as_ref() {
            return Ok(vec![]);
        }
        let more = usize::from(class.is_some() && !self.classes.contains_key(&scope));
        limit::count("data classes", self.classes.len() + more, CLASSES_MAX)?;
        Ok(vec![AccessEvent::DataClassSet { scope, class }])
    }
}
