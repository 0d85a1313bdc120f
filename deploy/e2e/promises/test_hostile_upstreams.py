"""Upstreams that cut, lie, stay silent or never end, and clients that leave: every call is accounted, nothing leaks."""

import json
import re
import socket
import time
import urllib.request

import pytest

from steward_testkit.cluster import Cluster, running
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream

# The tests here share one cluster, so one process runs them all.
pytestmark = pytest.mark.xdist_group("hostile-upstreams")

LINE = 10 * 1024 * 1024
# How long the gateway waits for a provider's first byte, and for each further piece.
SETTINGS = '[providers]\nfirst_byte_time_max = "2s"\nidle_time_max = "2s"'


class Hostile(Upstream):
    """Does what the prompt says; anything else is answered as usual."""

    def misbehave(self, handler, body) -> bool:
        what = body["messages"][0]["content"]
        if what == "hang":
            time.sleep(6)  # much longer than the gateway waits
            return True
        if what == "redirect":
            handler.send_response(307)
            handler.send_header("location", f"{self.url}/elsewhere")
            handler.send_header("content-length", "0")
            handler.end_headers()
            return True
        if what not in ("cut", "stall", "no usage", "lie", "10 MB line", "endless"):
            return False
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream" if body.get("stream") else "application/json")
        handler.send_header("connection", "close")
        handler.end_headers()
        handler.close_connection = True
        try:
            self.speak(handler.wfile, what, body)
        except OSError:
            pass  # the gateway had enough
        return True

    def speak(self, out, what: str, body):
        def event(choices, usage=None):
            out.write(f"data: {json.dumps(self.envelope(body, 'chat.completion.chunk', choices, usage))}\n\n".encode())
            out.flush()

        def words(count):
            for _ in range(count):
                event([{"index": 0, "delta": {"content": "word "}, "finish_reason": None}])

        usage = {"prompt_tokens": 7, "completion_tokens": 1_000_000, "total_tokens": 1_000_007} if what == "lie" else None
        if not body.get("stream"):
            message = {"role": "assistant", "content": "x" * LINE if what == "10 MB line" else "word "}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            text = json.dumps(self.envelope(body, "chat.completion", [choice], usage)).encode()
            out.write(text[: len(text) // 2] if what in ("cut", "stall") else text)
            if what == "stall":
                out.flush()
                time.sleep(6)  # much longer than the gateway waits
        elif what == "10 MB line":
            out.write(b"data: " + b"x" * LINE + b"\n\n")
        elif what == "endless":
            for _ in range(2_000):
                words(1)
                time.sleep(0.02)
        else:
            words(2)
            if what == "stall":
                time.sleep(6)
            elif what != "cut":
                event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
                if usage:
                    event([], usage)
                out.write(b"data: [DONE]\n\n")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder, budget = tmp_path_factory.mktemp("hostile"), 'budget = { limit = "1000 calls" }'
    with running(folder, Hostile(), budget, settings=SETTINGS) as cluster:
        yield cluster
        cluster.laws()


def calls_running(cluster: Cluster) -> int:
    """Calls under way, by the gateway's own count."""
    key = {"authorization": f"Bearer {cluster.steward.operator_key}"}
    request = urllib.request.Request(f"{cluster.urls[0]}/metrics", headers=key)
    page = urllib.request.urlopen(request, timeout=5).read().decode()
    return int(float(re.search(r"^\S*calls_running\S* (\S+)$", page, re.MULTILINE).group(1)))


def ended(cluster: Cluster, do) -> dict:
    """The recorded end of the one call that `do` makes; afterwards the gateway holds nothing and goes on."""
    before = cluster.started_and_finished()[0].keys()
    do()

    def over():
        started, finished = cluster.started_and_finished()
        new = started.keys() - before
        return len(new) == 1 and new <= finished.keys() and finished[new.pop()]

    finish = wait_for("the end of the call in the log", over, 15)
    wait_for("nothing running", lambda: calls_running(cluster) == 0, 10)
    assert cluster.caller(1).call()[0] == 200, "the gateway goes on"
    return finish


def kind(finish: dict) -> str:
    outcome = finish["outcome"]
    return outcome if isinstance(outcome, str) else next(iter(outcome))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("what", ["cut", "10 MB line", "hang", "stall"])
def test_an_answer_that_never_becomes_whole_is_an_estimate(cluster, what, stream):
    answer = []
    finish = ended(cluster, lambda: answer.append(cluster.caller(1).call(text=what, stream=stream)))
    status, _, content = answer[0]
    if what == "10 MB line" and not stream:  # within the bound of a whole answer: passed on
        assert status == 200 and len(content) > LINE
    else:
        assert status in (0, 502, 504), (status, content[:200])
    assert kind(finish) == "estimated"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_redirect_is_not_followed(cluster, stream):
    """It would carry the prompt and the provider's key to where nobody configured them to go."""
    served, answer = len(cluster.upstream.calls), []
    ended(cluster, lambda: answer.append(cluster.caller(1).call(text="redirect", stream=stream)))
    assert answer[0][0] == 502, answer
    assert len(cluster.upstream.calls) == served + 2, "this call and the next one, each once"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_no_usage_is_an_estimate_within_the_reservation(cluster, stream):
    finish = ended(cluster, lambda: cluster.caller(1).call(text="no usage", stream=stream))
    assert kind(finish) == "estimated" and finish["tokens"]["output"] >= 1
    assert finish["late"]["calls"] == 0 and finish["late"]["tokens"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_more_than_the_worst_case_is_late_usage(cluster, stream):
    finish = ended(cluster, lambda: cluster.caller(1).call(text="lie", stream=stream))
    assert finish["tokens"]["output"] == 1_000_000, "what the provider says it bills is recorded"
    assert finish["used"]["tokens"] + finish["late"]["tokens"] == 1_000_007 and finish["late"]["tokens"] > 0


def test_a_stream_without_end_is_cut_off_at_the_reservation(cluster):
    finish = ended(cluster, lambda: cluster.caller(1).call(text="endless", stream=True, max_tokens=8))
    assert kind(finish) == "estimated" and finish["tokens"]["output"] <= 16


def test_a_client_that_leaves_in_the_middle_of_its_stream(cluster):
    def leave():
        body = {"model": "small", "messages": [{"role": "user", "content": "endless"}], "stream": True, "max_tokens": 64}
        content = json.dumps(body).encode()
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {cluster.key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n")
        with socket.create_connection(("127.0.0.1", cluster.ports[0])) as client:
            client.sendall(head.encode() + content)
            seen = b""
            while b"word" not in seen:
                seen += client.recv(4096)

    # It is read on, because a model may have thought unseen: to what was reserved, and no further.
    finish = ended(cluster, leave)
    assert kind(finish) == "estimated" and 64 <= finish["tokens"]["output"] <= 128


def test_a_client_that_leaves_before_its_answer_begins(cluster):
    def leave():
        body = json.dumps({"model": "small", "messages": [{"role": "user", "content": "hang"}], "max_tokens": 5}).encode()
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {cluster.key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n")
        seen = len(cluster.upstream.calls)
        with socket.create_connection(("127.0.0.1", cluster.ports[0])) as client:
            client.sendall(head.encode() + body)
            wait_for("the call at the provider", lambda: len(cluster.upstream.calls) > seen, 10)

    assert kind(ended(cluster, leave)) == "estimated"
