//! What is done with requests of models before they are sent.

use std::collections::BTreeMap;

use steward_events::command::SetPrompt;
use steward_events::event::{CatalogEvent, PromptPolicy};
use steward_events::id::ModelId;
use steward_events::rejection::Rejection;

use super::ITEMS_MAX;
use crate::limit;

/// What one catalog says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Prompts(BTreeMap<ModelId, PromptPolicy>);

impl Prompts {
    pub(super) fn set(&self, set: &SetPrompt) -> Result<Vec<CatalogEvent>, Rejection> {
        let (model, policy) = (set.model.clone(), set.policy());
        if policy.prune && !policy.compress {
            return Err(Rejection::invalid("prune", "is a part of compressing; set compress too"));
        }
        if self.0.get(&model) == Some(&policy) {
            return Ok(vec![]);
        }
        limit::count("prompts", self.0.len() + 1, ITEMS_MAX)?;
        Ok(vec![CatalogEvent::PromptSet { model, policy }])
    }

    pub(super) fn was_set(&mut self, model: ModelId, policy: PromptPolicy) {
        self.0.insert(model, policy);
    }

    /// What holds by `own`, the tenant's catalog, and `above`, the platform's if the model is the platform's.
    pub(super) fn policy(own: Option<&Self>, above: Option<&Self>, model: &ModelId) -> PromptPolicy {
        let of = |of: Option<&Self>| of.and_then(|of| of.0.get(model)).copied();
        of(own).or_else(|| of(above)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use steward_events::command::CatalogCommand;
    use steward_events::event::PromptWindow;

    use super::super::Catalog;
    use super::*;
    use crate::spec::given;

    fn model() -> ModelId {
        "small".parse().unwrap()
    }

    fn set(policy: PromptPolicy) -> CatalogCommand {
        let PromptPolicy { cache_breakpoints, compress, prune, window } = policy;
        CatalogCommand::SetPrompt(SetPrompt { model: model(), cache_breakpoints, compress, prune, window })
    }

    fn was_set(policy: PromptPolicy) -> CatalogEvent {
        CatalogEvent::PromptSet { model: model(), policy }
    }

    #[test]
    fn a_policy_is_recorded_when_it_changes() {
        let policy = PromptPolicy { compress: true, window: Some(PromptWindow::TrimOldest), ..PromptPolicy::default() };
        given::<Catalog>([]).when(set(policy)).then([was_set(policy)]);
        given::<Catalog>([was_set(policy)]).when(set(policy)).then([]);
        given::<Catalog>([was_set(policy)]).when(set(PromptPolicy::default())).then([was_set(PromptPolicy::default())]);
    }

    #[test]
    fn only_what_is_compressed_is_pruned() {
        let refused = Rejection::invalid("prune", "is a part of compressing; set compress too");
        given::<Catalog>([]).when(set(PromptPolicy { prune: true, ..PromptPolicy::default() })).then_rejected(&refused);
        let both = PromptPolicy { prune: true, compress: true, ..PromptPolicy::default() };
        given::<Catalog>([]).when(set(both)).then([was_set(both)]);
    }
}
