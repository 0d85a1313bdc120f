use proptest::prelude::*;
use steward_events::event::RefusedFor;

use super::*;

const OPEN: Standing = Standing { closed_for: None, latency: Duration::ZERO, cost: Some(NanoDollars(0)) };

const ALL: [RoutePolicy; 5] = [
    RoutePolicy::Ordered,
    RoutePolicy::Weighted,
    RoutePolicy::LeastLatency,
    RoutePolicy::LeastCost,
    RoutePolicy::Sticky,
];

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

fn course(policy: RoutePolicy, targets: &[Target], facts: &CallFacts<'_>) -> Course {
    Course::of(policy, targets.iter().map(|target| (target, OPEN)), facts)
}

fn standing(closed_ms: Option<u64>, latency_ms: u64) -> Standing {
    Standing { closed_for: closed_ms.map(Duration::from_millis), latency: Duration::from_millis(latency_ms), ..OPEN }
}

#[test]
fn without_a_policy_targets_are_tried_as_they_stand() {
    let targets = ["a/x", "b/x", "c/x"].map(target);
    assert_eq!(course(RoutePolicy::Ordered, &targets, &CallFacts::default()).order, [0, 1, 2]);
}

#[test]
fn priority_goes_before_the_policy() {
    let targets = ["a/x priority=2", "b/x priority=1 weight=1", "c/x weight=1"].map(target);
    for policy in ALL {
        assert_eq!(course(policy, &targets, &CallFacts::default()).order, [2, 1, 0], "{policy:?}");
    }
}

#[test]
fn a_target_that_failed_comes_last_and_the_soonest_first() {
    let targets = ["a/x", "b/x", "c/x priority=9"].map(target);
    let standings = [standing(Some(900), 0), standing(Some(100), 0), standing(None, 0)];
    let course = Course::of(RoutePolicy::Ordered, targets.iter().zip(standings), &CallFacts::default());
    assert_eq!(course.order, [2, 1, 0]);
}

#[test]
fn the_soonest_answer_goes_first_and_the_unknown_before() {
    let targets = ["a/x", "b/x", "c/x"].map(target);
    let standings = [standing(None, 300), standing(None, 20), standing(None, 0)];
    let course = Course::of(RoutePolicy::LeastLatency, targets.iter().zip(standings), &CallFacts::default());
    assert_eq!(course.order, [2, 1, 0]);
}

#[test]
fn the_cheapest_goes_first_and_the_unpriced_nowhere() {
    let targets = ["a/x", "b/x", "c/x", "d/x priority=1"].map(target);
    let costs = [Some(NanoDollars(300)), Some(NanoDollars(20)), None, Some(NanoDollars(0))];
    let standings = costs.map(|cost| Standing { cost, ..OPEN });
    let course = Course::of(RoutePolicy::LeastCost, targets.iter().zip(standings), &CallFacts::default());
    assert_eq!((course.order, course.left_out), (vec![1, 0, 3], vec![(2, LeftOut::NoPrice)]));
}

#[test]
fn a_canary_is_first_for_its_share_of_callers_and_always_for_the_same() {
    let targets = ["a/x", "b/x priority=9 canary=20%"].map(target);
    let mut among = 0;
    for caller in 0..2_000_u64 {
        let orders = [1, 2, 3].map(|lot| {
            let facts = CallFacts { caller, lot, ..CallFacts::default() };
            course(RoutePolicy::Ordered, &targets, &facts).order
        });
        assert!(orders.iter().all(|order| *order == orders[0]), "{caller}");
        match orders[0].as_slice() {
            [1, 0] => among += 1,
            order => assert_eq!(order, [0]),
        }
    }
    assert!((300..500).contains(&among), "{among}");
}

#[test]
fn a_shadow_answers_nobody_and_gets_its_share_of_calls() {
    let targets = ["a/x shadow=10%", "b/x"].map(target);
    let mut shadowed = 0;
    for lot in 0..2_000 {
        let facts = CallFacts { lot, ..CallFacts::default() };
        let course = course(RoutePolicy::Ordered, &targets, &facts);
        assert_eq!(course.order, [1]);
        shadowed += course.shadows.len();
    }
    assert!((140..260).contains(&shadowed), "{shadowed}");
}

