"""Unmodified clients of the Responses API: OpenAI's own, and an agent framework; over an upstream that has it, and one that has chats only."""

import asyncio

import agents
import openai
import pydantic
import pytest

from steward_testkit.company import apply_company
from steward_testkit.responder import USAGE, Rules
from steward_testkit.running import wait_for


@pytest.fixture(params=["responses", "chats only"])
def rules(request):
    rules = Rules(has_responses=request.param == "responses")
    yield rules
    rules.close()


class Visit(pydantic.BaseModel):
    city: str
    people: int


WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": False}


def bot(steward, rules, asynchronous=False):
    steward.up()
    apply_company(steward, rules.url)
    client = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    return client(base_url=f"{steward.url}/v1", api_key=steward.key("support-bot", "acme", "--on", "acme/support"), max_retries=0)


def finished(steward):
    return [f["data"] for f in steward.replay("acme", "--kind", "usage") if f["name"] == "usage.call_finished"]


def test_a_response_is_the_same_whole_and_streamed(steward, rules):
    client = bot(steward, rules)
    whole = client.responses.create(model="small", input="hello", instructions="be brief", max_output_tokens=32)
    assert (whole.output_text, whole.status) == ("good day", "completed")
    with client.responses.stream(model="small", input="hello", max_output_tokens=32) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response()
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert streamed.output_text.replace(" ", "") == "goodday"
    for response, call in zip([whole, streamed], finished(steward)):
        assert (response.usage.input_tokens, response.usage.output_tokens) == (USAGE["input"], USAGE["output"])
        assert (call["tokens"]["input"], call["tokens"]["output"]) == (USAGE["input"], USAGE["output"])
    assert rules.asked[-1][1].get("max_output_tokens", rules.asked[-1][1].get("max_tokens")) == 32


def test_output_is_parsed_by_its_schema(steward, rules):
    parsed = bot(steward, rules).responses.parse(model="small", input="who visits?", text_format=Visit, max_output_tokens=32)
    assert parsed.output_parsed == Visit(city="Paris", people=2)


def test_a_tools_result_is_sent_back(steward, rules):
    client = bot(steward, rules)
    said = [{"role": "user", "content": "weather in Paris?"}]
    first = client.responses.create(model="small", input=said, tools=[WEATHER], max_output_tokens=32)
    call = next(item for item in first.output if item.type == "function_call")
    assert (call.name, call.arguments) == ("weather", '{"city": "Paris"}')
    said += [item.to_dict() for item in first.output]
    said.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    second = client.responses.create(model="small", input=said, tools=[WEATHER], max_output_tokens=32)
    assert second.output_text == "It is sunny."


def test_input_tokens_are_counted(steward, rules):
    count = bot(steward, rules).responses.input_tokens.count
    short, long = (count(model="small", input="hello " * times).input_tokens for times in (1, 100))
    assert 0 < short < long


def test_an_agent_with_a_tool_finishes(steward, rules):
    client = bot(steward, rules, asynchronous=True)
    asked = []

    @agents.function_tool
    def weather(city: str) -> str:
        """Tells the weather of a city."""
        asked.append(city)
        return "sunny"

    agents.set_tracing_disabled(True)
    model = agents.OpenAIResponsesModel(model="small", openai_client=client)
    agent = agents.Agent(name="guide", instructions="Answer briefly.", model=model, tools=[weather])

    async def streamed():
        run = agents.Runner.run_streamed(agent, "weather in Paris?")
        async for _ in run.stream_events():
            pass
        return run

    async def both():
        return await agents.Runner.run(agent, "weather in Paris?"), await streamed()

    for run in asyncio.run(both()):
        assert run.final_output.replace(" ", "") == "Itissunny."
    assert asked == ["Paris", "Paris"]
    assert len(finished(steward)) == 4


def test_what_cannot_be_done_is_named(steward, rules):
    client = bot(steward, rules)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="small", input="hello", background=True, stream=True)
    assert refused.value.param == "background"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_1")
    assert rules.asked == []


def test_a_kept_response_is_refused_where_nothing_is_kept(steward):
    rules = Rules(has_responses=False)
    client = bot(steward, rules)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="small", input="hello", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"
    rules.close()


def test_responses_that_are_kept_are_built_on_shown_and_forgotten(steward, rules):
    client = bot(steward, rules)
    first = client.responses.create(model="small", input="weather in Paris?", tools=[WEATHER], max_output_tokens=32, store=True)
    call = next(item for item in first.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    second = client.responses.create(
        model="small", previous_response_id=first.id, input=[result], tools=[WEATHER], max_output_tokens=32, store=True)
    assert (second.output_text, second.previous_response_id) == ("It is sunny.", first.id)
    assert client.responses.retrieve(second.id).output_text == "It is sunny."
    kinds = [item.type for item in client.responses.input_items.list(second.id, order="asc", limit=2)]
    assert kinds == ["message", "function_call", "function_call_output"]
    with client.responses.stream(model="small", previous_response_id=second.id, input="thanks", max_output_tokens=32, store=True) as stream:
        third = stream.get_final_response()
    assert client.responses.retrieve(third.id).store
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError, match="previous_response_id|no response"):
        client.responses.create(model="small", previous_response_id=second.id, input="so?")


def test_a_response_in_the_background_is_fetched_when_it_is_there(steward, rules):
    client = bot(steward, rules)
    queued = client.responses.create(model="small", input="hello", max_output_tokens=32, background=True)
    assert queued.status == "queued"
    answered = wait_for("the answer", lambda: (r := client.responses.retrieve(queued.id)).status == "completed" and r)
    assert answered.output_text == "good day" and client.responses.cancel(queued.id).status == "completed"
    assert len(finished(steward)) == 1
