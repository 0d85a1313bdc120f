//! The cost of one call, split evenly among all who get its answer: to the token and to the nano-dollar.
//!
//! Who shares has reserved what its own call could cost before it takes its place. Once the cost is split, everyone who has
//! a place pays its part, whatever comes after.

use std::collections::BTreeMap;
use std::sync::Arc;

use steward_events::event::{Saved, Target, TokenUsage, UnpricedSet};
use steward_events::id::CallId;
use steward_events::quantity::{NanoDollars, Tokens};
use tokio::sync::watch;

/// What one call came to; or one part of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bill {
    pub(crate) tokens: TokenUsage,
    pub(crate) cost: NanoDollars,
    /// Which of the price's variants was charged.
    pub(crate) variant: u16,
    /// What the price does not name.
    pub(crate) unpriced: UnpricedSet,
}

impl Bill {
    /// Part `number`, from 0, of `of` parts, whose sum is all of it.
    fn part(&self, number: u64, of: u64) -> Self {
        let cut = |whole: u64| {
            let until = |count: u64| u128::from(whole) * u128::from(count) / u128::from(of.max(1));
            // Never more than the whole.
            u64::try_from(until(number + 1) - until(number)).unwrap_or(whole)
        };
        Self { tokens: tokens_cut(&self.tokens, cut), cost: NanoDollars(cut(self.cost.0)), ..*self }
    }

    /// What is left of it without `part`.
    pub(crate) fn without(&self, part: &Self) -> Saved {
        Saved {
            tokens: Tokens(self.tokens.total().0.saturating_sub(part.tokens.total().0)),
            money: NanoDollars(self.cost.0.saturating_sub(part.cost.0)),
        }
    }
}

/// What is a part of something stays a part of that: both are cut along the same line.
fn tokens_cut(tokens: &TokenUsage, cut: impl Fn(u64) -> u64) -> TokenUsage {
    let of = |tokens: Tokens| Tokens(cut(tokens.0));
    let all = |whole: Tokens, parts: &[Tokens]| {
        let known = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.0));
        // A provider may say nonsense.
        let Some(rest) = whole.0.checked_sub(known) else { return of(whole) };
        Tokens(parts.iter().fold(cut(rest), |sum, part| sum.saturating_add(cut(part.0))))
    };
    let TokenUsage { cached, cache_write, cache_write_1h, reasoning, .. } = *tokens;
    TokenUsage {
        input: all(tokens.input, &[cached, cache_write, cache_write_1h]),
        cached: of(cached),
        output: all(tokens.output, &[reasoning]),
        reasoning: of(reasoning),
        cache_write: of(cache_write),
        cache_write_1h: of(cache_write_1h),
        audio_input: of(tokens.audio_input),
        audio_output: of(tokens.audio_output),
        images: cut(tokens.images),
        searches: cut(tokens.searches),
        tier: tokens.tier,
    }
}

/// A part of a bill, and all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) part: Bill,
    pub(crate) whole: Bill,
    /// Whose bill it is, and who answered.
    pub(crate) of: Arc<(CallId, Target)>,
}

/// Who shares one call.
#[derive(Clone, Default)]
pub(super) struct Sharers(Arc<watch::Sender<State>>);

#[derive(Default)]
struct State {
    /// Those who have a place, and their parts once it is split.
    places: BTreeMap<u64, Option<Share>>,
    taken: u64,
    /// No place is given any more: the cost is split, or will never be.
    closed: bool,
}

impl Sharers {
    /// A place; none if it is too late.
    pub(super) fn take(&self) -> Option<Place> {
        let mut taken = None;
        self.0.send_if_modified(|state| {
            if !state.closed {
                state.taken += 1;
                state.places.insert(state.taken, None);
                taken = Some(state.taken);
            }
            false
        });
        taken.map(|number| Place { sharers: self.clone(), number })
    }

    /// True if no place is given any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }

    /// Splits `whole` among those who have a place and the call itself, whose part it returns; none if it has no company.
    pub(super) fn split(&self, whole: Bill, of: (CallId, Target)) -> Option<Share> {
        let (mut own, of) = (None, Arc::new(of));
        self.0.send_if_modified(|state| {
            if !std::mem::replace(&mut state.closed, true) && !state.places.is_empty() {
                let parts = u64::try_from(state.places.len()).unwrap_or(u64::MAX).saturating_add(1);
                let share = |number| Some(Share { part: whole.part(number, parts), whole, of: Arc::clone(&of) });
                own = share(0);
                for (number, place) in (1..).zip(state.places.values_mut()) {
                    *place = share(number);
                }
            }
            true
        });
        own
    }

    /// It is never split, if it is not yet.
    pub(super) fn close(&self) {
        self.0.send_if_modified(|state| !std::mem::replace(&mut state.closed, true));
    }
}

/// The place of one who shares.
pub(crate) struct Place {
    sharers: Sharers,
    number: u64,
}

impl Place {
    /// Gives the place up; its part if the cost has been split: then it is to be paid.
    pub(crate) fn leave(self) -> Option<Share> {
        let mut share = None;
        self.sharers.0.send_if_modified(|state| {
            share = state.places.remove(&self.number).flatten();
            false
        });
        share
    }

