use steward_events::event::BudgetLevel;

use super::*;
use crate::command::apply;
use crate::command::import::notes::Outcome;

const CONFIG: &str = include_str!("tests/config.yaml");
const COMPANY: &str = include_str!("tests/company.toml");
const NOTES: &str = include_str!("tests/notes.txt");

fn import(text: &str, tenant: Option<&str>) -> Result<Imported, BoxError> {
    let list = PriceList::shipped()?;
    let tenant = tenant.map(str::parse::<TenantId>).transpose()?;
    let values = BTreeMap::from([("OLLAMA_BASE".to_owned(), "http://127.0.0.1:11434/".to_owned())]);
    let beside = Beside {
        tenant: tenant.as_ref(),
        from: "2026-11-30".parse()?,
        read: "2026-11-30T10:00:00Z".parse()?,
        map: None,
        list: &list,
        values: &values,
        file: "config.yaml",
    };
    read(text, &beside)
}

fn notes(text: &str) -> Vec<String> {
    import(text, None).unwrap().notes.lines()
}

/// One model with these parameters.
fn one(params: &str) -> String {
    format!("model_list:\n  - model_name: m\n    litellm_params:\n      {}\n", params.replace('\n', "\n      "))
}

/// `STEWARD_BLESS=1` writes both files; read what changed.
#[test]
fn a_configuration_of_ten_models_becomes_the_kept_files() {
    let imported = import(CONFIG, Some("acme")).unwrap();
    let told = imported.notes.lines().join("\n") + "\n";
    if std::env::var_os("STEWARD_BLESS").is_some() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/command/import/litellm/tests");
        std::fs::write(format!("{folder}/company.toml"), &imported.company).unwrap();
        std::fs::write(format!("{folder}/notes.txt"), &told).unwrap();
        return;
    }
    assert_eq!(imported.company, COMPANY);
    assert_eq!(told, NOTES);
    assert_eq!(imported.notes.count(Outcome::Refused), 0);
    for secret in ["do-not-print-me", "sk-"] {
        assert!(!told.contains(secret) && !imported.company.contains(secret), "{secret}");
    }
}

#[test]
fn what_is_made_is_a_file_that_apply_takes() {
    let settings = apply::read(COMPANY, BudgetLevel::Platform).unwrap();
    let models = settings.values().filter(|one| one.kind == Kind::Model).count();
    assert_eq!(models, 12, "ten and two other names");
    for setting in settings.values() {
        setting.command().unwrap();
    }
}

#[test]
fn a_key_in_the_file_is_refused_and_never_repeated() {
    for params in [
        "model: openai/x\napi_key: sk-very-secret",
        "model: openai/x\napi_key: os.environ/not a name sk-very-secret",
        "model: openai/x\napi_base: https://user:sk-very-secret@example.org",
        "model: openai/x\napi_base: https://example.org?key=sk-very-secret",
    ] {
        let imported = import(&one(params), None).unwrap();
        let told = imported.notes.lines().join("\n");
        assert_eq!(imported.notes.count(Outcome::Refused), 1, "{told}");
        assert!(!told.contains("sk-very-secret") && !imported.company.contains("sk-very-secret"), "{told}");
        assert!(told.contains("line "), "{told}");
    }
}

#[test]
fn a_provider_that_this_build_lacks_is_told_by_its_kind() {
    for (model, kind) in [
        ("azure/d", "azure"),
        ("anthropic/claude-opus-5-5", "anthropic"),
        ("gemini/gemini-3.8-flash", "gemini"),
        ("bedrock/converse/anthropic.claude", "bedrock"),
    ] {
        let text = one(&format!("model: {model}\napi_base: https://example.org\napi_key: os.environ/K"));
        let imported = import(&text, None).unwrap();
        let known = vendor::find(model, None).unwrap().0.kind().is_some();
        let (said, made) = (
            imported
                .notes
                .lines()
                .iter()
                .any(|line| line.contains(&format!("kind {kind} are not supported by this build"))),
            imported.company.contains(&format!("kind = \"{kind}\"")),
        );
        assert_eq!((said, made), (!known, known), "{model}");
    }
}

