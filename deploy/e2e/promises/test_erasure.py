"""A customer leaves: with all of theirs, then without traces; a person too. What can be read is seen from outside."""

import io
import json
import shutil
import subprocess
import sys

import pytest
from openai import OpenAI

from steward_testkit.cluster import Cluster
from steward_testkit.company import apply_company
from steward_testkit.running import ROOT, wait_for

CHECK = ROOT / "docs" / "examples" / "erasure_check.py"
ROLES = ["aggregates", "projectors", "workers-1", "workers-2"]
OF_ACME = {"mail": "ana@marker.example", "name": "Ana Marker", "prompt": "Marker-Prompt", "secret": "sk-Marker-Secret", "file": "Marker-File"}
OF_OTHERS = "bob@marker.example"
PEOPLE = 40


def start(steward, run=1):
    """Each role a process of its own; its log is a new one in each run, for what it says is waited for."""
    Cluster.wait_said(steward.start("bus", name=f"bus.{run}"))
    started = {name: steward.start(name.partition("-")[0], name=f"{name}.{run}") for name in ROLES}
    for process in started.values():
        Cluster.wait_said(process)
    started["gateway"] = steward.start("gateway", name=f"gateway.{run}")
    steward.wait_ready(started["gateway"])
    return started


def seen(steward, *folders):
    """What somebody can read who took the files and the master key."""
    data = steward.folder / "data"
    texts = [word for text in [*OF_ACME.values(), OF_OTHERS] for word in ("--text", text)]
    words = [sys.executable, CHECK, *(folders or [data]), "--master", data / "master.key", *texts]
    return json.loads(subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True, timeout=300).stdout)


def acme_keys(found):
    return [key for key in found["keys"] if key.split(".")[1] == "acme"]


def person(steward, tenant, mail, name):
    return steward.json("user", "invite", mail, "--name", name, "--tenant", tenant)["answer"]["principal"]


def fill(steward, url):
    """A tenant with something of every kind, and another that nothing may happen to."""
    apply_company(steward, url)
    steward.cli("tenant", "create", "globex")
    ana = person(steward, "acme", OF_ACME["mail"], OF_ACME["name"])
    person(steward, "globex", OF_OTHERS, "Bob")
    for number in range(PEOPLE):
        person(steward, "acme", f"p{number}@marker.example", "P")
    file = steward.folder / "secret.txt"
    file.write_text(OF_ACME["secret"])
    steward.cli("secret", "set", "own", "--value-file", file, "--tenant", "acme")
    file.unlink()
    task = steward.json("task", "submit", "researcher", OF_ACME["prompt"], "--tenant", "acme", "--on", "acme/support")["answer"]["task"]
    wait_for("the task", lambda: steward.json("task", "show", task, "--tenant", "acme")["state"] == "finished")
    steward.cli("account", "create", "boss", "--tenant", "acme")
    steward.cli("grant", "give", "boss", "owner", "--on", "acme")
    boss = steward.key("boss", "acme")
    api = OpenAI(base_url=f"{steward.url}/v1", api_key=boss, max_retries=0)
    api.files.create(file=("calls.txt", io.BytesIO(OF_ACME["file"].encode())), purpose="user_data")
    return ana, task, boss


def people(steward, tenant="acme"):
    return steward.json("user", "list", "--tenant", tenant)["rows"]


def row(steward):
    return steward.json("tenant", "show", "acme")


def is_gone(steward):
    return (row(steward).get("erasure") or {}).get("contents_removed") is not None


@pytest.fixture
def filled(steward, upstream):
    steward.config.write_text(steward.config.read_text() + 'erasure_wait = "0s"\n')
    processes = start(steward)
    return steward, processes, *fill(steward, upstream.url)


