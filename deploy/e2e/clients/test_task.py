"""An agent's task, step by step; kill -9 of its worker, and another goes on."""

from steward_testkit.cluster import Cluster
from steward_testkit.company import apply_company
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream


def over(steward, task):
    shown = steward.cli("task", "show", task, "--tenant", "acme", "--json", check=False)
    if shown.returncode:
        return None
    import json

    task = json.loads(shown.stdout)
    return task if task["state"] not in ("waiting", "running") else None


def test_a_task_is_planned_answered_and_priced(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    watched = steward.cli("task", "submit", "researcher", "three facts about NATS", "--tenant", "acme", "--on", "acme/support", "--limit", "$0.01", "--watch")
    assert "finished" in watched.stdout and "step 1 plan" in watched.stdout and "step 2 answer" in watched.stdout
    assert len(upstream.calls) == 2
    (task,) = steward.json("task", "list", "--tenant", "acme")["tasks"]
    rows = wait_for("the report", lambda: (r := steward.json("cost", "--tenant", "acme", "--by", "task")["rows"]) and r)
    assert [(row["by"]["task"], row["calls"], row["cost"]) for row in rows] == [(task["task"], 2, task["cost"])]


def test_a_task_over_its_limit_fails_with_the_reason(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    task = steward.json("task", "submit", "researcher", "x", "--tenant", "acme", "--on", "acme/support", "--limit", "$0.000001")["answer"]["task"]
    ended = wait_for("the end", lambda: over(steward, task), 60)
    assert ended["state"] == "failed" and "exhausted" in ended["reason"]
    assert upstream.calls == []


def test_another_worker_goes_on_after_kill_9(steward):
    upstream = Upstream(delay=1.0)
    Cluster.wait_said(steward.start("bus", name="bus"))
    first = steward.start("workers", name="workers-1")
    for process in [first, *(steward.start(role, name=role) for role in ["aggregates", "projectors"])]:
        Cluster.wait_said(process)
    gateway = steward.start("gateway", name="gateway")
    steward.wait_ready(gateway)
    apply_company(steward, upstream.url)
    task = steward.json("task", "submit", "researcher", "x", "--tenant", "acme", "--on", "acme/support")["answer"]["task"]
    wait_for("the second step's call", lambda: len(upstream.calls) == 2, 60)
    first.kill()
    steward.start("workers", name="workers-2")
    ended = wait_for("the end", lambda: over(steward, task), 90)
    assert ended["state"] == "finished" and ended["epoch"] == 2
    names = [f["name"] for f in steward.replay("acme", "--kind", "task")]
    assert names.count("task.step_finished") == 2, "a finished step is not done again"
    assert len(upstream.calls) == 2, "the step that was cut is asked for again, and its call is given again"
    upstream.close()
