"""A tenant's own account at a provider: its key is given once, used for its calls, and shown by nothing."""

import pytest
from openai import APIStatusError, OpenAI

from steward_testkit.company import apply_company
from steward_testkit.upstream import Upstream

HELLO = [{"role": "user", "content": "hi"}]
OWN = """
[tenant.acme]
timezone = "Europe/Berlin"
[tenant.acme.provider.own]
kind = "openai"
url = "{url}"
key = "secret:own-account"
[tenant.acme.model.mine]
route = ["own/mock"]
price = {{ from = 2026-11-01, input = "$1.00/M", output = "$1.00/M" }}
output_max = 64
"""


class Provider(Upstream):
    """Keeps the keys by which it was called."""

    def __init__(self):
        self.keys = []
        super().__init__()

    def misbehave(self, handler, body):
        self.keys.append(handler.headers["authorization"])
        return super().misbehave(handler, body)


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.close()


def keep(steward, value: str, check: bool = True):
    file = steward.folder / "own.key"
    file.write_text(value + "\n")
    return steward.cli("secret", "set", "own-account", "--value-file", file, "--tenant", "acme", check=check)


def test_a_tenants_secret_is_used_and_never_shown(steward, provider):
    steward.config.write_text(steward.config.read_text() + "\n[providers]\ntenant_providers_anywhere = true\n")
    process = steward.up()
    apply_company(steward, provider.url)
    own = steward.folder / "own.toml"
    own.write_text(OWN.format(url=provider.url))
    assert steward.cli("apply", own, check=False).returncode == 1, "there is no such secret yet"
    said = keep(steward, "sk-Marker-1").stdout
    steward.cli("apply", own)
    assert "nothing to do" in steward.cli("apply", own).stdout

    bot = OpenAI(base_url=f"{steward.url}/v1", api_key=steward.key("support-bot", "acme", "--on", "acme/support"), max_retries=0)
    bot.chat.completions.create(model="mine", messages=HELLO, max_tokens=5)
    said += keep(steward, "sk-Marker-2").stdout
    bot.chat.completions.create(model="mine", messages=HELLO, max_tokens=5)
    assert provider.keys == ["Bearer sk-Marker-1", "Bearer sk-Marker-2"]

    (row,) = steward.json("secret", "list", "--tenant", "acme")["rows"]
    assert (row["secret"], row["providers"]) == ("own-account", ["own"])
    refused = steward.cli("secret", "remove", "own-account", "--tenant", "acme", check=False)
    assert refused.returncode != 0 and "the provider own uses it" in refused.stderr
    assert steward.cli("secret", "set", "own-account", "sk-Marker-3", check=False).returncode != 0, "no argument"
    assert "visible ASCII" in keep(steward, "sk-Marker 4", check=False).stderr

    said += refused.stderr + str(steward.replay("acme")) + steward.cli("secret", "list", "--tenant", "acme").stdout
    steward.cli("audit", "export", "--tenant", "acme", "--out", steward.folder / "export")
    kept = b"".join(file.read_bytes() for file in (steward.folder / "export").rglob("*") if file.is_file())
    assert kept and b"Marker" not in kept
    assert "Marker" not in said and "Marker" not in process.log.read_text()


def test_a_secret_that_no_provider_uses_can_be_removed(steward, provider):
    steward.up()
    apply_company(steward, provider.url)
    keep(steward, "sk-1")
    steward.cli("secret", "remove", "own-account", "--tenant", "acme")
    assert steward.json("secret", "list", "--tenant", "acme")["rows"] == []
    bot = OpenAI(base_url=f"{steward.url}/v1", api_key=steward.key("support-bot", "acme", "--on", "acme/support"), max_retries=0)
    with pytest.raises(APIStatusError) as unknown:
        bot.chat.completions.create(model="mine", messages=HELLO, max_tokens=5)
    assert unknown.value.status_code == 404
