"""Every route of the API, every command and every query, tried by everybody who has no right to it: none succeeds.

The attempts are made from the OpenAPI document, which is made from the tables, so that a new row is tried without a word
here. What is sent is valid: the owner's same request passes, or is refused for what it asks and not for how."""

import asyncio
import contextlib
import datetime
import json
import time

import nats
import nats.errors
import pytest

from steward_testkit.company import apply_company
from steward_testkit.openai_operations import OperationsUpstream
from steward_testkit.running import Steward
from steward_testkit.surface import Answer, Operation, document, operations, send

# The tests here share one gateway, so one process runs them all.
pytestmark = pytest.mark.xdist_group("hostile-surface")

# In no answer to anybody here. They stand in names, instructions and reasons of the attacked tenant.
SECRET = "sphinx"
# Each is refused everything.
STRANGERS = ["nobody", "garbage", "wrong secret", "owner of another tenant", "without any role", "revoked", "expired",
             "holder disabled", "narrowed to a model", "narrowed to another project", "of another project",
             "holder's role taken away", "outside of its hours", "from another address", "account of nobody active"]
REFUSED = {401, 403, 404}
# What a key that names models is for beside calls: tasks, of which it is shown its holder's own.
OWN_TASKS = ["task.submit", "task.list", "task.show"]


