"""The promise of the idempotency key: a call that comes again is never made twice, over two gateways and a kill at any moment."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from steward_testkit.cluster import Cluster
from steward_testkit.upstream import Upstream

BUDGET = 'budget = { limit = "$5.00", per = "day" }'
KEYS = 60
DELAY = 0.3


@pytest.fixture
def slow():
    upstream = Upstream(delay=DELAY)
    yield upstream
    upstream.close()


def send(cluster: Cluster, gateway: int, name: str, stream: bool) -> tuple[int, dict, str]:
    """The call of this name; what it asks for is its name too, so that the upstream's books tell calls apart."""
    caller = cluster.caller(gateway)
    answered = caller.call(text=name, stream=stream, headers={"Idempotency-Key": name})
    caller.close()
    return answered


def prompts(upstream: Upstream) -> Counter:
    return Counter(call["messages"][0]["content"] for call in upstream.calls)


def test_two_gateways_make_one_call(steward, slow):
    cluster = Cluster(steward, slow, BUDGET)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: send(cluster, 1 + n % 2, "once", stream=False), range(20)))
    assert {status for status, _, _ in answers} == {200} and len({body for _, _, body in answers}) == 1
    assert prompts(slow) == {"once": 1}
    assert Counter(headers.get("x-steward-cache") for _, headers, _ in answers) == {None: 1, "replayed": 19}
    cluster.laws()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_killed_gateways_calls_are_not_made_twice(steward, slow, stream):
    """Calls begin all the time while the gateway is killed, so that it dies in all stages of some: before the start is recorded,
    at the provider, before the end is recorded, after it."""
    cluster = Cluster(steward, slow, BUDGET)
    names = [f"call-{number}" for number in range(KEYS)]
    dice = random.Random(7)

    def begin(name: str):
        time.sleep(dice.uniform(0, 3 * DELAY))
        return name, send(cluster, 1, name, stream)

    with ThreadPoolExecutor(KEYS) as pool:
        firsts = pool.map(begin, names)
        time.sleep(2 * DELAY)
        cluster.kill("gateway-1")
        firsts = dict(firsts)
        # They come again, at the other gateway.
        seconds = dict(zip(names, pool.map(lambda name: send(cluster, 2, name, stream), names)))
        thirds = dict(zip(names, pool.map(lambda name: send(cluster, 2, name, stream), names)))

    asked = prompts(slow)
    assert max(asked.values()) == 1, asked.most_common(3)
    started = {event["data"]["call"] for event in cluster.events("usage") if event["name"] == "usage.call_started"}
    seen = Counter()
    for name in names:
        (first, _, answer), (second, headers, again), (third, _, _) = firsts[name], seconds[name], thirds[name]
        assert third == second, name
        if second == 200:
            assert asked[name] == 1, name
            if first == 200:
                assert headers["x-steward-cache"] == "replayed" and answer_of(answer) == answer_of(again)
            seen["answered" if first == 200 else "made or found by the second"] += 1
        else:
            assert second == 409 and "idempotency_outcome_unknown" in again, again
            assert first == 0, "an answer that was given whole is known"
            assert any(call in again for call in started), "the message names the call"
            seen["unknown"] += 1
    print(dict(seen))
    assert seen["answered"] and seen["unknown"] and seen["made or found by the second"], seen
    cluster.laws()


def answer_of(body: str) -> str:
    """Without what is said of the cost, which giving an answer again has not."""
    return "\n".join(line for line in body.splitlines() if not line.startswith(":"))
