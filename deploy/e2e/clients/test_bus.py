"""A plain NATS client: commands in JSON, permissions enforced by the bus and by the aggregates."""

import asyncio
import json

import nats
import nats.errors
import pytest

from steward_testkit.company import apply_company


def request(steward, key, principal, subject, body, inbox=None, timeout=5):
    async def run():
        errors = []

        async def on_error(error):
            errors.append(str(error))

        bus = await nats.connect(steward.bus_url, token=key, inbox_prefix=f"_INBOX.acme.{inbox or principal}".encode(),
                                 error_cb=on_error, max_reconnect_attempts=0)
        try:
            reply = await bus.request(subject, json.dumps(body).encode(), timeout=timeout)
            return json.loads(reply.data), dict(reply.headers or {})
        except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
            await asyncio.sleep(0.1)
            return None, {"error": repr(error), "permissions": " ".join(errors)}
        finally:
            await bus.close()

    return asyncio.run(run())


@pytest.fixture
def acme(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    steward.cli("account", "create", "budget-tool", "--tenant", "acme")
    steward.cli("grant", "give", "budget-tool", "admin", "--on", "acme")
    steward.admin = steward.json("key", "issue", "budget-tool", "--tenant", "acme")["answer"]
    steward.bot = steward.json("key", "issue", "support-bot", "--tenant", "acme", "--on", "acme/support")["answer"]
    return steward


BODY = {"scope": "acme/support", "limit": "$2.50", "per": "day"}


def test_a_command_in_json_is_decided_and_replayed(acme):
    who = acme.admin["principal"]
    reply, _ = request(acme, acme.admin["secret"], who, f"cmd.acme.{who}.budget.set", BODY)
    assert reply["accepted"] is True and reply["events"] == ["ledger.budget_set"]
    last = acme.replay("acme", "--kind", "ledger", "--last", "1")[0]
    assert last["position"] == reply["position"] and last["actor"] == who
    assert last["data"]["spec"]["limit"] == 2_500_000_000


def test_without_the_permission_it_is_refused_with_the_reason(acme):
    who = acme.bot["key"]  # a key narrowed to a project speaks as itself
    reply, headers = request(acme, acme.bot["secret"], who, f"cmd.acme.{who}.budget.set", BODY)
    assert reply["accepted"] is False and reply["rejection"]["code"] == "forbidden"
    assert "budget:set" in reply["message"] and "steward grant give" in reply["rejection"]["would_allow"]
    assert headers["Nats-Service-Error-Code"] == "403"


def test_the_bus_lets_nobody_speak_as_another(acme):
    bot, admin = acme.bot["key"], acme.admin["principal"]
    for subject in [f"cmd.acme.{admin}.budget.set", f"cmd.acme.{acme.bot['principal']}.key.issue", f"cmd.globex.{bot}.budget.set", "evt.00.acme.ledger.main", "$JS.API.STREAM.NAMES"]:
        reply, why = request(acme, acme.bot["secret"], bot, subject, BODY, timeout=1)
        assert reply is None and "ermissions" in why["permissions"], (subject, why)


def test_a_client_without_credentials_gets_nothing(acme):
    async def connect(**credentials):
        await nats.connect(acme.bus_url, max_reconnect_attempts=0, allow_reconnect=False, connect_timeout=5, **credentials)

    for credentials in [{}, {"token": "stw_acme_wrong"}, {"user": "x", "password": "y"}]:
        with pytest.raises(Exception) as refused:
            asyncio.run(connect(**credentials))
        assert "authorization" in str(refused.value).lower(), credentials


def test_bad_input_gets_a_clear_error(acme):
    who = acme.admin["principal"]
    reply, _ = request(acme, acme.admin["secret"], who, f"cmd.acme.{who}.budget.set", {**BODY, "colour": "red"})
    assert reply["rejection"]["code"] == "invalid" and "colour" in reply["message"]
    reply, _ = request(acme, acme.admin["secret"], who, f"cmd.acme.{who}.budget.set", {**BODY, "scope": "globex"})
    assert reply["accepted"] is False


def test_a_narrowed_key_hands_on_no_more_than_it_has(acme):
    acme.cli("grant", "give", "support-bot", "admin", "--on", "acme")
    narrowed = acme.bot["secret"]
    wide = acme.cli("key", "issue", "support-bot", "--tenant", "acme", key=narrowed, check=False)
    assert wide.returncode != 0 and "denied" in wide.stderr, wide.stderr
    whole = acme.key("support-bot", "acme")
    assert acme.cli("key", "issue", "support-bot", "--tenant", "acme", key=whole).returncode == 0
