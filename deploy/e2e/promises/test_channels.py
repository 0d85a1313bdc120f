"""People and machines are told: each receiver gets each message once, signed, whatever happens to the workers meanwhile."""

import base64
import collections
import json
import random
import time

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from steward_testkit.callers import Caller
from steward_testkit.cluster import Cluster
from steward_testkit.company import apply_company
from steward_testkit.receivers import Hooks, MailServer
from steward_testkit.running import free_port, wait_for

# A claim on a message lapses five seconds after the time of an attempt.
QUICK = """
[channels]
tenant_channels_anywhere = true
send_time_max = "2s"
retry_first = "200ms"
retry_max = "500ms"
attempts_max = 3
[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
from = "Steward für alle <steward@example.com>"
"""
BUDGET = 'budget = { limit = "4 calls", per = "day", hard = true, warn = ["50%"] }'


def whsec(byte: int) -> str:
    return "whsec_" + base64.b64encode(bytes([byte]) * 32).decode()


SECRET = whsec(7)


@pytest.fixture
def hooks():
    hooks = Hooks()
    yield hooks
    hooks.close()


@pytest.fixture
def mails():
    mails = MailServer(free_port())
    yield mails
    mails.close()


class Site:
    """An installation with two tenants, and channels that are set as people do."""

    def __init__(self, steward, hooks, mails=None, settings=QUICK):
        self.steward, self.hooks = steward, hooks
        steward.config.write_text(steward.config.read_text() + settings.format(port=mails.port if mails else 1))

    def founded(self):
        for tenant in ("acme", "globex"):
            self.steward.cli("tenant", "create", tenant)
        wait_for("tenants are open", lambda: all(self.tenant(name) for name in ("acme", "globex")))
        self.secret("hook", SECRET)
        return self

    def tenant(self, name: str) -> bool:
        return self.steward.cli("tenant", "show", name, check=False).returncode == 0

    def secret(self, name: str, value: str, tenant: str = "acme"):
        file = self.steward.folder / f"{name}.secret"
        file.write_text(value)
        wait_for("the secret is kept", lambda: self.steward.cli(
            "secret", "set", name, "--value-file", file, "--tenant", tenant, check=False).returncode == 0)

    def channel(self, verb: str, *arguments, tenant: str = "acme", check: bool = True):
        return self.steward.cli("channel", verb, *arguments, "--tenant", tenant, check=check)

    def webhook(self, name: str, *more, tenant: str = "acme"):
        address = f"{self.hooks.url}/{name}"
        self.channel("set", name, "webhook", "--address", address, "--secret", "hook", *more, tenant=tenant)

    def show(self, name: str, tenant: str = "acme") -> dict:
        return self.steward.json("channel", "show", name, "--tenant", tenant)

    def last(self, name: str, state: str, kind: str | None = None, seconds: float = 60) -> dict:
        """The channel's newest message (of a kind), once it is in this state."""

        def found():
            messages = [m for m in self.show(name)["messages"] if kind in (None, m["kind"])]
            return messages[0] if messages and messages[0]["state"] == state else None

        return wait_for(f"the last message of {name} is {state}", found, seconds)


