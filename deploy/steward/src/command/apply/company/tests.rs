use super::*;
use crate::command::apply::difference::differences;

const EXAMPLE: &str = r#"
[provider.local]
kind = "openai"
url = "http://127.0.0.1:9090/v1"
[model.small]
route = ["local/smollm2"]
price = { from = 2026-11-01, input = "$1.00/M", output = "$1.00/M" }
[tenant.acme]
timezone = "Europe/Berlin"
role.reader = { permissions = ["cost:report"] }
agent.researcher = { model = "small", instructions = "Answer." }
[tenant.acme.project.support]
budget = { limit = "$5.00", per = "day", hard = true, warn = ["80%"] }
grant = [{ to = "support-bot", role = "agent" }]
"#;

fn settings(text: &str) -> Result<Settings, BoxError> {
    Company::read(text)?.settings(BudgetLevel::Platform)
}

#[test]
fn the_example_becomes_commands_in_an_order_that_works() {
    let found = differences(&settings(EXAMPLE).unwrap(), &Settings::new());
    let sent: Vec<String> = found
        .iter()
        .map(|one| one.setting().command().unwrap())
        .map(|sent| format!("{} {}", sent.noun, sent.verb))
        .collect();
    let expected = [
        "provider set",
        "model set",
        "route set",
        "price set",
        "tenant create",
        "role define",
        "account create",
        "project create",
        "budget set",
        "grant give",
        "agent define",
    ];
    assert_eq!(sent, expected);
}

/// Every table of the file, with a name in it that is no field, and the field that was meant.
#[test]
fn a_slip_anywhere_is_named_with_line_and_nearest_name() {
    for (text, wrong, right) in [
        ("[tenat.acme]", "tenat", "tenant"),
        ("[provider.x]\nkind = \"openai\"\nulr = \"http://x\"", "ulr", "url"),
        ("[model.x]\nroutes = []", "routes", "route"),
        ("[model.x]\nprice = { from = 2026-11-01, input = \"$1/M\", ouput = \"$1/M\" }", "ouput", "output"),
        ("[model.x]\nprice = [{ frm = 2026-11-01 }]", "frm", "from"),
        ("[tenant.a]\ntimezon = \"UTC\"", "timezon", "timezone"),
        ("[tenant.a]\nbudgets = { limit = \"$1\" }", "budgets", "budget"),
        ("[tenant.a.project.b]\nbugdet = { limit = \"$0\" }", "bugdet", "budget"),
        ("[tenant.a.project.b]\nbudget = { limit = \"$0\", hrad = true }", "hrad", "hard"),
        ("[tenant.a.project.b]\nbudget = [{ limit = \"$0\", lvel = \"tenant\" }]", "lvel", "level"),
        ("[tenant.a.project.b]\ngrant = [{ to = \"b\", rol = \"agent\" }]", "rol", "role"),
        ("[tenant.a]\ngrant = [{ to = \"b\", role = \"agent\", condition = { model = [\"m\"] } }]", "model", "models"),
        ("[tenant.a.role.r]\npermission = []", "permission", "permissions"),
        ("[tenant.a.agent.r]\nmodel = \"m\"\ninstruction = \"\"", "instruction", "instructions"),
        ("[tenant.a.provider.x]\nkind = \"openai\"\nurl = \"http://x\"\nkye = \"env:X\"", "kye", "key"),
    ] {
        let lines_before = 3;
        let error = settings(&format!("{}{text}\n", "\n".repeat(lines_before))).unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
        assert!(error.contains(&format!("did you mean {right}?")), "{error}");
        let at = text.lines().position(|line| line.contains(wrong)).unwrap() + lines_before + 1;
        assert!(error.contains(&format!("line {at}")), "line {at}: {error}");
    }
}

#[test]
fn a_wrong_value_is_named() {
    for (text, named) in [
        (EXAMPLE.replace("\"80%\"", "\"80\""), "80%"),
        (EXAMPLE.replace("\"$5.00\"", "\"5 apples\""), "limit"),
        (EXAMPLE.replace("per = \"day\"", "per = \"dya\""), "day"),
        (EXAMPLE.replace("local/smollm2", "smollm2"), "provider/model"),
        (EXAMPLE.replace("limit = \"$5.00\",", "limit = \"$5.00\", model = \"small\", agent = \"researcher\","), "one"),
        (EXAMPLE.replace("tenant.acme", "tenant.steward"), "platform"),
        (format!("{EXAMPLE}[tenant.acme.model.small]\ncontext_max = 1\n"), "context_max"),
    ] {
        let error = settings(&text).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn one_setting_does_not_stand_there_twice() {
    let twice = "budget = [{ limit = \"$1\" }, { limit = \"$2\" }]";
    let error = settings(&format!("[tenant.acme]\n{twice}\n")).unwrap_err().to_string();
    assert!(error.contains("twice"), "{error}");
    let levels = twice.replace("\"$2\"", "\"$2\", level = \"tenant\"");
    assert_eq!(settings(&format!("[tenant.acme]\n{levels}\n")).unwrap().len(), 3);
}

#[test]
fn thresholds_are_the_same_in_any_order() {
    let with = |warn: &str| settings(&EXAMPLE.replace("[\"80%\"]", warn)).unwrap();
    assert_eq!(with("[\"90%\", \"50%\"]"), with("[\"50%\", \"90%\", \"90%\"]"));
}
