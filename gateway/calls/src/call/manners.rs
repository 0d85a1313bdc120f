//! How each provider's models want to be asked, as far as their refusals taught: once learnt, no call pays for it again with
//! a refusal. Forgotten with the process.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use steward_events::event::Operation;

use crate::dialect::Speaks;

/// Models of providers that are remembered; beyond that all are forgotten.
const MODELS_MAX: usize = 4_096;

/// What was learnt, by what is asked for, a provider's address and its name of the model.
#[derive(Default)]
pub(super) struct Manners(RwLock<HashMap<(Operation, String, String), Speaks>>);

impl Manners {
    /// How `model` at `url` is spoken with to be asked for this; `usual` if nothing else was learnt.
    pub(super) fn of(&self, operation: Operation, (url, model): (&str, &str), usual: Speaks) -> Speaks {
        let learnt = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if learnt.is_empty() {
            return usual;
        }
        learnt.get(&(operation, url.to_owned(), model.to_owned())).copied().unwrap_or(usual)
    }

    /// From now on `model` at `url` is spoken with so.
    pub(super) fn learn(&self, operation: Operation, (url, model): (&str, &str), speaks: Speaks) {
        let mut learnt = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if learnt.len() >= MODELS_MAX {
            learnt.clear();
        }
        learnt.insert((operation, url.to_owned(), model.to_owned()), speaks);
    }
}