def test_every_kind_of_receiver_gets_each_notice_once(steward, hooks, mails):
    site = Site(steward, hooks, mails)
    process = steward.up()
    site.founded()
    site.secret("chat", f"{hooks.url}/chat-T0KEN")
    site.secret("hook", SECRET, tenant="globex")
    site.webhook("ops")
    site.webhook("other", tenant="globex")
    site.channel("set", "post", "mail", "--recipients", "ana@example.com,bob@example.com")
    site.channel("set", "chat", "slack", "--secret", "chat", "--notices", "tenant.*")
    site.channel("set", "alerts", "alertmanager", "--address", hooks.url)
    for name in ("ops", "post", "chat", "alerts"):
        site.channel("test", name)
        assert site.last(name, "delivered")["kind"] == "channel.test"

    steward.cli("tenant", "suspend", "--reason", "Rechnung überfällig", "--tenant", "acme")
    for name in ("ops", "post", "chat", "alerts"):
        site.last(name, "delivered", "tenant.suspended")
    steward.cli("tenant", "resume", "--tenant", "acme")
    for name in ("ops", "post", "chat", "alerts"):
        site.last(name, "delivered", "tenant.resumed")

    told = ["channel.test", "tenant.suspended", "tenant.resumed"]
    said = hooks.messages("/ops", SECRET)
    assert [message["type"] for message in said] == told, "each once, signed"
    assert len(set(hooks.ids("/ops"))) == 3 and hooks.ids("/ops") == [message["data"]["id"] for message in said]
    assert said[1]["data"]["notices"][0]["text"] == "Rechnung überfällig"
    with pytest.raises(WebhookVerificationError):
        Webhook(whsec(8)).verify(hooks.of("/ops")[0]["body"], hooks.of("/ops")[0]["headers"])

    assert [mail["subject"] for mail in mails.all()] == [
        "This is a test of the channel post",
        "The tenant acme is suspended: nothing of it may act",
        "The tenant acme may act again",
    ]
    suspended = mails.all()[1]
    assert suspended.envelope_to == ["ana@example.com", "bob@example.com"]
    assert "Rechnung überfällig" in suspended.get_content() and suspended["from"].startswith("Steward für alle")
    assert suspended["auto-submitted"] == "auto-generated" and suspended["message-id"].endswith("@example.com>")
    assert len({mail["message-id"] for mail in mails.all()}) == 3

    chat = hooks.messages("/chat-T0KEN")
    assert [message["text"] for message in chat] == [mail["subject"].replace("post", "chat") for mail in mails.all()]
    assert all(message["blocks"][0]["type"] == "header" for message in chat)

    alerts = [alert for body in hooks.messages("/api/v2/alerts") for alert in body]
    names = [alert["labels"]["alertname"] for alert in alerts]
    assert names == ["StewardChannelTest", "StewardTenantSuspended", "StewardTenantSuspended"]
    assert alerts[1]["labels"] == alerts[2]["labels"], "the same alert"
    assert alerts[1]["endsAt"] > alerts[2]["startsAt"] == alerts[2]["endsAt"], "and it is over"

    assert hooks.of("/other") == [], "nothing of acme is told to globex"
    refused = steward.cli("channel", "list", "--tenant", "acme", key=steward.key("eve", "globex", "--on", "globex"), check=False)
    assert refused.returncode != 0, "nor shown"
    listed = steward.json("channel", "list", "--tenant", "acme")["rows"]
    assert [row["channel"] for row in listed] == ["alerts", "chat", "ops", "post"]
    assert {row["waiting"] + row["dead"] for row in listed} == {0}

    history = json.dumps(steward.replay("acme"))
    steward.cli("audit", "export", "--tenant", "acme", "--out", steward.folder / "export")
    kept = b"".join(file.read_bytes() for file in (steward.folder / "export").rglob("*") if file.is_file())
    for secret in ("T0KEN", SECRET, "ana@example.com"):
        assert secret not in history and secret.encode() not in kept and secret not in process.log.read_text()


def test_a_budget_that_passes_a_threshold_is_told(steward, hooks, upstream):
    site = Site(steward, hooks)
    steward.up()
    apply_company(steward, upstream.url, budget=BUDGET)
    site.secret("hook", SECRET)
    site.webhook("support", "--scopes", "acme/support", "--notices", "budget.threshold")
    site.webhook("sales", "--scopes", "acme/sales")
    caller = Caller(steward.gateway_port, steward.key("support-bot", "acme", "--on", "acme/support"), 30)
    assert [caller.call()[0] for _ in range(3)] == [200, 200, 200]
    site.last("support", "delivered", "budget.threshold")
    (message,) = hooks.messages("/support", SECRET)
    (notice,) = message["data"]["notices"]
    assert notice["scope"] == "acme/support" and notice["severity"] == "warning"
    assert notice["fields"]["limit"] == "4 calls" and notice["fields"]["percent"] == "50" and notice["ends"]
    assert hooks.of("/sales") == []


