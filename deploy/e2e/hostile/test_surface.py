"""Every route of the API, every command and every query, tried by everybody who has no right to it: none succeeds.

The attempts are made from the OpenAPI document, which is made from the tables, so that a new row is tried without a word
here. What is sent is valid: the owner's same request passes, or is refused for what it asks and not for how."""

import datetime
import json
import time

import pytest

from steward_testkit.company import apply_company
from steward_testkit.running import Steward
from steward_testkit.surface import Answer, Operation, document, operations, send
from steward_testkit.upstream import Upstream

# The tests here share one gateway, so one process runs them all.
pytestmark = pytest.mark.xdist_group("hostile-surface")

# In no answer to anybody here. They stand in names, instructions and reasons of the attacked tenant.
SECRET = "sphinx"
# Each is refused everything.
STRANGERS = ["nobody", "garbage", "wrong secret", "owner of another tenant", "without any role", "revoked", "expired",
             "holder disabled", "narrowed to a model", "narrowed to another project", "of another project",
             "holder's role taken away"]
REFUSED = {401, 403, 404}


class Scene:
    """An attacked tenant, and keys of those who attack."""

    def __init__(self, folder):
        self.steward, self.upstream = Steward(folder / "steward"), Upstream()
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
        spare = self.key(self.account("spare", "agent", "acme/support"))
        self.keys = {
            "nobody": None,
            "garbage": "no key at all",
            "wrong secret": self.owner["secret"][:-6] + "aaaaaa",
            "owner of another tenant": self.key(globex, "globex")["secret"],
            "without any role": self.key(self.account("idle"))["secret"],
            "revoked": self.revoked(),
            "expired": self.expired(),
            "holder disabled": self.disabled(),
            "narrowed to a model": self.key(self.account("narrow", "admin", "acme"), "acme", "--model", "small")["secret"],
            "narrowed to another project": self.key(self.account("aside", "owner", "acme"), "acme", "--on", "acme/other")["secret"],
            "of another project": self.key(self.account("beside", "owner", "acme/other"))["secret"],
            "holder's role taken away": self.taken_away(),
        }
        self.operations = operations(document(), {
            "tenant": "acme", "principal": self.victim, "to": self.victim, "on": "acme/support", "scope": "acme/support",
            "role": "auditor", "key": self.owner["key"], "agent": "researcher", "task": self.task, "model": "small",
            "provider": "red", "permission": "model:invoke", "permissions": ["cost:report"], "email": "red@example.com",
            "name": "red", "url": self.upstream.url, "targets": [{"provider": "red", "upstream_model": "mock"}],
            "prompt": "red", "instructions": "red", "reason": "red", "position": 1, "unit": "calls",
            "messages": [{"role": "user", "content": "red"}], "context_max": 1000, "output_max": 10,
            # What is destroyed is needed by nothing else.
            "user.disable principal": spare["principal"], "key.revoke key": spare["key"], "role.define role": "red",
            # Only there do they mean something.
            "tenant.create tenant": "steward", "audit.due tenant": "steward",
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

    def recorded(self) -> int:
        """How many events of the attacked tenant are there that are no refusal."""
        events = self.steward.replay("acme")
        return sum(1 for event in events if not event["name"].startswith(("denials.", "checkpoint.", "ledger.lease")))

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
    got = []
    for number, operation in enumerate(tried, 1):
        # From many addresses, as one that tries many wrong keys is refused whatever it sends.
        source = f"127.0.{STRANGERS.index(stranger) + 1}.{number % 8 + 1}"
        what = succeeded(scene, stranger, operation, send(scene.steward, operation, scene.keys[stranger], source))
        got.extend([what] if what else [])
    assert not got, f"{len(got)} of {len(tried)} attempts succeeded:\n" + "\n".join(got)
    assert scene.recorded() == before, "something was recorded"
    print(f"{stranger}: {len(tried)} attempts")


def test_what_was_tried_is_valid(scene):
    """Else a refusal would prove nothing: who may do everything is not told that the request is wrong. Comes last, for it
    suspends, disables and revokes."""
    wrong = []
    for operation in scene.operations:
        answer = send(scene.steward, operation, scene.steward.operator_key)
        if answer.status in (400, 401, 403, 405, 415, 422) or answer.status >= 500:
            wrong.append(f"{operation} {operation.body}: {answer.status} {answer.text[:300]}")
    assert not wrong, "\n".join(wrong)
    print(f"{len(scene.operations)} operations")
