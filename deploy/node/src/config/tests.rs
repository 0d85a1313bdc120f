use super::*;

fn read(text: &str) -> Result<Config, BoxError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("steward.toml");
    std::fs::write(&file, text).unwrap();
    Config::read(Some(&file))
}

#[test]
fn an_unknown_setting_is_named_with_file_and_nearest_name() {
    for (text, unknown, nearest) in [
        ("[gateway]\nlisten_on = \"x\"\n", "gateway.listen_on", "gateway.listen "),
        ("[gatway]\nlisten = \"x\"\n", "gatway", "gateway "),
        ("[gateway]\nidle_time_max = \"1s\"\n", "gateway.idle_time_max", "providers.idle_time_max "),
        ("[store]\ncache_bytes = 1\n", "store.cache_bytes", "store.cache_bytes_max "),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("steward.toml: "), "{error}");
        assert!(error.contains(&format!("no setting {unknown};")), "{error}");
        assert!(error.contains(&format!("nearest name is {nearest}")), "{error}");
    }
    let error = read("zzzzzz = 1\n").unwrap_err().to_string();
    assert!(error.contains("no setting zzzzzz") && !error.contains("nearest"), "{error}");
}

#[test]
fn an_invalid_setting_is_refused_with_name_and_file() {
    for text in ["[gateway]\ncalls_max = 0\n", "[gateway]\ncalls_max = \"many\"\n", "gateway = 7\n"] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("gateway") && error.contains("steward.toml"), "{error}");
    }
    assert!(read("master_key = \"env:KEY\"\n").unwrap_err().to_string().contains("file:PATH"));
}

#[test]
fn a_named_file_must_exist() {
    assert!(Config::read(Some(Path::new("/nowhere/steward.toml"))).is_err());
}

#[test]
fn one_setting_of_each_section_comes_from_the_file() {
    let config = read(
        "master_key = \"file:/keys/master\"\n[bus]\nport = 0\n[aggregates]\nfresh_age_max = \"90ms\"\n[projectors]\nwrite_pause = \"1s\"\n\
         [store]\ncache_bytes_max = 1048576\n[gateway]\ncalls_per_key_max = 7\ncalls.attempts_max = 2\n\
         [providers]\nproxy = \"http://proxy:1\"\n\
         [workers]\ntasks_per_tenant_max = 9\n[transparency]\nname = \"steward.example\"\n[telemetry]\nlogs = \"json\"\n",
    )
    .unwrap();
    assert_eq!(config.master_key_file(), Path::new("/keys/master"));
    assert_eq!(config.bus.port, 0);
    assert_eq!(config.aggregates.fresh_age_max.as_millis(), 90);
    assert_eq!(config.projectors.write_pause.as_millis(), 1_000);
    assert_eq!(config.store.cache_bytes_max, 1 << 20);
    assert_eq!((config.gateway.calls_per_key_max.get(), config.gateway.calls.attempts_max.get()), (7, 2));
    assert_eq!(config.providers.proxy.as_deref(), Some("http://proxy:1"));
    assert_eq!(config.workers.tasks_per_tenant_max.get(), 9);
    assert_eq!(config.transparency.name.as_deref(), Some("steward.example"));
    assert!(config.telemetry.logs.is_some());
}

/// Every setting in the types is one on the page, and the other way round.
#[test]
fn every_value_of_the_configuration_is_a_described_setting() {
    fn leaves(above: &str, value: &serde_json::Value, into: &mut Vec<String>) {
        match value.as_object() {
            Some(fields) => fields.iter().for_each(|(name, value)| {
                leaves(&if above.is_empty() { name.clone() } else { format!("{above}.{name}") }, value, into);
            }),
            None => into.push(above.to_owned()),
        }
    }
    let cluster = steward_jetstream::server::Cluster { node: "a".to_owned(), port: 6_222, ports: vec![6_222] };
    let mut config = Config::default();
    config.bus.cluster = Some(cluster);
    let mut values = Vec::new();
    leaves("", &serde_json::to_value(&config).unwrap(), &mut values);
    let mut listed: Vec<String> = settings().into_iter().map(|setting| setting.path).collect();
    values.sort();
    listed.sort();
    assert_eq!(values, listed);
    let page = page();
    for setting in settings() {
        assert!(setting.meaning.len() > 5, "{} has no meaning", setting.path);
        assert!(page.contains(&format!("| `{}` | `{}` |", setting.name(), setting.variable())), "{}", setting.path);
    }
}

#[test]
fn the_example_is_the_default() {
    let page = page();
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let read = serde_json::to_value(read(example).unwrap()).unwrap();
    assert_eq!(read, serde_json::to_value(Config::default()).unwrap());
}

/// Run `make docs` when this fails.
#[test]
fn the_page_in_docs_is_this_one() {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/CONFIGURATION.md");
    assert_eq!(std::fs::read_to_string(kept).unwrap_or_default(), page(), "docs/CONFIGURATION.md is out of date");
}

#[test]
fn each_value_says_where_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("steward.toml");
    std::fs::write(&file, "[bus]\nurl = \"nats://me:secret@a:1,nats://me:secret@b:2\"\n").unwrap();
    let all = Config::effective(Some(&file)).unwrap();
    let of = |path: &str| all.iter().find(|value| value.setting == path).unwrap();
    assert_eq!(of("bus.url").source, Source::File(file.clone()));
    assert_eq!(of("bus.url").value, "nats://…@a:1,nats://…@b:2");
    assert_eq!(
        (&of("gateway.calls.admission.wait_max").source, &of("gateway.calls.admission.wait_max").value),
        (&Source::Default, &"2s".into())
    );
}
