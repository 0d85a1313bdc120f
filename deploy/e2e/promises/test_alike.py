"""Questions in other words, measured with a real embeddings model on labelled pairs: what is given, and how often wrongly."""

import json
import os
import pathlib
import urllib.request

import pytest

from ledger_oracle.laws import check
from steward_testkit import embedder, questions
from steward_testkit.company import apply_company
from steward_testkit.running import ROOT, Process, free_port, wait_for
from steward_testkit.upstream import Upstream

PYTHON = pathlib.Path(os.environ.get("EMBEDDER_PYTHON", ROOT / ".tools" / "embedder" / "bin" / "python"))
THRESHOLD = 0.88
# Of a hundred answers that are given, so many are to the very question; and of a hundred that could be given, so many are.
PRECISION_MIN, RECALL_MIN = 0.98, 0.55

MODELS = """
[provider.embedder]
kind = "openai"
url  = "{url}"

[model.embed]
route = ["embedder/minilm"]
price = {{ from = 2026-11-01, input = "$0.02/M", output = "$0.00/M" }}
output_max = 1
"""
POLICY = 'cache = {{ ttl = "10m", similar = {{ model = "embed", threshold = {threshold}, mode = "on" }} }}'


@pytest.fixture
def embedder_url(tmp_path):
    if not PYTHON.exists():
        pytest.skip("`make precision` installs the embeddings model")
    port = free_port()
    process = Process([PYTHON, pathlib.Path(embedder.__file__), port], tmp_path / "embedder.log")
    wait_for("the embeddings model", lambda: process.check_alive() or "ready" in process.tail())
    yield f"http://127.0.0.1:{port}/v1"
    process.kill()  # it holds nothing


def test_answers_to_other_words_are_to_the_same_question(steward, embedder_url):
    upstream = Upstream()
    steward.up()
    file = apply_company(steward, upstream.url)
    policy = f"output_max = 64\n{POLICY.format(threshold=THRESHOLD)}"
    file.write_text(file.read_text().replace("output_max = 64", policy, 1) + MODELS.format(url=embedder_url))
    steward.cli("apply", file)
    steward.cli("apply", file, "--plan")  # exit status 0: there is nothing left to do
    key = steward.key("support-bot", "acme", "--on", "acme/support")

    def ask(question: str, pair: int) -> tuple[str, float | None]:
        """What came of it. The pairs have nothing to do with each other: each is a conversation of its own."""
        messages = [{"role": "system", "content": f"conversation {pair}"}, {"role": "user", "content": question}]
        body = json.dumps({"model": "small", "messages": messages, "max_tokens": 8}).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        request = urllib.request.Request(f"{steward.url}/v1/chat/completions", body, headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            score = reply.headers["x-steward-cache-score"]
            return reply.headers["x-steward-cache"], score and float(score)

    wait_for("the policy", lambda: ask("Is it on?", -1)[0])
    right, wrong, missed = [], [], []
    for number, (pair, is_same) in enumerate([(pair, True) for pair in questions.SAME] + [(pair, False) for pair in questions.OTHER]):
        assert ask(pair[0], number)[0] == "miss"
        used, score = ask(pair[1], number)
        assert used in ("miss", "similar"), used
        if used == "similar":
            (right if is_same else wrong).append((score, *pair))
        elif is_same:
            missed.append(pair)
    precision = len(right) / max(1, len(right) + len(wrong))
    recall = len(right) / len(questions.SAME)
    print(f"\nat {THRESHOLD}, of {len(questions.SAME)} pairs alike and {len(questions.OTHER)} traps: "
          f"precision {precision:.3f}, recall {recall:.3f}; wrong: {wrong}; missed: {missed}")
    assert precision >= PRECISION_MIN and recall >= RECALL_MIN
    check(steward.replay("acme"))