#[test]
fn a_target_is_for_the_calls_that_it_names() {
    let targets =
        ["a/x tags=eu+fast", "b/x input_max=100", "c/x input_min=101", "d/x on=context_length", "e/x"].map(target);
    let (eu, both) = (["eu".to_owned()], ["fast".to_owned(), "eu".to_owned(), "more".to_owned()]);
    for (input, tags, order, left_out) in [
        (100, &[][..], vec![1, 4], vec![(0, LeftOut::Tags), (2, LeftOut::InputMin)]),
        (101, &eu[..], vec![2, 4], vec![(0, LeftOut::Tags), (1, LeftOut::InputMax)]),
        (101, &both[..], vec![0, 2, 4], vec![(1, LeftOut::InputMax)]),
    ] {
        let facts = CallFacts { input: Tokens(input), tags, ..CallFacts::default() };
        let expected = Course { order, after_refusal: vec![3], left_out, ..Course::default() };
        assert_eq!(course(RoutePolicy::Ordered, &targets, &facts), expected);
    }
}

#[test]
fn weights_hold_over_many_draws() {
    const DRAWS: u64 = 20_000;
    let targets = ["a/x weight=90", "b/x weight=9", "c/x"].map(target);
    for policy in [RoutePolicy::Weighted, RoutePolicy::Sticky] {
        let mut first = [0_u64; 3];
        for lot in 0..DRAWS {
            let facts = CallFacts { lot: mix(lot), alike: mix(lot), ..CallFacts::default() };
            first[course(policy, &targets, &facts).order[0]] += 1;
        }
        for (count, share) in first.into_iter().zip([0.90, 0.09, 0.01]) {
            #[allow(clippy::cast_precision_loss)]
            let found = count as f64 / DRAWS as f64;
            assert!((found - share).abs() < 0.01, "{policy:?}: {first:?}");
        }
    }
}

#[test]
fn what_is_alike_stays_where_it_was_when_another_target_goes() {
    let all = ["a/x", "b/x", "c/x"].map(target);
    let without_c = &all[..2];
    for alike in 0..500 {
        let facts = CallFacts { alike, lot: mix(alike), ..CallFacts::default() };
        let before = course(RoutePolicy::Sticky, &all, &facts).order[0];
        let after = course(RoutePolicy::Sticky, without_c, &facts).order[0];
        assert!(before == 2 || before == after, "{alike}: {before} {after}");
    }
}

fn any_target() -> impl Strategy<Value = (Target, Standing)> {
    let tags = prop::collection::vec("[ab]", 0..3);
    let on = prop::sample::select(vec![vec![], vec![], vec![RefusedFor::ContextLength]]);
    let bounds = (prop::option::of(0_u64..50), prop::option::of(0_u64..50));
    let known = (prop::option::of(0_u64..1_000), 0_u64..1_000);
    let share = prop::sample::select(vec!["", "", " canary=50%", " shadow=50%"]);
    (0_u32..5, 0_u8..3, (tags, share), on, bounds, known).prop_map(
        |(weight, priority, (tags, share), on, (min, max), (closed, ms))| {
            let target = Target { weight, priority, tags, on, ..target(&format!("a/x{share}")) };
            let target = Target { input_min: min.map(Tokens), input_max: max.map(Tokens), ..target };
            (target, standing(closed, ms))
        },
    )
}

proptest! {
    #[test]
    fn every_target_stands_in_one_place_and_usable_ones_come_first(
        targets in prop::collection::vec(any_target(), 0..9),
        policy in prop::sample::select(ALL.to_vec()),
        input in 0_u64..60, tags in prop::collection::vec("[ab]", 0..3), alike in any::<u64>(), lot in any::<u64>(),
    ) {
        let facts = CallFacts { input: Tokens(input), tags: &tags, alike, lot, caller: mix(lot) };
        let course = Course::of(policy, targets.iter().map(|(target, standing)| (target, *standing)), &facts);
        let left_out = course.left_out.iter().map(|(number, _)| number);
        let places = course.order.iter().chain(&course.after_refusal).chain(&course.shadows);
        let mut all: Vec<usize> = places.chain(left_out).copied().collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..targets.len()).collect::<Vec<_>>());
        prop_assert!(course.order.is_sorted_by_key(|number| targets[*number].1.closed_for));
        prop_assert!(course.after_refusal.iter().all(|number| !targets[*number].0.on.is_empty()));
    }
}
