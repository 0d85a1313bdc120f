//! Conditions of grants beside model and cost: hours, classes of data, tools and their arguments.

use steward_events::id::DataClass;

use super::*;

/// `p_ana` is owner on acme under this condition.
fn under(condition: &str) -> AuthorityEnv {
    let mut env = AuthorityEnv::new();
    let condition = Some(serde_json::from_str(condition).unwrap());
    env.grant_with("acme", "p_ana", "owner", "acme", None, condition);
    env
}

fn about(env: &AuthorityEnv, at: Timestamp, context: Context) -> Result<Allowed, Rejection> {
    let mut request = request("p_ana", "model:invoke", "acme/support");
    request.context = context;
    env.0.authorise(&request, at)
}

fn class(class: &str) -> Context {
    Context { data_class: Some(class.parse().unwrap()), ..Context::default() }
}

#[test]
fn a_grant_holds_within_its_hours_only() {
    let env = under(r#"{"hours":["Mon-Fri 08:00-18:00 Europe/Berlin"]}"#);
    let at = |moment: &str| about(&env, moment.parse().unwrap(), Context::default());
    let allowed = at("2026-11-23T10:00:00Z").unwrap();
    assert!(
        allowed.reason.to_string().ends_with(", only within Mon-Fri 08:00-18:00 Europe/Berlin"),
        "{}",
        allowed.reason
    );
    let (why, _) = reason(at("2026-11-23T17:00:00Z"));
    assert_eq!(why, "p_ana is owner on acme holds only within Mon-Fri 08:00-18:00 Europe/Berlin");
}

#[test]
fn a_class_is_the_calls_or_that_of_its_scope() {
    let mut env = under(r#"{"data_classes":["public"]}"#);
    assert!(about(&env, T1, class("public")).is_ok());
    let (why, _) = reason(about(&env, T1, class("secret")));
    assert_eq!(why, "p_ana is owner on acme holds only for data of class public");
    assert!(about(&env, T1, Context::default()).is_err(), "unclassified");
    let set = AccessEvent::DataClassSet { scope: "acme".parse().unwrap(), class: DataClass::new("public").ok() };
    fold(&mut env.0, &acme(), T0, set);
    assert!(about(&env, T1, Context::default()).is_ok());
    assert!(about(&env, T1, class("secret")).is_err(), "what a call says is more than what its scope says");
}

#[test]
fn a_tool_runs_with_the_arguments_of_its_condition() {
    let env =
        under(r#"{"tools":["read-file"],"arguments":[{"at":"/path","prefix":"/data/"},{"at":"/lines","max":100}]}"#);
    let run = |tool: &str, arguments: &str| {
        let (tool, arguments) = (Some(tool.to_owned()), serde_json::from_str(arguments).ok());
        about(&env, T1, Context { tool, arguments, ..Context::default() })
    };
    assert!(run("read-file", r#"{"path":"/data/a","lines":100}"#).is_ok());
    let (why, _) = reason(run("write-file", r#"{"path":"/data/a","lines":1}"#));
    assert_eq!(why, "p_ana is owner on acme holds only to run read-file");
    for (tool, arguments) in [
        ("read-file", r#"{"path":"/etc/passwd","lines":1}"#),
        ("read-file", r#"{"path":"/data/../etc","lines":1}"#),
        ("read-file", r#"{"path":"/data/a","lines":101}"#),
        ("read-file", r#"{"path":"/data/a"}"#),
    ] {
        let (why, _) = reason(run(tool, arguments));
        assert!(why.ends_with("holds only with /path begins with /data/ and /lines at most 100"), "{why}");
    }
    assert!(about(&env, T1, Context::default()).is_err(), "what is not known does not hold");
}

#[test]
fn who_holds_under_conditions_passes_nothing_on() {
    let env = under(r#"{"hours":["00:00-24:00 UTC"]}"#);
    let (why, _) = reason(env.send("p_ana", give("p_bob", "agent", "acme")));
    assert!(why.contains("does not hold"), "{why}");
}
