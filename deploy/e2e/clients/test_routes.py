"""Routes on the command line and for callers: where a call goes, and past a provider that is away."""

from openai import OpenAI

from steward_testkit.company import apply_company
from steward_testkit.running import free_port

HELLO = [{"role": "user", "content": "hi"}]


def test_a_provider_that_is_away_is_left_alone(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    away = f"http://127.0.0.1:{free_port()}/v1"
    steward.cli("provider", "set", "away", away, "--kind", "openai", "--tenant", "steward")
    targets = ["--targets", "away/mock", "--targets", "local/mock weight=3 priority=1"]
    steward.cli("route", "set", "small", *targets, "--tenant", "steward")
    client = OpenAI(base_url=f"{steward.url}/v1", api_key=key, max_retries=0)

    def attempts() -> str:
        answer = client.chat.completions.with_raw_response.create(model="small", messages=HELLO, max_tokens=5)
        return answer.headers["x-steward-attempts"]

    assert [attempts() for _ in range(8)] == ["2"] * 5 + ["1"] * 3
    explained = steward.json("route", "explain", "small", "--tenant", "acme")
    found = [(row["target"]["provider"], row.get("place")) for row in explained["targets"]]
    assert (explained["inherited"], found) == (True, [("away", 1), ("local", 2)])
    assert "local/mock weight=3 priority=1" in steward.cli("model", "list", "--tenant", "steward").stdout
    exported = steward.folder / "exported.toml"
    exported.write_text(steward.cli("export-config").stdout)
    assert "nothing to do" in steward.cli("apply", exported, "--plan").stdout