class Scene:
    """An attacked tenant, and keys of those who attack."""

    def __init__(self, folder):
        self.steward, self.upstream = Steward(folder / "steward"), OperationsUpstream()
        steward = self.steward
        steward.up()
        apply_company(steward, self.upstream.url, budget='budget = { limit = "100000 calls" }')
        steward.cli("tenant", "create", "globex")
        self.owner = self.key(self.account("victim", "owner", "acme"))
        self.victim = self.owner["principal"]
        globex = self.account("attacker", "owner", "globex", "globex")
        steward.cli("agent", "define", "helper", "--tenant", "acme", "--model", "small", "--instructions", f"{SECRET} in instructions")
        self.task = steward.json("task", "submit", "researcher", f"{SECRET} in a prompt", "--on", "acme/support",
                                 "--tenant", "acme", key=self.owner["secret"])["answer"]["task"]
        steward.cli("project", "create", "other", "--tenant", "acme")
        spare = self.key(self.account("spare", "agent", "acme/support"))
        idle, narrow = self.key(self.account("idle")), self.key(self.account("narrow", "admin", "acme"), "acme", "--model", "small")
        aside = self.key(self.account("aside", "owner", "acme"), "acme", "--on", "acme/other")
        beside, other = self.key(self.account("beside", "owner", "acme/other")), self.key(globex, "globex")
        # Those who may connect to the bus.
        self.issued = {"owner of another tenant": other, "without any role": idle, "narrowed to a model": narrow,
                       "narrowed to another project": aside, "of another project": beside}
        self.secrets = {
            "nobody": None,
            "garbage": "no key at all",
            "wrong secret": self.owner["secret"][:-6] + "aaaaaa",
            **{stranger: issued["secret"] for stranger, issued in self.issued.items()},
            "revoked": self.revoked(),
            "expired": self.expired(),
            "holder disabled": self.disabled(),
            "holder's role taken away": self.taken_away(),
            "outside of its hours": self.bound("--hours", f"{self.another_day()} 00:00-24:00 UTC"),
            "from another address": self.bound("--address", "192.0.2.0/24"),
            "account of nobody active": self.ownerless(),
        }
        steward.cli("group", "define", "victims", "--tenant", "acme", "--description", f"{SECRET} in a group")
        steward.cli("grant", "give", "group:victims", "agent", "--on", "acme/support", "--tenant", "acme")
        steward.cli("group", "join", "victims", self.victim, "--tenant", "acme")
        (group,) = steward.json("group", "list", "--tenant", "acme")["rows"]
        steward.cli("role", "define", "support-lead", "--tenant", "acme", "--permissions", "cost:report")
        steward.cli("role", "define", "spare-role", "--tenant", "acme", "--permissions", "cost:report")
        turning, somebody = self.key(self.account("turning", "agent", "acme/support")), self.person("somebody")
        self.operations = operations(document(), {
            "tenant": "acme", "principal": self.victim, "to": self.victim, "on": "acme/support", "scope": "acme/support",
            "role": "auditor", "key": self.owner["key"], "agent": "researcher", "task": self.task, "model": "small",
            "provider": "red", "permission": "model:invoke", "permissions": ["cost:report"], "email": "red@example.com",
            "name": "red", "url": self.upstream.url, "targets": [{"provider": "red", "upstream_model": "mock"}],
            "prompt": "red", "instructions": "red", "reason": "red", "position": 1, "unit": "calls",
            "messages": [{"role": "user", "content": "red"}], "context_max": 1000, "output_max": 10,
            # What is destroyed is needed by nothing else.
            "user": self.victim, "group": group["group"], "member": self.victim, "account": spare["principal"], "owner": somebody,
            "user.set principal": somebody, "key.rotate key": turning["key"], "group.join member": spare["principal"],
            "user.disable principal": spare["principal"], "key.revoke key": spare["key"], "role.define role": "red",
            "user.erase principal": self.person("erased"), "role.remove role": "spare-role",
            "flag.set state": "25%", "tenant.revert to": 1, "tenant.erase confirm": "acme", "elevation.allow longest_s": 60,
            **{f"review.{verb} grants": [{"to": spare["principal"], "role": "agent", "on": "acme/support"}] for verb in ("confirm", "revoke")},
            "elevation.allow askers": [spare["principal"]], "elevation.allow approvers": [self.victim],
            "separation.set roles": ["spare-role", "support-lead"], "review.start due": self.in_days(7),
            "deny.set whom": {"principals": [spare["principal"]]}, "channel.set kind": "slack", "channel.set secret": "hook",
            "/v1/responses/input_tokens input": "red", "/openai/v1/responses/input_tokens input": "red",
            # Only there do they mean something.
            "tenant.create {tenant}": "steward", "plan.define {tenant}": "steward", "plan.remove {tenant}": "steward", "audit.due {tenant}": "steward", "tenant.create tenant": "red",
        })

    def account(self, name: str, role: str | None = None, on: str = "acme", tenant: str = "acme") -> str:
        self.steward.cli("account", "create", name, "--tenant", tenant)
        if role:
            self.steward.cli("grant", "give", name, role, "--on", on, "--tenant", tenant)
        return name

    def key(self, account: str, tenant: str = "acme", *more) -> dict:
        return self.steward.json("key", "issue", account, "--tenant", tenant, *more)["answer"]

    def revoked(self) -> str:
        issued = self.key(self.account("gone", "owner", "acme"))
        self.steward.cli("key", "revoke", issued["key"], "--tenant", "acme", "--reason", SECRET)
        return issued["secret"]

    def expired(self) -> str:
        account = self.account("late", "owner", "acme")
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
        secret = self.key(account, "acme", "--expires", soon.strftime("%Y-%m-%dT%H:%M:%SZ"))["secret"]
        time.sleep(4)
        return secret

    def disabled(self) -> str:
        issued = self.key(self.account("left", "owner", "acme"))
        self.steward.cli("user", "disable", issued["principal"], "--tenant", "acme", "--reason", SECRET)
        return issued["secret"]

    def taken_away(self) -> str:
        secret = self.key(self.account("demoted", "owner", "acme"))["secret"]
        self.steward.cli("grant", "revoke", "demoted", "owner", "--on", "acme", "--tenant", "acme")
        return secret

    def person(self, name: str) -> str:
        return self.steward.json("user", "invite", f"{name}@example.com", "--tenant", "acme")["answer"]["principal"]

    @staticmethod
    def in_days(days: int) -> str:
        return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")

    @staticmethod
    def another_day() -> str:
        return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)).strftime("%a")

    def bound(self, option: str, value: str) -> str:
        return self.key(self.account("bound", "owner", "acme"), "acme", option, value)["secret"]

    def ownerless(self) -> str:
        owner, account = self.person("gone"), self.account("orphan", "owner", "acme")
        secret = self.key(account)["secret"]
        self.steward.cli("account", "set-owner", account, owner, "--tenant", "acme")
        self.steward.cli("user", "disable", owner, "--tenant", "acme", "--reason", SECRET)
        return secret

    def recorded(self) -> int:
        """How many events of the attacked tenant are there that are no refusal."""
        events = self.steward.replay("acme")
        return sum(1 for event in events if not event["name"].startswith(("denials.", "reads.", "checkpoint.", "ledger.lease")))

    def close(self):
        self.steward.stop()
        self.upstream.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("surface"))
    yield scene
    scene.close()


