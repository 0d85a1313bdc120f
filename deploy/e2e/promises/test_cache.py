"""Kept and shared answers: asked once, on record each time, at no cost, and the laws of the ledger hold."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger_oracle.laws import check
from ledger_oracle.words import plain
from steward_testkit.cluster import Cluster
from steward_testkit.company import apply_company
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream

BUDGET = 'budget = { limit = "1000 calls", per = "day" }'


def ask(steward, key: str, prompt: str = "hello", url: str | None = None, **more) -> tuple[str | None, bytes]:
    body = {"model": "small", "messages": [{"role": "user", "content": prompt}], "max_tokens": 8, **more}
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url or steward.url}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.headers["x-steward-cache"], reply.read()


@pytest.fixture
def slow():
    upstream = Upstream(delay=0.5)
    yield upstream
    upstream.close()


def test_equal_calls_are_answered_once_and_recorded_each(steward, slow):
    steward.up()
    file = apply_company(steward, slow.url, budget=BUDGET)
    file.write_text(file.read_text().replace("output_max = 64", 'output_max = 64\ncache = { ttl = "10m", coalesce = true }', 1))
    steward.cli("apply", file)
    steward.cli("apply", file, "--plan")  # exit status 0: there is nothing left to do
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    wait_for("the policy", lambda: ask(steward, key, "is it on?")[0])
    before = len(slow.calls)

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ask(steward, key), range(40)))
    assert len({answer for _, answer in answers}) == 1
    assert len(slow.calls) == before + 1
    assert sorted(used for used, _ in answers).count("miss") == 1
    assert ask(steward, key)[0] == "hit"
    steward.cli("cache", "purge", "small", "--tenant", "acme")
    wait_for("the purge", lambda: ask(steward, key)[0] == "miss")

    events = steward.replay("acme")
    finishes = [event["data"] for event in events if event["name"] == "usage.call_finished"]
    given = [finish for finish in finishes if finish["source"] != "provider"]
    assert len(finishes) - len(given) == len(slow.calls)
    assert len(given) >= 40 and all(finish["used"]["calls"] == 0 and finish["saved"]["tokens"] > 0 for finish in given)
    check(events)

    # What was saved is what the log says, by cause, and people are shown it beside what was spent.
    saved = {cause: 0 for cause in ("cache", "shared")}
    for finish in given:
        saved["cache" if finish["source"] == "cache" else "shared"] += finish["saved"]["tokens"]
    report = wait_for(
        "the report", lambda: (r := steward.json("cost", "--tenant", "acme", "--by", "model"))["total"]["calls"] == len(finishes) and r
    )
    told = {cause: saving["tokens"] for cause, saving in report["savings"].items() if cause in saved}
    assert told == {cause: tokens for cause, tokens in saved.items() if tokens}
    table = steward.cli("cost", "--tenant", "acme", "--savings").stdout
    assert "CAUSE" in table and "shared" in table, table
    assert "SAVED" in steward.cli("cost", "--tenant", "acme").stdout

def test_other_gateways_and_later_ones_give_what_one_kept(steward):
    upstream = Upstream()
    cluster = Cluster(steward, upstream, BUDGET)
    cluster.command("cache", "set", model="small", ttl_s=600, shared=True)
    wait_for("the policy", lambda: all(ask(steward, cluster.key, f"is it on at {url}?", url)[0] for url in cluster.urls))

    def is_there(prompt: str) -> bool:
        """No call waits until its answer is kept for others too, so that the first may not be there yet."""
        assert ask(steward, cluster.key, prompt, cluster.urls[0])[0] == "miss"
        return ask(steward, cluster.key, prompt, cluster.urls[1])[0] == "hit"

    prompts = (f"hello {number}" for number in range(100))
    last = wait_for("an answer in common", lambda: (prompt := next(prompts)) and is_there(prompt) and prompt)
    cluster.kill("gateway-1")
    cluster.start("gateway-1")
    cluster.wait_ready(1)
    asked = len(upstream.calls)
    assert ask(steward, cluster.key, last, cluster.urls[0])[0] == "hit"
    cluster.command("cache", "purge", model="small")
    wait_for("the purge", lambda: ask(steward, cluster.key, last, cluster.urls[0])[0] == "miss")
    assert len(upstream.calls) == asked + 1
    cluster.laws()


def test_those_who_share_a_call_pay_it_in_equal_parts(steward, slow):
    steward.up()
    file = apply_company(steward, slow.url, budget=BUDGET)
    file.write_text(file.read_text().replace("output_max = 64", 'output_max = 64\ncache = { ttl = "10m", coalesce = "even" }', 1))
    steward.cli("apply", file)
    steward.cli("apply", file, "--plan")  # exit status 0: there is nothing left to do
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    wait_for("the policy", lambda: ask(steward, key, "is it on?")[0])
    before = len(slow.calls)

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ask(steward, key), range(40)))
    assert len({answer for _, answer in answers}) == 1
    assert len(slow.calls) == before + 1
    shared = sum(used == "shared" for used, _ in answers)
    assert shared > 1

    events = steward.replay("acme")
    finishes = [plain(event["data"]) for event in events if event["name"] == "usage.call_finished"]
    made = [finish for finish in finishes if finish["source"] == "provider" and finish["outcome"] == "completed"][-1]
    parts = [finish for finish in finishes if isinstance(finish["source"], dict)]
    assert [part["source"]["shared"]["call"] for part in parts] == [made["call"]] * shared
    whole = made["used"]["money"] + sum(part["used"]["money"] for part in parts)
    assert whole == 12_000  # 7 tokens and 5, at a dollar a million
    assert {abs(part["used"]["money"] - whole // (shared + 1)) for part in parts} <= {0, 1}
    assert made["used"]["calls"] == 1 and not any(part["used"]["calls"] for part in parts)
    check(events)