def test_a_channel_retries_then_keeps_a_dead_letter_for_redelivery(steward, hooks, mails):
    site = Site(steward, hooks, mails)
    steward.up()
    site.founded()
    for name in ("flaky", "broken", "moved", "gone", "witness"):
        site.webhook(name, "--notices", "channel.disabled" if name == "witness" else "user.*")
    hooks.status = {"/flaky": [500, 503, 204], "/broken": [500], "/moved": [302], "/gone": [410]}
    for name in ("flaky", "broken", "moved", "gone"):
        site.channel("test", name)

    assert site.last("flaky", "delivered")["attempts"] == 3
    assert len(hooks.of("/flaky")) == 3 and len(set(hooks.ids("/flaky"))) == 1, "each attempt has the same id"
    dead = site.last("broken", "dead")
    assert dead["attempts"] == 3 and "500" in dead["reason"] and len(hooks.of("/broken")) == 3
    assert "redirects are not followed" in site.last("moved", "dead")["reason"]
    assert hooks.of("/elsewhere") == []

    letters = steward.json("channel", "dead-letters", "--channel", "broken", "--tenant", "acme")["rows"]
    assert [letter["message"] for letter in letters] == [dead["message"]]
    assert "500" in site.channel("dead-letters").stdout, "as a table too"
    hooks.status["/broken"] = [204]
    site.channel("redeliver", "broken", dead["message"])
    assert site.last("broken", "delivered")["message"] == dead["message"]
    assert len(set(hooks.ids("/broken"))) == 1 and site.show("broken")["dead"] == 0
    hooks.messages("/broken", SECRET)

    wait_for("the channel is disabled", lambda: site.show("gone")["state"] == "disabled")
    assert len(hooks.of("/gone")) == 1, "tried once"
    assert "is disabled" in site.channel("test", "gone", check=False).stderr
    site.last("witness", "delivered", "channel.disabled")
    hooks.status["/gone"] = [204]
    site.webhook("gone")
    site.channel("test", "gone")
    site.last("gone", "delivered")

    site.channel("set", "post", "mail", "--recipients", "refused@example.com")
    site.channel("test", "post")
    refused = site.last("post", "dead")
    assert refused["attempts"] == 1 and "550" in refused["reason"] and "refused@" not in refused["reason"]
    site.channel("remove", "post")
    assert site.channel("show", "post", check=False).returncode != 0


def test_a_tenants_channel_reaches_public_addresses_only(steward, hooks):
    site = Site(steward, hooks, settings='[channels]\nattempts_max = 1\nsend_time_max = "2s"\n')
    steward.up()
    site.founded()
    site.webhook("near")
    site.channel("set", "named", "webhook", "--address", f"https://localhost:{hooks.port}/named", "--secret", "hook")
    site.secret("chat", f"https://169.254.169.254:{hooks.port}/chat")
    site.channel("set", "chat", "slack", "--secret", "chat")
    for name, why in (("near", "https://"), ("named", "public address"), ("chat", "public address")):
        site.channel("test", name)
        assert why in site.last(name, "dead")["reason"], name
    assert hooks.arrived == []
    site.channel("set", "bad", "mail", "--recipients", "ana@example.com")
    site.channel("test", "bad")
    assert "no mail server" in site.last("bad", "dead")["reason"]
    # The operators' own may be anywhere.
    site.channel("set", "own", "alertmanager", "--address", hooks.url, tenant="steward")
    site.channel("test", "own", tenant="steward")
    wait_for("the operators are told", lambda: hooks.of("/api/v2/alerts"))


def test_a_replaced_secret_still_signs_for_a_day(steward, hooks):
    site = Site(steward, hooks)
    steward.up()
    site.founded()
    site.webhook("ops")
    site.secret("hook", whsec(9))
    site.channel("test", "ops")
    site.last("ops", "delivered")
    (request,) = hooks.of("/ops")
    for secret in (SECRET, whsec(9)):
        Webhook(secret).verify(request["body"], request["headers"])
    assert len(request["headers"]["webhook-signature"].split()) == 2
    site.secret("hook", "no-webhook-secret")
    site.channel("test", "ops")
    assert "whsec_" in site.last("ops", "dead")["reason"]


def test_a_burst_is_gathered_and_none_of_it_is_lost(steward, hooks):
    site = Site(steward, hooks)
    steward.up()
    site.founded()
    site.webhook("ops", "--notices", "key.issued")
    steward.cli("account", "create", "bot", "--tenant", "acme")
    for _ in range(13):
        steward.key("bot", "acme", "--on", "acme")
    told = lambda: sum(message["data"]["count"] for message in hooks.messages("/ops", SECRET))
    wait_for("all is told", lambda: told() == 13)
    messages = hooks.messages("/ops", SECRET)
    assert len(messages) <= 4, "many in one"
    assert "more)" in messages[-1]["data"]["title"]
    time.sleep(1)
    assert told() == 13