def succeeded(scene: Scene, stranger: str, operation: Operation, answer: Answer) -> str | None:
    """What a stranger got that they should not have got."""
    private = [SECRET, scene.victim, scene.owner["key"], scene.owner["secret"], scene.task]
    leaked = [word for word in private if word in answer.text and word not in json.dumps(operation.body or {}) + operation.path]
    if leaked:
        return f"{operation} shows {leaked}: {answer.status} {answer.text[:300]}"
    if answer.status in REFUSED or operation.is_face and answer.status == 200 and answer.json().get("data") == []:
        return None
    if stranger == "narrowed to a model" and operation.name.removesuffix(".get") in OWN_TASKS:
        return None if answer.status in (200, 400) else f"{operation}: {answer.status} {answer.text[:300]}"
    aside = stranger in ("narrowed to another project", "of another project")
    if aside and not operation.is_command and answer.status == 200:
        # A list is answered with what is theirs: nothing of the other project.
        return f"{operation} shows another project: {answer.text[:300]}" if "acme/support" in answer.text else None
    return f"{operation}: {answer.status} {answer.text[:300]}"


@pytest.mark.parametrize("stranger", STRANGERS)
def test_over_http_no_stranger_gets_anything(scene, stranger):
    before = scene.recorded()
    own_faces = stranger in ("owner of another tenant", "narrowed to a model", "narrowed to another project", "of another project")
    tried = [operation for operation in scene.operations if not (own_faces and operation.is_face)]
    tried = [operation for operation in tried if not (stranger == "narrowed to a model" and operation.name == "task.submit")]
    got = []
    for number, operation in enumerate(tried, 1):
        # From many addresses, as one that tries many wrong keys is refused whatever it sends.
        source = f"127.0.{STRANGERS.index(stranger) + 1}.{number % 8 + 1}"
        what = succeeded(scene, stranger, operation, send(scene.steward, operation, scene.secrets[stranger], source))
        got.extend([what] if what else [])
    assert not got, f"{len(got)} of {len(tried)} attempts succeeded:\n" + "\n".join(got)
    assert scene.recorded() == before, "something was recorded"
    print(f"{stranger}: {len(tried)} attempts")


