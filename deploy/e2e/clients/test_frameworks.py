"""What applications in Python stand on: an agent framework with a tool and a hand-off over two APIs, and the helpers of the official clients."""

import asyncio

import agents
import anthropic
import openai
import pydantic
import pytest

from steward_testkit.company import apply_company
from steward_testkit.responder import USAGE, Rules
from steward_testkit.running import wait_for

WHO = [{"role": "user", "content": "who visits?"}]
WEATHER = [{"role": "user", "content": "weather in Paris?"}]
USED = (USAGE["input"], USAGE["output"])


class Visit(pydantic.BaseModel):
    city: str
    people: int


class weather(pydantic.BaseModel):
    """Tells the weather of a city."""

    city: str


@pytest.fixture(params=["responses", "chats only"])
def rules(request):
    rules = Rules(has_responses=request.param == "responses")
    yield rules
    rules.close()


@pytest.fixture
def bot(steward, rules):
    """The address and the key of who may call the model."""
    steward.up()
    apply_company(steward, rules.url)
    return {"base_url": f"{steward.url}/v1", "api_key": steward.key("support-bot", "acme", "--on", "acme/support"), "max_retries": 0}


def assert_booked(steward, calls: int):
    """The report has what each answer said."""
    total = wait_for("the report", lambda: (t := steward.json("cost", "--tenant", "acme")["total"])["calls"] == calls and t)
    assert (total["input"], total["output"], total["estimated"]) == (USED[0] * calls, USED[1] * calls, 0)


@pytest.mark.parametrize("api", [agents.OpenAIResponsesModel, agents.OpenAIChatCompletionsModel])
def test_an_agent_hands_over_to_one_with_a_tool(steward, bot, api):
    asked = []

    @agents.function_tool
    def weather(city: str) -> str:
        """Tells the weather of a city."""
        asked.append(city)
        return "sunny"

    agents.set_tracing_disabled(True)
    model = api(model="small", openai_client=openai.AsyncOpenAI(**bot))
    more = {"model": model, "model_settings": agents.ModelSettings(include_usage=True)}
    guide = agents.Agent(name="guide", instructions="Answer briefly.", tools=[weather], **more)
    desk = agents.Agent(name="desk", instructions="Hand over.", handoffs=[guide], **more)

    async def streamed():
        run = agents.Runner.run_streamed(desk, "weather in Paris?")
        async for _ in run.stream_events():
            pass
        return run

    async def both():
        return await agents.Runner.run(desk, "weather in Paris?"), await streamed()

    runs = asyncio.run(both())
    for run in runs:
        assert (run.last_agent.name, run.final_output.replace(" ", "")) == ("guide", "Itissunny.")
        used = run.context_wrapper.usage
        assert (used.requests, used.input_tokens, used.output_tokens) == (3, USED[0] * 3, USED[1] * 3)
    assert asked == ["Paris", "Paris"]
    assert_booked(steward, 6)


def test_the_openai_clients_helpers_parse_and_stream(steward, bot):
    client = openai.OpenAI(**bot)
    parsed = client.chat.completions.parse(model="small", messages=WHO, response_format=Visit, max_tokens=32)
    assert parsed.choices[0].message.parsed == Visit(city="Paris", people=2)
    tool = openai.pydantic_function_tool(weather)
    called = client.chat.completions.parse(model="small", messages=WEATHER, tools=[tool], max_tokens=32)
    assert called.choices[0].message.tool_calls[0].function.parsed_arguments == weather(city="Paris")

    more = {"max_tokens": 32, "stream_options": {"include_usage": True}}
    with client.chat.completions.stream(model="small", messages=WHO, response_format=Visit, **more) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.parsed == Visit(city="Paris", people=2)
    with client.chat.completions.stream(model="small", messages=WEATHER, tools=[tool], **more) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    assert [(event.name, event.parsed_arguments) for event in done] == [("weather", weather(city="Paris"))]

    with client.responses.stream(model="small", input="who visits?", text_format=Visit, max_output_tokens=32) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert response.output_parsed == Visit(city="Paris", people=2)
    usages = [(answer.usage.prompt_tokens, answer.usage.completion_tokens) for answer in (parsed, called, final)]
    assert [*usages, (response.usage.input_tokens, response.usage.output_tokens)] == [USED] * 4
    assert_booked(steward, 5)


def test_the_anthropic_clients_helpers_stream_and_count(steward, bot):
    client = anthropic.Anthropic(base_url=steward.url, auth_token=bot["api_key"], max_retries=0)
    tool = {"name": "weather", "description": "Tells it.", "input_schema": weather.model_json_schema()}
    with client.messages.stream(model="small", max_tokens=32, messages=WEATHER, tools=[tool]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop") and "input_json" in kinds
    assert (final.stop_reason, final.content[0].name, final.content[0].input) == ("tool_use", "weather", {"city": "Paris"})
    with client.messages.stream(model="small", max_tokens=32, messages=[{"role": "user", "content": "hello"}]) as stream:
        assert stream.get_final_text().replace(" ", "") == "goodday"
    assert (final.usage.input_tokens, final.usage.output_tokens) == USED

    short = client.messages.count_tokens(model="small", messages=WEATHER).input_tokens
    long = client.messages.count_tokens(model="small", messages=WEATHER * 3, system="Be brief.", tools=[tool]).input_tokens
    assert 0 < short < long
    # To count is no call.
    assert_booked(steward, 2)