def test_a_person_and_a_tenant_are_erased_and_nothing_revives_them(filled):
    steward, processes, ana, task, boss = filled
    before = seen(steward)
    assert before["plain"] == [], "all that is sensitive is sealed"
    assert set(before["opened"]) == {*OF_ACME.values(), OF_OTHERS}, "or the check looks in the wrong place"

    # All of theirs, readable, before they go.
    export = steward.folder / "leaving"
    steward.cli("tenant", "export", "acme", export, key=boss)
    exported = {name: (export / f"{name}.jsonl").read_text() for name in ("people", "tasks")}
    assert OF_ACME["mail"] in exported["people"] and OF_ACME["prompt"] in exported["tasks"] and "word" in exported["tasks"]
    assert [path.read_text() for path in (export / "files").iterdir()] == [OF_ACME["file"]]
    assert json.loads((export / "export.json").read_text())["counts"]["people"] == PEOPLE + 1
    assert "ok" in steward.cli("audit", "verify", "--export", export / "history").stdout
    again = steward.cli("tenant", "export", "acme", export, key=boss)
    assert "exported whole" in again.stdout, "what is there is not fetched again"

    # A person.
    keys = next((steward.folder / "data").rglob("streams/KEYS"))
    backup = steward.folder / "keys-of-yesterday"
    shutil.copytree(keys, backup)
    steward.cli("user", "erase", ana, "--reason", "asked for it", "--tenant", "acme")
    (of_ana,) = [known for known in people(steward) if known["principal"] == ana]
    assert of_ana["erased"] and not of_ana.get("email"), "at once"
    names = lambda kind: [event["name"] for event in steward.replay("acme", "--kind", kind)]
    wait_for("the proof", lambda: "identity.user_key_destroyed" in names("identity"))
    found = seen(steward)
    assert f"person.acme.{ana}" not in found["keys"] and len(acme_keys(found)) == PEOPLE + 1
    assert set(found["opened"]) == {*OF_ACME.values(), OF_OTHERS} - {OF_ACME["mail"], OF_ACME["name"]}

    # The tenant, in two steps, while both workers are killed.
    plan = steward.json("tenant", "erase", "acme", "--plan")
    assert (plan["destroyed"]["people"], plan["destroyed"]["secrets"], plan["destroyed"]["files"]) == (PEOPLE, 2, 1)
    refused = steward.cli("tenant", "erase", "acme", "--confirm", "acme", check=False)
    assert refused.returncode != 0 and "not suspended" in refused.stderr
    refused = steward.cli("tenant", "erase", "acme", "--confirm", "acme", key=boss, check=False)
    assert refused.returncode != 0 and "only operators" in refused.stderr
    steward.cli("tenant", "suspend", "--tenant", "acme", "--reason", "contract ended")
    steward.cli("tenant", "erase", "acme", "--confirm", "acme", "--reason", "contract ended")
    wait_for("the decision", lambda: row(steward)["state"] == "erased", 20)
    for name in ("workers-1", "workers-2"):
        processes[name].kill()
    assert all(known["erased"] for known in people(steward)), "whatever the vault still has"
    for name in ("workers-1", "workers-2"):
        Cluster.wait_said(steward.start("workers", name=f"{name}.again"))
    wait_for("the end", lambda: is_gone(steward), 60)
    gone = [key["owner"] for event in steward.replay("acme", "--kind", "tenant")
            if event["name"] == "tenant.destroyed" for key in event["data"]["keys"]]
    assert len(gone) == len({json.dumps(owner) for owner in gone}) == PEOPLE + 2, "each key is told once"

    def nothing_is_left(where):
        found = seen(steward)
        assert found["plain"] == [] and acme_keys(found) == [], where
        assert set(found["opened"]) == {OF_OTHERS}, where

    nothing_is_left("on disk")

    # What stays, and still holds.
    assert "ok" in steward.cli("audit", "verify", "--tenant", "acme").stdout
    after = steward.folder / "after"
    steward.cli("audit", "export", "--tenant", "acme", "--out", after)
    assert "ok" in steward.cli("audit", "verify", "--export", after).stdout
    assert seen(steward, steward.folder / "data", after)["opened"] == [OF_OTHERS]
    for noun in ("user", "account", "key", "agent", "grant", "budget", "secret", "file", "batch", "task"):
        steward.json(noun, "list", "--tenant", "acme")
    shown = steward.json("task", "show", task, "--tenant", "acme")
    assert shown["state"] == "finished" and not shown.get("output") and not shown.get("input")
    assert steward.json("cost", "--tenant", "acme")["total"]["calls"] == 2
    taken = steward.cli("tenant", "create", "acme", check=False)
    assert taken.returncode != 0 and "was erased" in taken.stderr
    resumed = steward.cli("tenant", "resume", "--tenant", "acme", check=False)
    assert resumed.returncode != 0 and "erased" in resumed.stderr
    assert [known["email"] for known in people(steward, "globex")] == [OF_OTHERS]

    # Yesterday's keys come back beside today's log.
    steward.stop()
    shutil.rmtree(keys)
    shutil.copytree(backup, keys)
    assert len(acme_keys(seen(steward))) == PEOPLE + 2, "the backup has them"
    start(steward, 2)
    assert all(known["erased"] for known in people(steward)), "what the log says counts"
    assert not steward.json("task", "show", task, "--tenant", "acme").get("output")
    wait_for("the keys to go again", lambda: acme_keys(seen(steward)) == [], 60)
    nothing_is_left("restored")


def test_an_erasure_is_cancelled_while_it_waits(steward, upstream):
    steward.config.write_text(steward.config.read_text() + 'erasure_wait = "1h"\n')
    steward.up()
    apply_company(steward, upstream.url)
    person(steward, "acme", OF_ACME["mail"], OF_ACME["name"])
    steward.cli("tenant", "suspend", "--tenant", "acme", "--reason", "unpaid")
    steward.cli("tenant", "erase", "acme", "--confirm", "acme")
    wait_for("the view", lambda: row(steward)["state"] == "erasing")
    resumed = steward.cli("tenant", "resume", "--tenant", "acme", check=False)
    assert resumed.returncode != 0 and "cancel-erase" in resumed.stderr
    steward.cli("tenant", "cancel-erase", "--tenant", "acme")
    steward.cli("tenant", "resume", "--tenant", "acme")
    wait_for("the view", lambda: row(steward)["state"] == "open")
    assert [known["email"] for known in people(steward)] == [OF_ACME["mail"]]
