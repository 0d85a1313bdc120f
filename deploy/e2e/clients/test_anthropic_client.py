"""The unmodified anthropic client over providers of either dialect, and the openai client over Anthropic's."""

import anthropic
import openai
import pytest

from steward_testkit.company import COMPANY, FIVE_DOLLARS
from steward_testkit.messages_upstream import INPUT, MessagesUpstream, ToolsUpstream
from steward_testkit.running import wait_for

HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.fixture(params=["anthropic", "openai"])
def provider(request, steward):
    """An upstream of each kind, and a running Steward whose only model goes there."""
    upstream = MessagesUpstream() if request.param == "anthropic" else ToolsUpstream()
    company = COMPANY.replace('kind = "openai"', f'kind = "{request.param}"')
    steward.up()
    (steward.folder / "company.toml").write_text(company.format(url=upstream.url, name="mock", budget=FIVE_DOLLARS))
    steward.cli("apply", steward.folder / "company.toml")
    yield upstream
    upstream.close()


@pytest.fixture
def bot_key(steward, provider):
    return steward.key("support-bot", "acme", "--on", "acme/support")


def client(steward, key):
    return anthropic.Anthropic(base_url=steward.url, auth_token=key, max_retries=0)


def assert_booked(steward, usages: list[tuple[int, int]]):
    """The log and the report have what the answers said."""
    events = [f["data"] for f in steward.replay("acme", "--kind", "usage") if f["name"] == "usage.call_finished"]
    assert [(event["tokens"]["input"], event["tokens"]["output"]) for event in events] == usages
    total = wait_for("the report", lambda: (t := steward.json("cost", "--tenant", "acme")["total"])["calls"] == len(usages) and t)
    tokens = sum(map(sum, usages))
    assert total["input"] + total["output"] == tokens
    # $1.00 for a million tokens is 1,000 nano-dollars a token
    assert total["cost"] == f"${tokens / 1e6:.6f}".rstrip("0")


def test_messages_are_answered_whole_and_streamed_and_booked(steward, provider, bot_key):
    bot = client(steward, bot_key)
    whole = bot.messages.with_raw_response.create(model="small", max_tokens=8, system="Be brief.", messages=HELLO)
    reply = whole.parse()
    assert (reply.content[0].text, reply.stop_reason) == ("word " * 5, "end_turn")
    assert whole.headers["x-steward-response-cost"] == "$0.000012"
    assert whole.headers["request-id"]
    with bot.messages.stream(model="small", max_tokens=8, messages=HELLO) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert pieces == ["word "] * 5
    assert (final.content[0].text, final.stop_reason) == ("word " * 5, "end_turn")
    usages = [(usage.input_tokens, usage.output_tokens) for usage in (reply.usage, final.usage)]
    assert usages == [(7, 5), (7, 5)]
    assert_booked(steward, usages)


def test_tools_are_called_and_answered(steward, provider, bot_key):
    bot = client(steward, bot_key)
    request = {"model": "small", "max_tokens": 64, "tools": [WEATHER]}
    asked = [{"role": "user", "content": "How is the weather?"}]
    whole = bot.messages.create(messages=asked, **request)
    with bot.messages.stream(messages=asked, **request) as stream:
        streamed = stream.get_final_message()
    for reply in (whole, streamed):
        assert reply.stop_reason == "tool_use"
        assert (reply.content[0].type, reply.content[0].name, reply.content[0].input) == ("tool_use", "weather", INPUT)
    result = {"type": "tool_result", "tool_use_id": whole.content[0].id, "content": "rain"}
    more = [*asked, {"role": "assistant", "content": whole.content}, {"role": "user", "content": [result]}]
    assert bot.messages.create(messages=more, **request).content[0].text == "word " * 5


def test_refusals_raise_the_clients_own_exceptions(steward, provider, bot_key):
    request = {"model": "small", "max_tokens": 5, "messages": HELLO}
    with pytest.raises(anthropic.AuthenticationError) as wrong:
        client(steward, "stw_acme_wrong").messages.create(**request)
    assert wrong.value.body["error"]["type"] == "authentication_error"
    with pytest.raises(anthropic.NotFoundError):
        client(steward, bot_key).messages.create(**{**request, "model": "huge"})
    stranger = steward.key("stranger", "acme", "--on", "acme/support")
    with pytest.raises(anthropic.PermissionDeniedError):
        client(steward, stranger).messages.create(**request)
    with pytest.raises(anthropic.BadRequestError) as bad:
        client(steward, bot_key).messages.create(**request, thinking={"type": "enabled", "budget_tokens": 2_000})
    assert bad.value.body["error"]["param"] == "thinking"
    assert client(steward, bot_key).messages.count_tokens(model="small", messages=HELLO).input_tokens > 0
    steward.cli("budget", "set", "acme/support", "$0", "--per", "day")
    with pytest.raises(anthropic.APIStatusError) as spent:
        client(steward, bot_key).messages.create(**request)
    assert (spent.value.status_code, spent.value.body["error"]["type"]) == (402, "billing_error")
    assert provider.calls == []


def test_the_openai_client_is_answered_alike(steward, provider, bot_key):
    bot = openai.OpenAI(base_url=f"{steward.url}/v1", api_key=bot_key, max_retries=0)
    whole = bot.chat.completions.create(model="small", messages=HELLO, max_tokens=8)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("word " * 5, "stop")
    pieces = list(bot.chat.completions.create(model="small", messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}))
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == "word " * 5
    tool = {"type": "function", "function": {"name": "weather", "parameters": WEATHER["input_schema"]}}
    called = bot.chat.completions.create(model="small", messages=HELLO, max_tokens=8, tools=[tool])
    call = called.choices[0].message.tool_calls[0]
    assert (call.function.name, called.choices[0].finish_reason) == ("weather", "tool_calls")
    more = [*HELLO, called.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    last = bot.chat.completions.create(model="small", messages=more, max_tokens=8, tools=[tool])
    assert last.choices[0].message.content == "word " * 5
    usages = [(usage.prompt_tokens, usage.completion_tokens) for usage in (whole.usage, pieces[-1].usage, called.usage, last.usage)]
    assert usages == [(7, 5)] * 4
    assert_booked(steward, usages)
