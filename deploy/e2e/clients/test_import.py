"""`steward import`: what LiteLLM was told becomes models that the official client calls, and prices with dates."""

import json

import openai
import pytest

from steward_testkit.upstream import Upstream

HELLO = [{"role": "user", "content": "Say hello."}]
MODELS = [f"model-{number}" for number in range(8)] + ["priced", "backed"]


@pytest.fixture
def other():
    upstream = Upstream()
    yield upstream
    upstream.close()


def configuration(first: str, second: str) -> str:
    """Ten models at two servers, as a proxy's configuration has them; one of two places is dead."""
    local = "{{model: openai/upstream-{0}, api_base: '{1}', api_key: none}}"
    cost = "{input_cost_per_token: 1.0e-06, output_cost_per_token: 2.0e-06, max_input_tokens: 8000, max_output_tokens: 64}"
    entries = [(name, local.format(number, (first, second)[number % 2]), cost) for number, name in enumerate(MODELS[:8])]
    entries.append(("priced", local.format("priced", first), "{max_input_tokens: 8000, max_output_tokens: 64}"))
    entries.append(("backed", local.format("dead", "http://127.0.0.1:9/v1"), cost))
    entries.append(("backed", local.format("alive", second), cost))
    models = "".join(f"  - model_name: {name}\n    litellm_params: {params}\n    model_info: {info}\n" for name, params, info in entries)
    return f"""
model_list:
{models}
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias: {{ default: model-0 }}
teams:
  - {{ team_id: t-1, team_alias: Support, max_budget: 5, budget_duration: 1d }}
keys:
  - {{ key_alias: helper, team_id: t-1, max_budget: 1, budget_duration: 30d }}
"""


def price_map(dollars: float) -> str:
    return json.dumps({"upstream-priced": {"input_cost_per_token": dollars, "output_cost_per_token": 2 * dollars, "source": "https://example.org"}})


def test_ten_imported_models_are_called_and_priced(steward, upstream, other, tmp_path):
    steward.up()
    file, prices, out = tmp_path / "config.yaml", tmp_path / "prices.json", tmp_path / "company.toml"
    file.write_text(configuration(upstream.url, other.url))
    prices.write_text(price_map(3e-06))
    words = ["import", "litellm", file, "--tenant", "acme", "--prices", prices]
    planned = steward.cli(*words, "--plan", "--out", out).stdout
    assert "calls of model-0 go to openai/upstream-0" in planned and "not     router_settings.routing_strategy (line" in planned
    assert steward.json("model", "list")["rows"] == [], "a plan changes nothing"
    assert steward.cli("apply", out, "--plan", check=False).returncode == 2, "what is written can be applied"

    steward.cli(*words)
    assert json.loads(steward.cli(*words, "--json").stdout)["changes"] == [], "what holds is not sent again"
    key = steward.key("helper", "acme", "--on", "acme/support")
    helper = openai.OpenAI(base_url=f"{steward.url}/v1", api_key=key, max_retries=0)
    assert sorted(model.id for model in helper.models.list()) == sorted([*MODELS, "default"])
    for model in [*MODELS, "default"]:
        whole = helper.chat.completions.with_raw_response.create(model=model, messages=HELLO, max_tokens=5)
        # 7 tokens of input and 5 of output, at one and two, or three and six dollars for a million
        expected = 7 * 3 + 5 * 6 if model == "priced" else 7 * 1 + 5 * 2
        assert whole.headers["x-steward-response-cost"] == f"${expected / 1e6:.6f}".rstrip("0"), model
    called = [call["model"] for call in upstream.calls + other.calls]
    assert sorted(called) == sorted([f"upstream-{number}" for number in range(8)] + ["upstream-priced", "upstream-alive", "upstream-0"])
    limits = {(row["scope"], row["limit"]) for row in steward.json("budget", "list", "--tenant", "acme")["rows"]}
    assert limits == {("acme/support", "$5.00"), ("acme/support", "$1.00")}


def test_the_price_map_sets_prices_once_and_later_changes_tomorrow(steward, upstream, tmp_path):
    steward.up()
    config, prices = tmp_path / "config.yaml", tmp_path / "prices.json"
    config.write_text(configuration(upstream.url, upstream.url))
    steward.cli("import", "litellm", config)

    def checked():
        ran = steward.cli("price", "check", "--json", check=False)
        return ran.returncode, {line["model"]: line["finding"] for line in json.loads(ran.stdout)}

    status, found = checked()
    assert (status, found["priced"], found["model-0"]) == (1, "no_price", "not_listed")
    prices.write_text(price_map(3e-06))
    words = ["import", "litellm-prices", prices, "--models", "priced"]
    assert steward.cli(*words, "--plan", check=False).returncode == 2
    steward.cli(*words)
    assert steward.cli(*words, "--plan").returncode == 0, "it holds"
    assert checked() == (0, found | {"priced": "not_listed"})
    prices.write_text(price_map(4e-06))
    steward.cli(*words)
    rows = steward.json("price", "list", "--model", "priced")["rows"]
    assert [row["price"]["input"] for row in rows] == [3_000_000, 4_000_000]
    assert rows[1]["from"].endswith("T00:00:00Z") and rows[0]["until"] == rows[1]["from"]
    assert "example.org" in rows[0]["source"]


def test_a_key_in_the_file_stops_the_import_and_is_not_shown(steward, upstream, tmp_path):
    steward.up()
    file = tmp_path / "config.yaml"
    file.write_text(configuration(upstream.url, upstream.url).replace("api_key: none", "api_key: sk-very-secret", 1))
    ran = steward.cli("import", "litellm", file, check=False)
    assert (ran.returncode, "refused" in ran.stdout, "os.environ/NAME" in ran.stdout) == (1, True, True), ran
    assert "sk-very-secret" not in ran.stdout + ran.stderr
    assert steward.json("model", "list")["rows"] == []
