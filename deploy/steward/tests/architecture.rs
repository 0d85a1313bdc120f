//! The Cargo graph is the architecture: any edge that is not in this table is refused.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Which of our crates may depend on which of ours. Tests may use more (dev-dependencies are not edges).
const EDGES: &[(&str, &[&str])] = &[
    ("steward-events", &[]),
    ("steward-jetstream", &["steward-events"]),
    ("steward-sled", &["steward-events"]),
    ("steward-aggregates", &["steward-events"]),
    ("steward-handler", &["steward-events", "steward-aggregates"]),
    ("steward-projectors", &["steward-events", "steward-aggregates"]),
    ("steward-workers", &["steward-events", "steward-aggregates"]),
    ("steward-gateway", &["steward-events", "steward-aggregates"]),
    ("steward-observability", &[]),
    (
        "steward-node",
        &[
            "steward-events",
            "steward-jetstream",
            "steward-sled",
            "steward-handler",
            "steward-projectors",
            "steward-workers",
            "steward-gateway",
            "steward-observability",
        ],
    ),
    (
        "steward-bench",
        &[
            "steward-events",
            "steward-jetstream",
            "steward-sled",
            "steward-aggregates",
            "steward-projectors",
            "steward-node",
        ],
    ),
    (
        "steward",
        &[
            "steward-events",
            "steward-jetstream",
            "steward-projectors",
            "steward-gateway",
            "steward-node",
            "steward-bench",
        ],
    ),
];

/// Libraries that only one crate may name.
const OWNED: &[(&str, &[&str])] = &[
    ("async-nats", &["steward-jetstream"]),
    ("rmp-serde", &["steward-events"]),
    ("sled", &["steward-sled"]),
    ("cedar-policy", &["steward-aggregates"]),
    ("axum", &["steward-gateway"]),
    ("tonic", &["steward-gateway"]),
    ("governor", &["steward-gateway"]),
    ("rmcp", &["steward-workers"]),
    ("opentelemetry-otlp", &["steward-observability"]),
    ("tracing-subscriber", &["steward-observability"]),
    ("clap", &["steward"]),
    ("figment", &["steward-node"]),
    ("plotters", &["steward-bench"]),
    ("indicatif", &["steward-bench"]),
];

/// Libraries that a crate must not name, however useful.
const FORBIDDEN: &[(&str, &[&str])] = &[("steward-aggregates", &["tokio", "reqwest", "hyper", "futures"])];

#[allow(clippy::expect_used)] // a helper of tests
fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata runs")
}

fn dependencies(package: &Package) -> BTreeSet<String> {
    package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development).map(|d| d.name.clone()).collect()
}

#[test]
fn our_crates_depend_on_each_other_only_as_the_table_says() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let metadata = metadata();
    let ours: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the table of edges"));
        for edge in dependencies(package).intersection(&ours) {
            assert!(allowed.contains(&edge.as_str()), "{name} must not depend on {edge}");
        }
    }
    for (name, _) in EDGES {
        assert!(ours.contains(*name), "{name} is in the table but not in the workspace");
    }
}

#[test]
fn heavy_libraries_have_one_owner() {
    for package in metadata().packages {
        let named = dependencies(&package);
        for (library, owners) in OWNED {
            let may = owners.contains(&package.name.as_str());
            assert!(may || !named.contains(*library), "{} must not name {library}; {owners:?} does", package.name);
        }
        for (crate_name, libraries) in FORBIDDEN {
            if *crate_name == package.name.as_str() {
                for library in *libraries {
                    assert!(!named.contains(*library), "{crate_name} must not name {library}");
                }
            }
        }
    }
}
