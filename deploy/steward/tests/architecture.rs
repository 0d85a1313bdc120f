//! The Cargo graph is the architecture: any edge that is not in this table is refused.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, NodeDep, Package, PackageId};

/// Which of our crates may depend on which of ours. Tests may use more (dev-dependencies are not edges).
const EDGES: &[(&str, &[&str])] = &[
    ("steward-events", &[]),
    ("steward-ports", &["steward-events"]),
    ("steward-queries", &["steward-events"]),
    ("steward-tlog", &["steward-events"]),
    ("steward-jetstream", &["steward-events", "steward-ports", "steward-queries"]),
    ("steward-sled", &["steward-events", "steward-ports"]),
    ("steward-aggregates", &["steward-events", "steward-queries", "steward-tlog"]),
    ("steward-authority", &["steward-events", "steward-queries", "steward-aggregates"]),
    ("steward-handler", &["steward-events", "steward-ports", "steward-aggregates", "steward-authority"]),
    (
        "steward-projectors",
        &[
            "steward-events",
            "steward-ports",
            "steward-queries",
            "steward-tlog",
            "steward-aggregates",
            "steward-authority",
        ],
    ),
    (
        "steward-workers",
        &[
            "steward-events",
            "steward-ports",
            "steward-queries",
            "steward-tlog",
            "steward-aggregates",
            "steward-authority",
            "steward-answers",
        ],
    ),
    ("steward-answers", &["steward-events"]),
    ("steward-dialects", &["steward-events", "steward-answers"]),
    (
        "steward-calls",
        &[
            "steward-events",
            "steward-ports",
            "steward-queries",
            "steward-aggregates",
            "steward-authority",
            "steward-answers",
            "steward-dialects",
        ],
    ),
    ("steward-providers", &["steward-events", "steward-answers", "steward-calls"]),
    (
        "steward-gateway",
        &[
            "steward-events",
            "steward-ports",
            "steward-queries",
            "steward-aggregates",
            "steward-authority",
            "steward-calls",
        ],
    ),
    ("steward-observability", &[]),
    (
        "steward-node",
        &[
            "steward-events",
            "steward-tlog",
            "steward-ports",
            "steward-queries",
            "steward-jetstream",
            "steward-sled",
            "steward-handler",
            "steward-projectors",
            "steward-workers",
            "steward-calls",
            "steward-providers",
            "steward-gateway",
            "steward-observability",
        ],
    ),
    (
        "steward-bench",
        &[
            "steward-events",
            "steward-ports",
            "steward-jetstream",
            "steward-sled",
            "steward-aggregates",
            "steward-authority",
            "steward-projectors",
            "steward-node",
        ],
    ),
    (
        "steward",
        &[
            "steward-events",
            "steward-ports",
            "steward-queries",
            "steward-tlog",
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
    ("ipnet", &["steward-events"]),
    ("cedar-policy", &["steward-authority"]),
    ("axum", &["steward-gateway"]),
    ("tonic", &["steward-gateway"]),
    ("governor", &["steward-gateway"]),
    ("reqwest", &["steward-providers", "steward-workers", "steward-node"]),
    ("rmcp", &["steward-workers"]),
    ("lettre", &["steward-workers"]),
    ("opentelemetry-otlp", &["steward-observability"]),
    ("tracing-subscriber", &["steward-observability"]),
    ("clap", &["steward"]),
    ("figment", &["steward-node"]),
    ("plotters", &["steward-bench"]),
];

/// What deciding code cannot reach, not even through another crate: no runtime, no network, no operating system.
const PURE: &[&str] = &["steward-events", "steward-queries", "steward-tlog", "steward-aggregates", "steward-authority"];
const UNREACHABLE: &[&str] = &["tokio", "futures", "futures-util", "mio", "reqwest", "hyper", "rustix"];

#[allow(clippy::expect_used)] // a helper of tests
fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata runs")
}

fn dependencies(package: &Package) -> BTreeSet<String> {
    package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development).map(|d| d.name.clone()).collect()
}

#[test]
fn crates_depend_on_each_other_as_the_table_says() {
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
    }
}

#[test]
fn deciding_code_reaches_no_runtime_and_no_network() {
    // Of one platform: what only a browser needs is not linked here.
    let platform = ["--filter-platform".to_owned(), "x86_64-unknown-linux-gnu".to_owned()];
    let metadata = MetadataCommand::new().other_options(platform).exec().expect("cargo metadata runs");
    let resolve = metadata.resolve.as_ref().expect("the dependencies are resolved");
    let name_of = |id: &PackageId| metadata[id].name.to_string();
    for pure in PURE {
        let mut reached: BTreeMap<PackageId, PackageId> = BTreeMap::new();
        let root =
            metadata.packages.iter().find(|package| package.name.as_str() == *pure).expect("it is in the workspace");
        let mut left = vec![root.id.clone()];
        while let Some(id) = left.pop() {
            for dependency in resolve[&id].deps.iter().filter(|dependency| is_linked(dependency)) {
                if dependency.pkg != root.id && !reached.contains_key(&dependency.pkg) {
                    reached.insert(dependency.pkg.clone(), id.clone());
                    left.push(dependency.pkg.clone());
                }
            }
        }
        assert!(!reached.is_empty(), "{pure} depends on nothing: the graph is not read");
        for (id, through) in &reached {
            let name = name_of(id);
            assert!(!UNREACHABLE.contains(&name.as_str()), "{pure} reaches {name} through {}", name_of(through));
        }
    }
}

/// True if `dependency` becomes part of what is built for use: not for tests, not for build scripts.
fn is_linked(dependency: &NodeDep) -> bool {
    dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
}
