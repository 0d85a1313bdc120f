"""The unmodified openai client against the real model."""

import openai
import pytest

from steward_testkit.company import apply_company
from steward_testkit.running import wait_for

HELLO = [{"role": "user", "content": "Say hello."}]


def client(steward, key):
    return openai.OpenAI(base_url=f"{steward.url}/v1", api_key=key, max_retries=0)


def test_usage_in_the_reply_is_in_the_log_and_in_the_report(steward, model):
    steward.up()
    apply_company(steward, model.url, model.name)
    bot = client(steward, steward.key("support-bot", "acme", "--on", "acme/support"))
    assert [m.id for m in bot.models.list()] == ["small"]

    whole = bot.chat.completions.with_raw_response.create(model="small", messages=HELLO, max_tokens=8)
    reply = whole.parse()
    assert reply.choices[0].message.content
    assert whole.headers["x-steward-response-cost"].startswith("$")
    pieces = list(bot.chat.completions.create(model="small", messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}))
    streamed = pieces[-1].usage
    assert pieces[-1].choices == [] and all(piece.usage is None for piece in pieces[:-1])
    assert sum(bool(piece.choices and piece.choices[0].delta.content) for piece in pieces) >= 2
    # a client that asks for no usage gets no such chunk, and is charged all the same
    silent = list(bot.chat.completions.create(model="small", messages=HELLO, max_tokens=8, stream=True))
    assert all(piece.choices for piece in silent)

    events = [f["data"] for f in steward.replay("acme", "--kind", "usage") if f["name"] == "usage.call_finished"]
    assert len(events) == 3
    for usage, event in zip([reply.usage, streamed], events):
        assert (usage.prompt_tokens, usage.completion_tokens) == (event["tokens"]["input"], event["tokens"]["output"])
    total = wait_for("the report", lambda: (t := steward.json("cost", "--tenant", "acme")["total"])["calls"] == 3 and t)
    assert total["input"] == sum(f["tokens"]["input"] for f in events)
    assert total["output"] == sum(f["tokens"]["output"] for f in events)
    # $1.00 for a million tokens is 1,000 nano-dollars a token
    assert total["cost"] == f"${(total['input'] + total['output']) / 1e6:.6f}".rstrip("0")


def test_refusals_raise_the_clients_own_exceptions(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    with pytest.raises(openai.AuthenticationError) as wrong:
        client(steward, "stw_acme_wrong").chat.completions.create(model="small", messages=HELLO)
    assert wrong.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        client(steward, key).chat.completions.create(model="huge", messages=HELLO)
    assert unknown.value.code == "model_not_found"
    stranger = steward.key("stranger", "acme", "--on", "acme/support")
    with pytest.raises(openai.PermissionDeniedError):
        client(steward, stranger).chat.completions.create(model="small", messages=HELLO)
    with pytest.raises(openai.BadRequestError):
        client(steward, key).post("/chat/completions", body={"model": "small", "messages": "no list"}, cast_to=object)
    steward.cli("budget", "set", "acme/support", "$0", "--per", "day")
    with pytest.raises(openai.APIStatusError) as spent:
        client(steward, key).chat.completions.create(model="small", messages=HELLO, max_tokens=5)
    assert (spent.value.status_code, spent.value.code) == (402, "insufficient_quota")
    assert upstream.calls == []


def test_a_revoked_key_is_refused_at_once(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    issued = steward.json("key", "issue", "support-bot", "--tenant", "acme", "--on", "acme/support")["answer"]
    bot = client(steward, issued["secret"])
    bot.chat.completions.create(model="small", messages=HELLO, max_tokens=5)
    steward.cli("key", "revoke", issued["key"], "--tenant", "acme")
    with pytest.raises(openai.AuthenticationError):
        bot.chat.completions.create(model="small", messages=HELLO, max_tokens=5)
    assert len(upstream.calls) == 1
