use std::num::NonZeroU32;

use steward_events::timestamp::Timestamp;
use steward_ports::clock::ManualClock;

use super::*;

const FREE: Takes = Takes { rpm: None, tpm: None, tokens: 0 };

fn is_left_alone(target: &Arc<Target>) -> bool {
    matches!(target.enter(FREE, false), Err(Passed::LeftAlone))
}

struct Scene {
    clock: Arc<ManualClock>,
    targets: Targets,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000_000)));
        let config = TargetsConfig::default();
        let targets = Targets::new(config, Arc::clone(&clock) as _, TargetMetrics::default(), Lots::new("seed"));
        Self { clock, targets }
    }

    fn target(&self, model: &str) -> Arc<Target> {
        let (catalog, provider) = (TenantId::steward(), "local".parse().unwrap());
        self.targets.of(&TargetName { catalog, provider, model: model.to_owned() })
    }

    /// A target that was just opened.
    fn failing(&self) -> Arc<Target> {
        let target = self.target("failing");
        for _ in 0..TargetsConfig::default().failures_max.get() {
            target.enter(FREE, false).unwrap().failed(None);
        }
        target
    }
}

#[test]
fn a_target_that_failed_is_entered_as_a_last_resort_only() {
    let scene = Scene::new();
    let failing = scene.failing();
    assert!(failing.standing().closed_for.is_some());
    assert!(is_left_alone(&failing) && failing.enter(FREE, true).is_ok());
    assert!(scene.target("other").enter(FREE, false).is_ok(), "another model of the same provider");
}

#[test]
fn a_probe_that_was_not_sent_leaves_room_for_the_next() {
    let scene = Scene::new();
    let failing = scene.failing();
    scene.clock.advance(TargetsConfig::default().pause_max);
    let probe = failing.enter(FREE, false);
    assert!(probe.is_ok() && is_left_alone(&failing));
    drop(probe);
    let mut next = failing.enter(FREE, false).unwrap();
    next.answered(Duration::from_millis(40));
    assert_eq!(failing.standing(), Standing { latency: Duration::from_millis(40), ..Standing::default() });
}

#[test]
fn how_long_a_provider_wants_to_rest_is_believed_within_a_bound() {
    let scene = Scene::new();
    let target = scene.target("busy");
    target.enter(FREE, false).unwrap().failed(Some(Duration::from_hours(9)));
    assert_eq!(target.standing().closed_for, Some(TargetsConfig::default().rest_max));
}

#[test]
fn what_is_remembered_is_bounded_and_the_gauge_follows() {
    let scene = Scene::new();
    drop(scene.failing());
    for number in 0..TARGETS_MAX {
        drop(scene.target(&number.to_string()));
    }
    assert_eq!(scene.target("failing").standing(), Standing::default(), "forgotten");
    let mut registry = prometheus_client::registry::Registry::default();
    scene.targets.shared.metrics.register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(page.contains(r#"target_state{provider="local",state="open"} 0"#), "{page}");
    assert!(page.contains(r#"target_transitions_total{provider="local",state="open"} 1"#), "{page}");
}

#[test]
fn a_target_takes_no_more_than_it_says_not_even_as_a_last_resort() {
    let scene = Scene::new();
    let target = scene.target("small");
    let takes = Takes { rpm: NonZeroU32::new(2), ..FREE };
    let mut first = target.enter(takes, false).unwrap();
    first.used(Tokens(7));
    drop((first, target.enter(takes, false).unwrap()));
    let _second = target.enter(takes, false).unwrap();
    let full = Err(Passed::Full(Duration::from_secs(30)));
    assert_eq!(target.enter(takes, true).map(|_| ()), full, "one was sent, one was not, one may be");
    scene.clock.advance(Duration::from_secs(30));
    assert!(target.enter(takes, false).is_ok());
}

#[test]
fn a_target_that_is_left_alone_takes_nothing_of_its_minute() {
    let scene = Scene::new();
    let failing = scene.failing();
    let takes = Takes { rpm: NonZeroU32::new(1), ..FREE };
    for _ in 0..3 {
        assert_eq!(failing.enter(takes, false).map(|_| ()), Err(Passed::LeftAlone));
    }
    assert!(failing.enter(takes, true).is_ok());
}