def apart(site, workers: int):
    """Each role as a process of its own: workers can be killed without the bus."""
    steward = site.steward
    Cluster.wait_said(steward.start("bus", name="bus"))
    for role in ("aggregates", "projectors"):
        Cluster.wait_said(steward.start(role, name=role))
    started = [worker(site, str(number)) for number in range(workers)]
    steward.wait_ready(steward.start("gateway", name="gateway"))
    site.founded()
    return started


def worker(site, name: str):
    process = site.steward.start("workers", name=f"workers-{name}")
    Cluster.wait_said(process)
    return process


def test_several_workers_send_each_message_once(steward, hooks, mails):
    site = Site(steward, hooks, mails)
    apart(site, 3)
    names = [f"hook-{number}" for number in range(8)]
    for name in names:
        site.webhook(name, "--notices", "tenant.*")
    site.channel("set", "post", "mail", "--recipients", "ana@example.com", "--notices", "tenant.*")
    for verb in (("suspend", "--reason", "x"), ("resume",)):
        steward.cli("tenant", *verb, "--tenant", "acme")
    for name in [*names, "post"]:
        site.last(name, "delivered", "tenant.resumed")
    assert [len(hooks.messages(f"/{name}", SECRET)) for name in names] == [2] * 8
    assert len(mails.all()) == 2


def test_kill_9_of_workers_loses_no_message_and_repeats_ids(steward, hooks, mails):
    site = Site(steward, hooks, mails)
    (running,) = apart(site, 1)
    dice, names = random.Random(7), [f"hook-{number}" for number in range(5)]
    for name in names:
        site.webhook(name, "--notices", "key.issued")
    site.channel("set", "a-post", "mail", "--recipients", "ana@example.com", "--notices", "key.issued")
    steward.cli("account", "create", "bot", "--tenant", "acme")
    kills, issued = 0, []
    for round_ in range(4):
        # Four messages of a tenant are sent at once, the mail among them. In the first two rounds receivers hold theirs while
        # the worker dies: nobody knows whether they arrived.
        held = round_ < 2
        hooks.stall = {f"/{name}": 30.0 if held else 0.0 for name in names}
        mails.stall = 30.0 if held else 0.0
        reply = steward.json("key", "issue", "bot", "--on", "acme", "--tenant", "acme")
        issued.append(reply["answer"]["key"])
        if held:
            before = len(hooks.arrived), len(mails.all())
            wait_for("receivers have it", lambda: len(hooks.arrived) > before[0] or len(mails.all()) > before[1])
            time.sleep(0.3)
        else:
            time.sleep(dice.uniform(0, 0.8))
        running.kill()
        steward.processes.remove(running)
        kills += 1
        hooks.stall, mails.stall = {}, 0.0
        running = worker(site, f"again-{round_}")
        for name in [*names, "a-post"]:
            site.last(name, "delivered")
        wait_for("all is told", lambda: told(hooks, names[0]) >= {f"key {key}" for key in issued})

    duplicates = 0
    for name in names:
        hooks.messages(f"/{name}", SECRET)
        by_id = collections.defaultdict(list)
        for request in hooks.of(f"/{name}"):
            by_id[request["headers"]["webhook-id"]].append(request["body"])
        assert all(len(set(bodies)) == 1 for bodies in by_id.values()), "the same message under the same id"
        about = [notice["about"] for bodies in by_id.values() for notice in json.loads(bodies[0])["data"]["notices"]]
        assert sorted(about) == sorted(f"key {key}" for key in issued), "who looks at ids has each once"
        duplicates += sum(len(bodies) - 1 for bodies in by_id.values())
    by_id = collections.Counter(mail["message-id"] for mail in mails.all())
    texts = {mail["message-id"]: mail.get_content() for mail in mails.all()}
    assert all(sum(key in text for text in texts.values()) == 1 for key in issued), "and so has who reads mails"
    mail_duplicates = sum(by_id.values()) - len(by_id)
    assert duplicates + mail_duplicates <= kills * (len(names) + 1), "no more than one for each kill and channel"
    assert duplicates > 0 and mail_duplicates > 0, "the kills hit what they were to hit"
    print(f"{kills} kills, {len(issued) * (len(names) + 1)} messages, second arrivals: {duplicates} posts, {mail_duplicates} mails")


def told(hooks, name: str) -> set[str]:
    return {notice["about"] for message in hooks.messages(f"/{name}", SECRET) for notice in message["data"]["notices"]}
