"""The unmodified openai client: embeddings, completions, moderations, images and speech; and as Azure's client."""

import base64

import openai
import pytest

from steward_testkit.openai_operations import SPEECH, OperationsUpstream, vector

MODELS = {
    "small": 'input = "$1.00/M", output = "$2.00/M"',
    "vectors": 'input = "$0.10/M", output = "$0.00/M"',
    "guard": 'input = "$0.00/M", output = "$0.00/M"',
    "painter": 'input = "$0.00/M", output = "$0.00/M", image = "$0.04"',
    "speaker": 'input = "$15.00/M", output = "$0.00/M"',
}
COMPANY = """
[provider.local]
kind = "openai"
url  = "{url}"
{models}
[tenant.acme]
timezone = "Europe/Berlin"

[tenant.acme.project.support]
budget = {{ limit = "$5.00", per = "day", hard = true }}
grant  = [{{ to = "bot", role = "agent" }}]
"""


@pytest.fixture
def upstream():
    upstream = OperationsUpstream()
    yield upstream
    upstream.close()


@pytest.fixture
def key(steward, upstream):
    steward.up()
    models = "".join(
        f'\n[model.{name}]\nroute = ["local/their-{name}"]\nprice = {{ from = 2026-11-01, {price} }}\noutput_max = 64\n'
        for name, price in MODELS.items()
    )
    file = steward.folder / "company.toml"
    file.write_text(COMPANY.format(url=upstream.url, models=models))
    steward.cli("apply", file)
    return steward.key("bot", "acme", "--on", "acme/support")


def client(steward, key):
    return openai.OpenAI(base_url=f"{steward.url}/v1", api_key=key, max_retries=0)


def finished(steward) -> list[dict]:
    return [f["data"] for f in steward.replay("acme", "--kind", "usage") if f["name"] == "usage.call_finished"]


def test_embeddings_come_as_the_client_asks_for_them_and_cost_their_input(steward, upstream, key):
    bot = client(steward, key)
    one = bot.embeddings.create(model="vectors", input="good day")  # the client asks for base64 by itself
    assert upstream.calls[-1]["encoding_format"] == "base64"
    assert one.data[0].embedding == vector("good day", 4)
    batch = bot.embeddings.with_raw_response.create(model="vectors", input=["a", "bc"], dimensions=8, encoding_format="float")
    assert [item.embedding for item in batch.parse().data] == [vector("a", 8), vector("bc", 8)]
    assert batch.headers["x-steward-response-cost"] == "$0.0000006"
    assert bot.embeddings.create(model="vectors", input=[[1, 2], [3]]).usage.prompt_tokens == 6
    assert [call["model"] for call in upstream.calls] == ["their-vectors"] * 3
    assert [f["tokens"]["input"] for f in finished(steward)] == [3, 6, 6]


def test_completions_are_whole_or_streamed(steward, upstream, key):
    bot = client(steward, key)
    whole = bot.completions.create(model="small", prompt="once upon", n=1, best_of=2)
    assert (whole.choices[0].text, upstream.calls[-1]["max_tokens"], whole.usage.completion_tokens) == (" a time", 16, 32)
    pieces = list(bot.completions.create(model="small", prompt="once upon", max_tokens=5, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == " word" * 5
    assert all(piece.usage is None for piece in pieces)
    assert [f["tokens"]["output"] for f in finished(steward)] == [32, 5]


def test_moderations_images_and_speech_are_booked_at_their_prices(steward, upstream, key):
    bot = client(steward, key)
    judged = bot.moderations.create(model="guard", input=["good", "bad"])
    assert [result.flagged for result in judged.results] == [False, True]
    made = bot.images.generate(model="painter", prompt="a cat", n=2)
    assert all(base64.b64decode(image.b64_json).startswith(b"\x89PNG") for image in made.data)
    spoken = bot.audio.speech.create(model="speaker", voice="alloy", input="Grüß dich")
    assert spoken.content == SPEECH and spoken.response.headers["content-type"] == "audio/mpeg"
    assert upstream.paths == ["/moderations", "/images/generations", "/audio/speech"]
    # two images at $0.04, nine characters at $15 a million
    assert [f["cost"] for f in finished(steward)] == ["$0.00", "$0.08", "$0.000135"]


def test_what_is_refused_raises_the_clients_own_exceptions(steward, upstream, key):
    bot = client(steward, key)
    with pytest.raises(openai.BadRequestError) as priced:
        bot.audio.speech.create(model="small", voice="alloy", input="hi")
    assert priced.value.param == "model"
    with pytest.raises(openai.BadRequestError) as streamed:
        list(bot.images.generate(model="painter", prompt="a cat", stream=True))
    assert streamed.value.param == "stream"
    steward.cli("budget", "set", "acme/support", "$0", "--per", "day")
    with pytest.raises(openai.APIStatusError) as spent:
        bot.embeddings.create(model="vectors", input="hi")
    assert (spent.value.status_code, spent.value.code) == (402, "insufficient_quota")
    assert upstream.calls == []


def test_azures_client_needs_the_address_and_a_key(steward, upstream, key):
    azure = openai.AzureOpenAI(azure_endpoint=steward.url, api_key=key, api_version="2024-10-21", max_retries=0)
    chat = azure.chat.completions.create(model="small", messages=[{"role": "user", "content": "hi"}], max_tokens=5)
    assert chat.choices[0].message.content
    assert azure.embeddings.create(model="vectors", input="abc").data[0].embedding == vector("abc", 4)
    assert azure.completions.create(model="small", prompt="once upon").choices[0].text == " a time"
    assert "small" in [model.id for model in azure.models.list()]
    deployed = openai.AzureOpenAI(
        azure_endpoint=steward.url, azure_deployment="vectors", api_key=key, api_version="2024-10-21", max_retries=0
    )
    assert deployed.embeddings.create(model="whatever", input="abc").usage.prompt_tokens == 3
    newer = openai.OpenAI(base_url=f"{steward.url}/openai/v1", api_key=key, max_retries=0)
    assert newer.embeddings.create(model="vectors", input="abc").usage.prompt_tokens == 3
    assert upstream.paths == ["/chat/completions", "/embeddings", "/completions", "/embeddings", "/embeddings"]
