//! What would have been answered otherwise, summed by whose it was and what they wanted.

use std::collections::BTreeMap;

use steward_events::id::{KeyId, ModelId, PrincipalId};
use steward_events::permission::Permission;
use steward_events::quantity::{Amounts, NanoDollars};
use steward_events::scope::Scope;
use steward_events::timestamp::Timestamp;
use steward_queries::{Effect, Happened, Outcome};

/// However many one commit adds, no more are listed.
const LISTED_MAX: usize = 2_000;
/// How many examples of an effect are named.
const FIRST_MAX: usize = 3;

/// What of an effect is one with others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Same {
    pub(super) what: Happened,
    pub(super) outcome: Outcome,
    pub(super) principal: PrincipalId,
    pub(super) key: Option<KeyId>,
    pub(super) permission: Permission,
    pub(super) model: Option<ModelId>,
    pub(super) scope: Scope,
    pub(super) budget: Option<u32>,
}

/// All effects of one part.
#[derive(Default)]
pub(super) struct Effects {
    listed: BTreeMap<Same, Effect>,
    unlisted: u64,
}

impl Effects {
    /// How many differ.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// How many are in no list.
    pub(super) const fn unlisted(&self) -> u64 {
        self.unlisted
    }

    pub(super) fn into_list(self) -> Vec<Effect> {
        self.listed.into_values().collect()
    }

    /// One more, with what it could have used and when it was.
    pub(super) fn tell(&mut self, same: Same, because: String, id: &str, (amounts, at): (Amounts, Timestamp)) {
        if self.listed.len() >= LISTED_MAX && !self.listed.contains_key(&same) {
            self.unlisted += 1;
            return;
        }
        let effect = self.listed.entry(same).or_insert_with_key(|same| {
            let Same { what, outcome, principal, key, permission, model, scope, budget } = same.clone();
            let (count, money, tokens, first) = (0, NanoDollars(0), 0, Vec::new());
            let (first_at, last_at) = (at, at);
            Effect {
                what,
                outcome,
                principal,
                key,
                permission,
                model,
                scope,
                budget,
                because,
                count,
                money,
                tokens,
                first,
                first_at,
                last_at,
            }
        });
        effect.count += 1;
        effect.money = NanoDollars(effect.money.0.saturating_add(amounts.money.0));
        effect.tokens = effect.tokens.saturating_add(amounts.tokens.0);
        effect.last_at = effect.last_at.max(at);
        if effect.first.len() < FIRST_MAX {
            effect.first.push(id.to_owned());
        }
    }
}
