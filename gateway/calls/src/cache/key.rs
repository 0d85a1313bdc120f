//! What an answer is kept under. It cannot be made without all that decides who may see an answer and what the answer is.

use steward_aggregates::catalog::{CacheTerms, Provider};
use steward_events::event::{Operation, PriceVersion, Target};
use steward_events::id::{ModelId, TenantId};
use steward_events::scope::Scope;

/// All that an answer depends on.
pub(crate) struct Asked<'a> {
    /// Whose it is …
    pub(crate) tenant: &'a TenantId,
    /// … and where it was called: whoever may not call there is given nothing of it.
    pub(crate) scope: &'a Scope,
    /// What was asked for, …
    pub(crate) operation: Operation,
    /// … under which name, …
    pub(crate) model: &'a ModelId,
    /// … of whom, in order, …
    pub(crate) targets: &'a [(&'a Target, &'a Provider)],
    /// … at which price, …
    pub(crate) price: &'a PriceVersion,
    /// … how long at most in tokens of one choice, …
    pub(crate) output_max: u64,
    /// … since when what is kept counts, …
    pub(crate) terms: &'a CacheTerms,
    /// … and the request, without fields on which its answer does not depend.
    pub(crate) body: [u8; blake3::OUT_LEN],
}

/// Under what an answer is kept. The tenant stands beside the digest, so that no digest is ever looked up in another
/// tenant's answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey {
    pub(super) tenant: TenantId,
    pub(super) digest: [u8; blake3::OUT_LEN],
}

impl CacheKey {
    /// The key of what was asked.
    pub(crate) fn of(asked: &Asked<'_>) -> Self {
        let Asked { tenant, scope, operation, model, targets, price, output_max, terms, body } = asked;
        let mut digest = Parts::default();
        digest.text("steward answer 1");
        digest.text(tenant.as_str());
        digest.text(scope.as_str());
        digest.text(&format!("{operation:?}"));
        digest.text(model.as_str());
        digest.number(targets.len() as u64);
        for (Target { provider: name, upstream_model, .. }, Provider { kind, url, key }) in *targets {
            digest.text(name.as_str());
            digest.text(upstream_model);
            digest.text(kind.as_str());
            digest.text(url);
            digest.text(key.as_deref().unwrap_or_default());
        }
        digest.text(&price.to_string());
        digest.number(*output_max);
        for purged in terms.purged {
            // None is before all.
            digest.number(purged.map_or(0, |at| at.0.saturating_add(1)));
        }
        digest.bytes(body);
        Self { tenant: (*tenant).clone(), digest: digest.0.finalize().into() }
    }
}

/// Parts that cannot run into each other: each comes after its length.
#[derive(Default)]
struct Parts(blake3::Hasher);

impl Parts {
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use steward_events::event::{CachePolicy, Coalesce, ProviderKind};
    use steward_events::timestamp::Timestamp;

    use super::*;

    /// What tells requests apart here, as words.
    #[derive(Clone, Debug, PartialEq)]
    struct Words {
        tenant: &'static str,
        scope: &'static str,
        operation: Operation,
        model: &'static str,
        upstream_model: &'static str,
        url: &'static str,
        price_from: u64,
        output_max: u64,
        purged: [Option<u64>; 2],
        body: u8,
    }

    impl Words {
        fn key(&self) -> CacheKey {
            let model: ModelId = self.model.parse().unwrap();
            let target = Target::new("local".parse().unwrap(), self.upstream_model);
            let provider = Provider { kind: ProviderKind::Openai, url: self.url.to_owned(), key: None };
            CacheKey::of(&Asked {
                tenant: &self.tenant.parse().unwrap(),
                scope: &self.scope.parse().unwrap(),
                operation: self.operation,
                model: &model,
                targets: &[(&target, &provider)],
                price: &PriceVersion { model: model.clone(), from: Timestamp(self.price_from), target: None },
                output_max: self.output_max,
                terms: &CacheTerms {
                    policy: CachePolicy { ttl_s: 60, coalesce: Coalesce::First, shared: true, similar: None },
                    purged: self.purged.map(|at| at.map(Timestamp)),
                },
                body: [self.body; 32],
            })
        }
    }

    fn words() -> impl Strategy<Value = Words> {
        let whose = (prop::sample::select(vec!["a", "ab"]), prop::sample::select(vec!["a", "a/b", "ab", "ab/b"]));
        let operation = prop::sample::select(vec![Operation::Chat, Operation::Responses]);
        let model = prop::sample::select(vec!["m", "m2"]);
        let route = (prop::sample::select(vec!["x", "y"]), prop::sample::select(vec!["http://x", "http://y"]));
        let purged = prop::array::uniform2(prop::option::of(0..2_u64));
        (whose, operation, model, route, (0..2_u64, 0..2_u64), purged, 0..2_u8).prop_map(
            |((tenant, scope), operation, model, (upstream_model, url), (price_from, output_max), purged, body)| {
                Words { tenant, scope, operation, model, upstream_model, url, price_from, output_max, purged, body }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn keys_are_equal_only_if_all_that_was_asked_is(one in words(), other in words()) {
            prop_assert_eq!(one.key() == other.key(), one == other);
            prop_assert_eq!(one.key(), one.key());
        }
    }
}
