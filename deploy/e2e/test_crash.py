"""kill -9 in the middle of traffic: nothing acknowledged is lost, and the report is the facts."""

import threading
import time

import openai

from conftest import apply_company
from running import Steward, wait_for
from upstream import Upstream

HELLO = [{"role": "user", "content": "Say hello."}]


def traffic(steward: Steward, key: str, stop: threading.Event, answered: list):
    client = openai.OpenAI(base_url=f"{steward.url}/v1", api_key=key, max_retries=0, timeout=20)
    while not stop.is_set():
        try:
            reply = client.chat.completions.create(model="small", messages=HELLO, max_tokens=5)
            answered.append(reply.usage.total_tokens)
        except openai.OpenAIError:
            time.sleep(0.05)


def test_kill_9_of_everything_and_restart(steward):
    upstream = Upstream(delay=0.01)
    process = steward.up()
    apply_company(steward, upstream.url)
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    stop, answered = threading.Event(), []
    threads = [threading.Thread(target=traffic, args=(steward, key, stop, answered)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        seen = len(answered)
        wait_for("traffic", lambda: len(answered) > seen + 40, 60)
        process.kill()
        process = steward.up()
    seen = len(answered)
    wait_for("traffic after the restart", lambda: len(answered) > seen + 40, 60)
    stop.set()
    for thread in threads:
        thread.join()

    finished = [f["data"] for f in steward.replay("acme", "--kind", "usage") if f["name"] == "usage.call_finished"]
    started = [f for f in steward.replay("acme", "--kind", "usage") if f["name"] == "usage.call_started"]
    billed = len(upstream.calls)
    # every answer that a client got is a recorded finish; every call that was billed has a recorded start
    assert len(answered) <= len(finished) <= len(started)
    assert billed <= len(started)
    assert len({f["call"] for f in finished}) == len(finished), "a call finished twice"
    total = wait_for("the report", lambda: (t := steward.json("cost", "--tenant", "acme")["total"])["calls"] == len(finished) and t)
    assert total["input"] + total["output"] == sum(f["tokens"]["input"] + f["tokens"]["output"] for f in finished)
    assert steward.cli("audit", "verify", "--tenant", "acme", check=False).returncode == 0
    upstream.close()