#[test]
fn the_default_key_goes_to_the_providers_own_address_only() {
    let own = import(&one("model: openai/x"), None).unwrap();
    assert!(own.company.contains("key = \"env:OPENAI_API_KEY\""));
    let other = import(&one("model: openai/x\napi_base: http://elsewhere.example/v1"), None).unwrap();
    assert!(!other.company.contains("key ="), "{}", other.company);
}

#[test]
fn a_dearer_fallback_is_left_out() {
    let prices = |input: &str| {
        format!("api_key: os.environ/K\n      input_cost_per_token: {input}\n      output_cost_per_token: 1e-06")
    };
    let text = format!(
        "{}  - model_name: n\n    litellm_params:\n      model: openai/y\n      {}\nrouter_settings: {{ fallbacks: [{{m: [n]}}, {{n: [m]}}] }}\n",
        one(&format!("model: openai/x\n{}", prices("1e-06").replace("\n      ", "\n"))),
        prices("2e-06"),
    );
    let imported = import(&text, None).unwrap();
    let file: Table = imported.company.parse().unwrap();
    let route = |model: &str| file["model"][model]["route"].as_array().unwrap().len();
    assert_eq!((route("m"), route("n")), (1, 2), "{:?}", imported.notes.lines());
}

#[test]
fn a_price_that_no_token_has_is_told() {
    let told = notes(&one("model: openai/x\ninput_cost_per_second: 0.1")).join("\n");
    assert!(told.contains("only prices of tokens") && told.contains("steward price set m"), "{told}");
}

#[test]
fn what_is_no_configuration_is_told() {
    for text in ["", "a: 1", "[1]", "model_list: {}", "model_list: []", "model_list: 3", "text"] {
        assert!(import(text, None).is_err(), "{text}");
    }
    let told = notes("model_list:\n  - 7\n  - model_name: m\n  - model_name: [m]\n    litellm_params: { model: 1 }\n")
        .join("\n");
    assert!(told.contains("line 2") && told.contains("line 3") && told.contains("line 4"), "{told}");
}

#[test]
fn without_a_tenant_its_budgets_are_left_out_and_told() {
    let text = format!("{}litellm_settings: {{ max_budget: 5 }}\n", one("model: openai/x\napi_key: os.environ/K"));
    let imported = import(&text, None).unwrap();
    assert!(!imported.company.contains("tenant"));
    assert!(imported.notes.lines().iter().any(|line| line.contains("--tenant NAME")));
}

proptest::proptest! {
    /// Whatever stands under the names that are read, nothing panics, and what is made can be read.
    #[test]
    fn no_values_make_the_import_panic(
        values in proptest::collection::vec("[-a-z0-9./*: \\[\\]{}\"]{0,20}", 12),
    ) {
        let [name, model, key, base, cost, limit, weight, alias, to, budget, span, team] = values.as_slice() else { return Ok(()) };
        let text = format!(
            "model_list:\n  - model_name: {name}\n    litellm_params: {{model: openai/x, api_base: {base}}}\n    model_info: {{input_cost_per_token: {cost}}}\n\
             \x20 - model_name: m\n    litellm_params:\n      model: {model}\n      api_key: {key}\n      weight: {weight}\n      rpm: {limit}\n\
             router_settings:\n  model_group_alias: {{{alias}: {to}}}\n  fallbacks: {to}\nlitellm_settings:\n  max_budget: {budget}\n  budget_duration: {span}\n\
             teams:\n  - team_alias: {team}\n"
        );
        if let Ok(imported) = import(&text, Some("acme")) {
            proptest::prop_assert!(imported.company.parse::<Table>().is_ok());
        }
    }
}
