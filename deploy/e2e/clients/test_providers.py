"""The same prompt to providers of every kind: the caller sees one answer, and the books have what the provider counted."""

import openai
import pytest

from steward_testkit.company import COMPANY, FIVE_DOLLARS
from steward_testkit.foreign_upstreams import CACHED, INPUT, OUTPUT, THOUGHTS, WORDS, Azure, AzureWithoutVersions, Bedrock, Gemini
from steward_testkit.running import wait_for

HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(params=[Gemini, Bedrock, Azure, AzureWithoutVersions])
def foreign(request, steward):
    """An upstream of one kind, and a running Steward whose only model goes there."""
    upstream = request.param()
    secret = steward.folder / "provider.key"
    secret.write_text(upstream.key)
    provider = f'kind = "{upstream.kind}"\nkey  = "file:{secret}"'
    company = COMPANY.replace('kind = "openai"', provider)
    steward.up()
    (steward.folder / "company.toml").write_text(company.format(url=upstream.url, name=upstream.model, budget=FIVE_DOLLARS))
    steward.cli("apply", steward.folder / "company.toml")
    yield upstream
    upstream.close()


def test_every_kind_of_provider_is_answered_alike_and_booked(steward, foreign):
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    bot = openai.OpenAI(base_url=f"{steward.url}/v1", api_key=key, max_retries=0)
    whole = bot.chat.completions.create(model="small", messages=HELLO, max_tokens=8)
    pieces = list(bot.chat.completions.create(model="small", messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}))
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("".join(WORDS), "stop")
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == "".join(WORDS)
    for usage in (whole.usage, pieces[-1].usage):
        assert (usage.prompt_tokens, usage.completion_tokens, usage.prompt_tokens_details.cached_tokens) == (INPUT, OUTPUT, CACHED)
    assert len(foreign.calls) == 2

    events = [f["data"] for f in steward.replay("acme", "--kind", "usage") if f["name"] == "usage.call_finished"]
    thoughts = 0 if foreign.kind == "bedrock" else THOUGHTS  # Bedrock does not tell them apart
    booked = {"input": INPUT, "cached": CACHED, "output": OUTPUT, "reasoning": thoughts}
    assert [{name: event["tokens"][name] for name in booked} for event in events] == [booked] * 2
    total = wait_for("the report", lambda: (t := steward.json("cost", "--tenant", "acme")["total"])["calls"] == 2 and t)
    # $1.00 for a million tokens is 1,000 nano-dollars a token; the price names no other rate for the cache
    assert total["cost"] == f"${2 * (INPUT + OUTPUT) / 1e6:.6f}".rstrip("0")


def test_a_wrong_key_is_the_operators_matter(steward, foreign):
    (steward.folder / "provider.key").write_text("AKIDMOCK:wrong region=eu-west-1" if foreign.kind == "bedrock" else "wrong")
    bot = openai.OpenAI(base_url=f"{steward.url}/v1", api_key=steward.key("support-bot", "acme", "--on", "acme/support"), max_retries=0)
    with pytest.raises(openai.InternalServerError) as refused:
        bot.chat.completions.create(model="small", messages=HELLO, max_tokens=8)
    assert (refused.value.status_code, refused.value.code) == (502, "upstream_failed")
    assert foreign.calls == []
