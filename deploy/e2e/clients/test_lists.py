"""Lists on the command line: what a company has, by name, filtered and page by page, and what to do where there is nothing."""

from openai import OpenAI

from steward_testkit.company import apply_company
from steward_testkit.running import wait_for


def listed(steward, noun: str, *words: str, tenant: str = "acme", **more) -> list[dict]:
    """The rows of a list."""
    return steward.json(noun, "list", "--tenant", tenant, *words, **more)["rows"]


def test_what_a_company_has_is_listed_by_name(steward, upstream):
    steward.up()
    file = apply_company(steward, upstream.url)
    assert "nothing to do" in steward.cli("apply", file).stdout, "what holds is found in the lists"
    secret = steward.key("support-bot", "acme", "--on", "acme/support")
    steward.key("night-bot", "acme", "--on", "acme/support", "--expires", "1h")

    keys = steward.cli("key", "list", "--tenant", "acme").stdout
    assert "support-bot" in keys and "acme/support" in keys and "active" in keys
    assert "hash" not in str(listed(steward, "key")) and secret not in str(listed(steward, "key"))
    assert [row["name"] for row in listed(steward, "key", "--principal", "night-bot")] == ["night-bot"]
    night = listed(steward, "key", "--principal", "night-bot")[0]["key"]
    steward.cli("key", "revoke", night, "--tenant", "acme", "--reason", "over")
    assert [(row["key"], row["reason"]) for row in listed(steward, "key", "--state", "revoked")] == [(night, "over")]

    assert [row["name"] for row in listed(steward, "grant", "--role", "agent")] == ["support-bot"]
    assert {row["role"] for row in listed(steward, "role") if row["inherited"]} >= {"owner", "agent", "auditor"}
    assert "platform" in steward.cli("role", "list", "--tenant", "acme").stdout
    assert {row["name"] for row in listed(steward, "account")} == {"support-bot", "night-bot"}
    assert [row["spec"]["output_max"] for row in listed(steward, "agent")] == [16]
    assert [(row["provider"], row["inherited"], row["key"]) for row in listed(steward, "provider")] == [("local", True, None)]
    assert [(row["model"], row["inherited"]) for row in listed(steward, "model")] == [("small", True)]
    assert "$1.00/M" in steward.cli("price", "list", "--tenant", "acme").stdout
    assert [row["tenant"] for row in steward.json("tenant", "list")["rows"]] == ["acme", "steward"]
    assert "Europe/Berlin" in steward.cli("tenant", "show", "acme").stdout


def test_a_budget_is_listed_with_what_is_left_of_it(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    secret = steward.key("support-bot", "acme", "--on", "acme/support")
    client = OpenAI(base_url=f"{steward.url}/v1", api_key=secret)
    client.chat.completions.create(model="small", max_tokens=5, messages=[{"role": "user", "content": "hi"}])

    spent = steward.json("cost", "--tenant", "acme")["total"]["cost"]

    def reported():
        (budget,) = listed(steward, "budget", "--scope", "acme/support")
        return budget if budget["window"]["spent"] == spent else None

    budget = wait_for("the gateway's report to the ledger", reported)
    assert (budget["limit"], budget["hard"], budget["warn"]) == ("$5.00", True, [80])
    nano = {name: round(float(budget["window"][name].removeprefix("$")) * 1e9) for name in ["spent", "held", "free"]}
    assert nano["spent"] > 0 and sum(nano.values()) == 5_000_000_000, "what is spent, held and free is the limit"
    table = steward.cli("budget", "list", "--tenant", "acme").stdout
    assert "FREE" in table and spent in table
    report = steward.cli("cost", "--tenant", "acme", "--by", "principal,key").stdout
    assert "support-bot" in report and "support-bot …" in report, "a report names who, by the lists"


def test_pages_and_filters_of_lists(steward):
    steward.up()
    steward.cli("tenant", "create", "acme")
    wait_for("the tenant", lambda: not steward.cli("tenant", "show", "acme", check=False).returncode)
    names = [f"bot-{number}" for number in range(7)]
    for name in names:
        steward.cli("account", "create", name, "--tenant", "acme")
    assert sorted(row["name"] for row in listed(steward, "account")) == names
    page = steward.cli("account", "list", "--tenant", "acme", "--limit", "4")
    assert "there are more: steward account list --after " in page.stdout
    found, after = [], []
    while True:
        page = steward.json("account", "list", "--tenant", "acme", "--limit", "3", *after)
        found += [row["name"] for row in page["rows"]]
        if not page["next"]:
            break
        after = ["--after", page["next"]]
    assert sorted(found) == names and len(found) == len(names), "each row once"


def test_an_empty_list_says_so_and_what_to_do(steward):
    steward.up()
    steward.cli("tenant", "create", "acme")
    wait_for("the tenant", lambda: not steward.cli("tenant", "show", "acme", check=False).returncode)
    for noun, hint in [("key", "steward key issue"), ("budget", "steward budget set acme"), ("user", "steward user invite")]:
        said = steward.cli(noun, "list", "--tenant", "acme").stdout
        assert f"no {noun} in acme yet" in said and hint in said, said
    said = steward.cli("grant", "list", "--tenant", "acme", "--state", "expired").stdout
    assert "is like that" in said and "steward grant list --tenant acme" in said
    wrong = steward.cli("key", "list", "--tenant", "acme", "--state", "lost", check=False)
    assert wrong.returncode and "possible values: active, disabled, expired, revoked" in wrong.stderr
    told = steward.cli("key", "list", "--help").stdout
    assert "Examples:" in told and "--principal" in told


def test_a_tenant_lists_nothing_of_another(steward):
    steward.up()
    for tenant in ["acme", "globex"]:
        steward.cli("tenant", "create", tenant)
        wait_for("the tenant", lambda tenant=tenant: not steward.cli("tenant", "show", tenant, check=False).returncode)
        steward.cli("account", "create", f"{tenant}-admin", "--tenant", tenant)
        steward.cli("grant", "give", f"{tenant}-admin", "owner", "--on", tenant)
    key = steward.key("acme-admin", "acme", "--on", "acme")
    assert [row["name"] for row in steward.json("account", "list", key=key)["rows"]] == ["acme-admin"]
    assert [row["tenant"] for row in steward.json("tenant", "list", key=key)["rows"]] == ["acme"]
    for noun in ["account", "key", "grant", "tenant", "budget"]:
        refused = steward.cli(noun, "list", "--tenant", "globex", key=key, check=False)
        assert refused.returncode and "acme" in refused.stderr and "globex-admin" not in refused.stdout, refused