class Client:
    """A connection to the bus, as somebody who is not believed."""

    def __init__(self, scene: Scene, issued: dict, tenant: str):
        self.scene, self.issued, self.tenant = scene, issued, tenant

    async def __aenter__(self):
        async def say_nothing(_):
            pass

        # A key speaks as itself; whole keys may do so as their principal, too.
        self.name = self.issued["key"]
        self.bus = await nats.connect(self.scene.steward.bus_url, token=self.issued["secret"], error_cb=say_nothing,
                                      inbox_prefix=f"_INBOX.{self.tenant}.{self.name}".encode(), max_reconnect_attempts=0)
        return self

    async def __aexit__(self, *_):
        with contextlib.suppress(nats.errors.Error):
            await self.bus.close()

    async def succeeded(self, operation: Operation, stranger: str, who: str) -> str | None:
        noun_verb = operation.name.removesuffix(".get")
        subject = f"{'cmd' if operation.is_command else 'qry'}.acme.{who}.{noun_verb}"
        try:
            # Over HTTP the gateway makes the secret; here the sender does.
            body = operation.body | ({"hash": "0" * 64} if operation.name in ("key.issue", "key.rotate") else {})
            reply = await self.bus.request(subject, json.dumps(body).encode(), timeout=3)
        except (nats.errors.Error, asyncio.TimeoutError, OSError):
            return None  # the server let nothing through
        status = int((reply.headers or {}).get("Nats-Service-Error-Code", 200))
        text = reply.data.decode()
        if operation.is_command and status == 200 and not json.loads(text).get("accepted"):
            status = 403
        return succeeded(self.scene, stranger, operation, Answer(status, {}, text))

    async def try_all(self, stranger: str) -> list[str]:
        scene, own = self.scene, self.issued
        names = {self.name, own["principal"], scene.owner["key"], scene.victim, scene.steward.operator_key.split("_")[1]}
        rows = [operation for operation in scene.operations if operation.method == "POST" and not operation.is_face]
        rows = [row for row in rows if row.name not in ("tenant.create", "plan.define", "audit.due")]  # of the tenant steward only
        rows = [row for row in rows if not (stranger == "narrowed to a model" and row.name == "task.submit")]
        tried = await asyncio.gather(*(self.succeeded(row, stranger, who) for row in rows for who in sorted(names)))
        print(f"{stranger}: {len(tried)} attempts over the bus")
        return [what for what in tried if what]


@pytest.mark.parametrize("stranger", ["owner of another tenant", "without any role", "narrowed to a model",
                                      "narrowed to another project", "of another project"])
def test_over_the_bus_no_stranger_gets_anything(scene, stranger):
    async def run():
        async with Client(scene, scene.issued[stranger], "globex" if stranger == "owner of another tenant" else "acme") as client:
            return await client.try_all(stranger)

    before = scene.recorded()
    got = asyncio.run(run())
    assert not got, f"{len(got)} attempts succeeded:\n" + "\n".join(got)
    assert scene.recorded() == before, "something was recorded"


def test_an_open_connection_is_worth_nothing_once_its_key_is_revoked(scene):
    issued = scene.key(scene.account("connected", "owner", "acme"))

    async def run():
        async with Client(scene, issued, "acme") as client:
            scene.steward.cli("key", "revoke", issued["key"], "--tenant", "acme")
            return await client.try_all("revoked")

    before = scene.recorded()
    got = asyncio.run(run())
    assert not got, f"{len(got)} attempts succeeded:\n" + "\n".join(got)
    assert scene.recorded() == before + 1, "more was recorded than the end of the key"


@pytest.mark.parametrize("stranger", ["garbage", "wrong secret", "revoked", "expired", "holder disabled", "from another address",
                                      "account of nobody active"])
def test_the_bus_lets_no_dead_key_in(scene, stranger):
    async def connect():
        await nats.connect(scene.steward.bus_url, token=scene.secrets[stranger], max_reconnect_attempts=0, allow_reconnect=False)

    with pytest.raises(nats.errors.Error, match="(?i)authorization"):
        asyncio.run(connect())


def test_what_was_tried_is_valid(scene):
    """Else a refusal would prove nothing: who may do everything is not told that the request is wrong. Comes last, for it
    suspends, disables and revokes."""
    wrong = []
    for operation in scene.operations:
        answer = send(scene.steward, operation, scene.steward.operator_key)
        if operation.path.endswith("/audio/speech") and "rate for output" in answer.text:
            continue  # refused for the price that the models of this company have
        if answer.status in (400, 401, 403, 405, 415, 422) or answer.status >= 500:
            wrong.append(f"{operation} {operation.body}: {answer.status} {answer.text[:300]}")
    assert not wrong, "\n".join(wrong)
    print(f"{len(scene.operations)} operations")
