"""People and keys over HTTP and the command line: groups, owners of service accounts, keys that are replaced or bound to
addresses and hours, and keys that nobody uses."""

import asyncio
import datetime
import http.client
import json
import threading
import urllib.error
import urllib.request

import nats
import nats.errors
import pytest

from steward_testkit.company import apply_company
from steward_testkit.running import wait_for

ACME = ("--tenant", "acme")


@pytest.fixture
def acme(steward, upstream):
    """A company that runs behind a proxy at 127.0.0.3."""
    steward.config.write_text(steward.config.read_text().replace("[gateway]\n", '[gateway]\ntrusted_proxies = ["127.0.0.3"]\n'))
    steward.up()
    apply_company(steward, upstream.url)
    return steward


def call(steward, secret: str, source: str = "127.0.0.1", **headers) -> tuple[int, str]:
    """One model call from the address `source`: its status and answer."""
    client = http.client.HTTPConnection("127.0.0.1", steward.gateway_port, 30, source_address=(source, 0))
    body = json.dumps({"model": "small", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]})
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        client.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {secret}", "content-type": "application/json", **headers})
        reply = client.getresponse()
        return reply.status, reply.read().decode()
    finally:
        client.close()


def command(steward, secret: str, noun: str, verb: str, **body) -> tuple[int, dict]:
    """A command over HTTP, and what came of it."""
    request = urllib.request.Request(
        f"{steward.url}/api/v1/tenants/acme/{noun}s:{verb}", json.dumps(body).encode(),
        {"authorization": f"Bearer {secret}", "content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def explained(steward, key: dict, **more) -> dict:
    """Whether the key may call a model, and why."""
    body = {"principal": key["key"], "permission": "model:invoke", "scope": "acme/support", **more}
    request = urllib.request.Request(
        f"{steward.url}/api/v1/tenants/acme/access:explain", json.dumps(body).encode(),
        {"authorization": f"Bearer {steward.operator_key}", "content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def issue(steward, account: str, *more) -> dict:
    return steward.json("key", "issue", account, *ACME, *more)["answer"]


def person(steward, mail: str) -> str:
    return steward.json("user", "invite", mail, *ACME)["answer"]["principal"]


def test_a_group_gives_and_takes_rights_at_once(acme):
    bot = issue(acme, "night-bot")
    assert call(acme, bot["secret"])[0] == 403
    owner = acme.operator_key
    status, made = command(acme, owner, "group", "define", name="helpers", description="may call models")
    group = made["answer"]["group"]
    assert status == 200 and group.startswith("g_")
    assert command(acme, owner, "grant", "give", to=group, role="agent", on="acme")[0] == 200
    assert call(acme, bot["secret"])[0] == 403, "not a member yet"
    assert command(acme, owner, "group", "join", group=group, member=bot["principal"])[0] == 200
    assert call(acme, bot["secret"])[0] == 200

    why = acme.json("access", "explain", "night-bot", "model:invoke", "acme")
    assert why["allowed"] and f"is in the group helpers: {group} is agent on acme" in why["reason"]
    who = {row["principal"] for row in acme.json("access", "who-can", "model:invoke", "acme")["principals"]}
    assert bot["principal"] in who and group not in who
    (row,) = acme.json("group", "list", *ACME)["rows"]
    assert (row["name"], row["members"]) == ("helpers", 1)
    shown = acme.cli("group", "show", "helpers", *ACME).stdout
    assert "night-bot" in shown and "agent" in shown

    assert command(acme, owner, "group", "leave", group=group, member=bot["principal"], reason="moved")[0] == 200
    assert call(acme, bot["secret"])[0] == 403
    acme.cli("group", "join", "helpers", "night-bot", *ACME)
    assert call(acme, bot["secret"])[0] == 200
    acme.cli("group", "remove", "helpers", *ACME)
    assert call(acme, bot["secret"])[0] == 403
    assert acme.json("grant", "list", "--principal", group, *ACME)["rows"] == [], "a group's grants end with it"


def test_nobody_joins_a_group_that_holds_more(acme):
    admin = issue(acme, "admin-bot")
    acme.cli("grant", "give", "admin-bot", "admin", "--on", "acme", *ACME)
    acme.cli("group", "define", "owners", *ACME)
    acme.cli("grant", "give", "group:owners", "owner", "--on", "acme", *ACME)
    group = acme.json("group", "list", *ACME)["rows"][0]["group"]
    for member in (admin["principal"], issue(acme, "friend")["principal"]):
        status, refused = command(acme, admin["secret"], "group", "join", group=group, member=member)
        assert status == 403 and "does not hold *:*" in refused["detail"], refused
    assert acme.json("group", "show", "owners", *ACME)["members"] == []


def test_who_leaves_leaves_nothing_running(acme):
    ana, ben = person(acme, "ana@acme.example"), person(acme, "ben@acme.example")
    acme.cli("account", "create", "owned-bot", "--owner", ana, *ACME)
    acme.cli("grant", "give", "owned-bot", "agent", "--on", "acme", *ACME)
    bot = issue(acme, "owned-bot")
    assert call(acme, bot["secret"])[0] == 200
    details = acme.json("user", "show", ana, *ACME)
    assert details["email"] == "ana@acme.example" and [row["name"] for row in details["owned"]] == ["owned-bot"]

    acme.cli("user", "disable", ana, "--reason", "left", *ACME)
    status, said = call(acme, bot["secret"])
    assert status == 403 and f"may act only while its owner {ana} may" in said, said
    why = acme.json("access", "explain", "owned-bot", "model:invoke", "acme", check=False)
    assert not why["allowed"] and "its owner" in why["reason"]
    (row,) = acme.json("account", "list", "--state", "ownerless", *ACME)["rows"]
    assert (row["name"], row["owner"]) == ("owned-bot", ana)
    unowned = {row["name"] for row in acme.json("account", "list", "--unowned", "true", *ACME)["rows"]}
    assert "owned-bot" in unowned and "support-bot" in unowned, "nobody ever owned the other one"

    refused = acme.cli("account", "set-owner", "support-bot", ana, *ACME, check=False)
    assert refused.returncode and "is disabled" in refused.stderr
    acme.cli("account", "set-owner", "owned-bot", ben, *ACME)
    assert call(acme, bot["secret"])[0] == 200
    acme.cli("account", "set-owner", "owned-bot", ben, *ACME)
    acme.cli("user", "disable", ben, *ACME)
    assert call(acme, bot["secret"])[0] == 403
    acme.cli("user", "enable", ben, "--reason", "back", *ACME)
    assert call(acme, bot["secret"])[0] == 200


def test_who_comes_back_gets_no_revoked_key_back(acme):
    ana = person(acme, "ana@acme.example")
    acme.cli("grant", "give", ana, "agent", "--on", "acme", *ACME)
    kept, gone = issue(acme, ana), issue(acme, ana)
    acme.cli("key", "revoke", gone["key"], *ACME)
    acme.cli("user", "disable", ana, *ACME)
    assert call(acme, kept["secret"])[0] == 401
    acme.cli("user", "enable", ana, *ACME)
    assert (call(acme, kept["secret"])[0], call(acme, gone["secret"])[0]) == (200, 401)
    acme.cli("user", "set", ana, "--email", "ana@new.example", "--name", "Ana", *ACME)
    details = acme.json("user", "show", ana, *ACME)
    assert (details["email"], details["name"], details["state"]) == ("ana@new.example", "Ana", "active")
    assert {row["key"]: row["state"] for row in details["keys"]} == {kept["key"]: "active", gone["key"]: "revoked"}
    assert [row["role"] for row in details["grants"]] == ["agent"]


def test_a_key_is_replaced_and_nothing_fails_in_between(acme):
    old = issue(acme, "support-bot", "--on", "acme/support")
    using, failed, stop = [old["secret"]], [], threading.Event()

    def work():
        while not stop.is_set():
            status, said = call(acme, using[0])
            if status != 200:
                failed.append((status, said))

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    new = acme.json("key", "rotate", old["key"], "--overlap", "15s", *ACME)["answer"]
    assert new["replaces"] == old["key"] and new["secret"] not in (None, old["secret"])
    assert (call(acme, old["secret"])[0], call(acme, new["secret"])[0]) == (200, 200), "both work"
    using[0] = new["secret"]
    wait_for("the end of the old key", lambda: call(acme, old["secret"])[0] == 401, 60)
    stop.set()
    for worker in workers:
        worker.join()
    assert failed == []
    assert call(acme, new["secret"])[0] == 200
    again = acme.cli("key", "rotate", old["key"], *ACME, check=False)
    assert again.returncode and new["key"] in again.stderr
    rows = {row["key"]: row for row in acme.json("key", "list", *ACME)["rows"]}
    assert (rows[old["key"]]["state"], rows[old["key"]]["replaced_by"]) == ("expired", new["key"])
    assert rows[new["key"]]["scope"] == "acme/support", "the new key reaches what the old one did"
    assert rows[new["key"]]["last_used"] >= rows[new["key"]]["issued_at"]


def test_a_replaced_key_keeps_the_budget_of_its_line(acme):
    old = issue(acme, "support-bot", "--on", "acme/support")
    acme.cli("budget", "set", "acme/support", "2 calls", "--subject", json.dumps({"key": old["key"]}), *ACME)
    assert call(acme, old["secret"])[0] == 200
    new = acme.json("key", "rotate", old["key"], *ACME)["answer"]
    assert call(acme, new["secret"])[0] == 200
    status, said = call(acme, new["secret"])
    assert status in (402, 429) and "exhausted" in said, (status, said)


def test_a_key_is_refused_from_other_addresses(acme):
    bot = issue(acme, "support-bot", "--on", "acme/support", "--address", "127.0.0.2")
    assert call(acme, bot["secret"], "127.0.0.2")[0] == 200
    status, said = call(acme, bot["secret"], "127.0.0.1")
    assert status == 403 and "only from 127.0.0.2/32, and this comes from 127.0.0.1" in said, said
    # A header counts where a trusted proxy wrote it, and only what that one added.
    assert call(acme, bot["secret"], "127.0.0.1", x_forwarded_for="127.0.0.2")[0] == 403
    assert call(acme, bot["secret"], "127.0.0.3", x_forwarded_for="127.0.0.2")[0] == 200
    assert call(acme, bot["secret"], "127.0.0.3", x_forwarded_for="127.0.0.2, 192.0.2.7")[0] == 403
    status, said = call(acme, bot["secret"], "127.0.0.3")
    assert status == 403 and "x-forwarded-for" in said, said
    assert command(acme, bot["secret"], "task", "submit", agent="researcher", input={"prompt": "x"}, scope="acme/support")[0] == 403
    for address, allowed in (("127.0.0.2", True), ("192.0.2.7", False)):
        why = explained(acme, bot, address=address)
        assert why["allowed"] == allowed, why


def test_the_bus_lets_a_key_in_from_its_addresses_only(acme):
    here, elsewhere = issue(acme, "support-bot", "--address", "127.0.0.0/8"), issue(acme, "support-bot", "--address", "192.0.2.0/24")

    async def connect(key):
        prefix = f"_INBOX.acme.{key['key']}".encode()
        bus = await nats.connect(acme.bus_url, token=key["secret"], inbox_prefix=prefix, max_reconnect_attempts=0, allow_reconnect=False)
        await bus.close()

    asyncio.run(connect(here))
    with pytest.raises(nats.errors.Error, match="(?i)authorization"):
        asyncio.run(connect(elsewhere))


def test_a_key_is_refused_outside_of_its_hours(acme):
    now = datetime.datetime.now(datetime.timezone.utc)
    never = (now + datetime.timedelta(days=3)).strftime("%a")
    closed = issue(acme, "support-bot", "--on", "acme/support", "--hours", f"{never} 08:00-18:00 UTC")
    opened = issue(acme, "support-bot", "--on", "acme/support", "--hours", "Mon-Sun 00:00-24:00")
    assert call(acme, opened["secret"])[0] == 200
    status, said = call(acme, closed["secret"])
    assert status == 403 and f"only {never} 08:00-18:00 UTC" in said, said
    row = acme.json("key", "show", opened["key"], *ACME)
    assert row["hours"] == ["00:00-24:00 Europe/Berlin"], "the tenant's time zone"
    why = explained(acme, closed)
    assert not why["allowed"] and never in why["reason"]
    refused = acme.cli("key", "issue", "support-bot", "--hours", "08:00-08:00", *ACME, check=False)
    assert refused.returncode and "08:00-08:00" in refused.stderr


def test_keys_that_nobody_uses_are_reported(acme):
    used, unused = issue(acme, "support-bot", "--on", "acme/support"), issue(acme, "night-bot")
    assert call(acme, used["secret"])[0] == 200
    admin = issue(acme, "admin-bot")
    acme.cli("grant", "give", "admin-bot", "admin", "--on", "acme", *ACME)
    assert acme.json("key", "unused", "--since", "1h", *ACME)["rows"] == [], "all of them are new"
    moment = datetime.datetime.now(datetime.timezone.utc)
    # From now on, a call is a use, and so is a command.
    wait_for("the next second", lambda: datetime.datetime.now(datetime.timezone.utc) > moment + datetime.timedelta(seconds=1))
    since = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert command(acme, admin["secret"], "group", "define", name="helpers")[0] == 200
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(milliseconds=1)

    def reported(since):
        return {row["key"] for row in acme.json("key", "unused", "--since", since, *ACME)["rows"]}

    assert admin["key"] not in reported(since)
    assert reported(since) == {used["key"], unused["key"]}
    assert {unused["key"], used["key"], admin["key"]} == reported(later.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    rows = {row["key"]: row for row in acme.json("key", "list", *ACME)["rows"]}
    assert rows[unused["key"]]["last_used"] is None and rows[used["key"]]["last_used"] is not None
    table = acme.cli("key", "unused", "--since", since, *ACME).stdout
    assert "night-bot" in table and "never" in table and "key revoke" in table