    /// Waits until it is known whether there is anything to pay.
    pub(crate) async fn until_split(&self) {
        // Whoever could end this wait in another way is here.
        let _ = self.sharers.0.subscribe().wait_for(|state| state.closed).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sharers.0.send_if_modified(|state| {
            state.places.remove(&self.number);
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bill(tokens: TokenUsage, cost: u64) -> Bill {
        Bill { tokens, cost: NanoDollars(cost), variant: 2, unpriced: UnpricedSet::default() }
    }

    fn hundred() -> Bill {
        bill(TokenUsage { input: Tokens(90), output: Tokens(10), ..TokenUsage::default() }, 100)
    }

    fn of() -> (CallId, Target) {
        ("call_1".parse().unwrap(), Target::new("p".parse().unwrap(), "m"))
    }

    #[test]
    fn who_has_a_place_pays_its_part() {
        let sharers = Sharers::default();
        let places: Vec<_> = (0..2).map(|_| sharers.take().unwrap()).collect();
        let own = sharers.split(hundred(), of()).unwrap();
        assert!(sharers.take().is_none(), "too late");
        let parts: Vec<_> = places.into_iter().map(|place| place.leave().unwrap().part).collect();
        assert_eq!((own.part.cost.0, parts[0].cost.0, parts[1].cost.0), (33, 33, 34));
        assert_eq!((own.part.variant, own.whole, &*own.of), (2, hundred(), &of()));
        assert_eq!(own.whole.without(&own.part), Saved { tokens: Tokens(67), money: NanoDollars(67) });
    }

    #[test]
    fn who_left_before_pays_nothing() {
        let sharers = Sharers::default();
        let (gone, stays) = (sharers.take().unwrap(), sharers.take().unwrap());
        assert!(gone.leave().is_none());
        assert_eq!(sharers.split(hundred(), of()).unwrap().part.cost, NanoDollars(50));
        assert_eq!(stays.leave().unwrap().part.cost, NanoDollars(50));
    }

    #[test]
    fn a_call_without_company_is_not_split() {
        let sharers = Sharers::default();
        assert!(sharers.split(hundred(), of()).is_none());
        assert!(sharers.take().is_none());
    }

    #[tokio::test]
    async fn who_stays_hears_whether_there_is_something_to_pay() {
        let (good, failed) = (Sharers::default(), Sharers::default());
        let (pays, goes) = (good.take().unwrap(), failed.take().unwrap());
        let stays = |place: Place| async move {
            place.until_split().await;
            place.leave()
        };
        let (paid, free) = (tokio::spawn(stays(pays)), tokio::spawn(stays(goes)));
        tokio::task::yield_now().await;
        assert!(good.split(hundred(), of()).is_some());
        good.close();
        failed.close();
        assert_eq!(paid.await.unwrap().unwrap().part.cost, NanoDollars(50));
        assert!(free.await.unwrap().is_none());
    }

    fn tokens() -> impl Strategy<Value = TokenUsage> {
        (prop::array::uniform9(0..3_000_u64), 0..9_u64).prop_map(|([a, b, c, d, e, f, g, h, images], searches)| {
            TokenUsage {
                input: Tokens(a + b + c + d),
                cached: Tokens(b),
                cache_write: Tokens(c),
                cache_write_1h: Tokens(d),
                output: Tokens(e + f),
                reasoning: Tokens(f),
                audio_input: Tokens(g),
                audio_output: Tokens(h),
                images,
                searches,
                ..TokenUsage::default()
            }
        })
    }

    proptest! {
        #[test]
        fn all_parts_are_the_whole(tokens in tokens(), cost in any::<u64>(), of in 1..200_u64) {
            let whole = bill(tokens, cost);
            let parts: Vec<_> = (0..of).map(|number| whole.part(number, of)).collect();
            let sum = |field: fn(&Bill) -> u64| parts.iter().map(field).sum::<u64>();
            for field in [
                |bill: &Bill| bill.cost.0,
                |bill: &Bill| bill.tokens.input.0,
                |bill: &Bill| bill.tokens.cached.0,
                |bill: &Bill| bill.tokens.cache_write.0,
                |bill: &Bill| bill.tokens.cache_write_1h.0,
                |bill: &Bill| bill.tokens.output.0,
                |bill: &Bill| bill.tokens.reasoning.0,
                |bill: &Bill| bill.tokens.audio_input.0,
                |bill: &Bill| bill.tokens.audio_output.0,
                |bill: &Bill| bill.tokens.images,
                |bill: &Bill| bill.tokens.searches,
            ] {
                prop_assert_eq!(sum(field), field(&whole));
            }
            for Bill { tokens, cost, .. } in parts {
                prop_assert!(tokens.cached.0 + tokens.cache_write.0 + tokens.cache_write_1h.0 <= tokens.input.0);
                prop_assert!(tokens.reasoning <= tokens.output);
                prop_assert!(cost.0.abs_diff(whole.cost.0 / of) <= 1);
            }
        }
    }
}
