"""docs/FEATURES.md names only what exists: each test, file, target and command."""

import re
import subprocess

import pytest

from steward_testkit.running import BINARY, ROOT

ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<state>[^|]*) \| (?P<shown>[^|]*)\| (?P<lacks>[^|]*)\|$")
PAGE = (ROOT / "docs" / "FEATURES.md").read_text()
ROWS = [found for line in PAGE.splitlines() if (found := ROW.match(line)) and found["what"] not in ("capability", "---")]
NAMED = sorted({name for row in ROWS for name in re.findall(r"`([^`]+)`", row["shown"])})


def test_each_row_has_a_state_and_what_works_is_shown():
    assert len(ROWS) > 100
    for row in ROWS:
        assert row["state"] in ("works", "partly", "absent"), row[0]
        assert bool(row["shown"].strip()) == (row["state"] != "absent"), f"{row['what']}: {row['state']}"
        assert not re.sub(r"`[^`]+`|,|\s", "", row["shown"]), f"{row['what']}: only what can be checked is named"


@pytest.mark.parametrize("name", [name for name in NAMED if not name.startswith(("steward ", "make "))])
def test_files_and_tests_exist(name):
    path, _, test = name.partition("::")
    assert (ROOT / path).exists(), f"there is no {path}"
    if test:
        assert re.search(rf"\b(fn|def) {re.escape(test)}\b", (ROOT / path).read_text()), f"{path} has no test {test}"


@pytest.mark.parametrize("name", [name for name in NAMED if name.startswith("make ")])
def test_make_targets_exist(name):
    target = name.removeprefix("make ")
    assert re.search(rf"^{target}:.*##", (ROOT / "Makefile").read_text(), re.MULTILINE), f"make help does not tell of {target}"


@pytest.mark.parametrize("name", [name for name in NAMED if name.startswith("steward ")])
def test_commands_exist(name):
    words = name.split()[1:]
    options = [word for word in words if word.startswith("--")]
    verbs = [word for word in words if not word.startswith("--")]
    told = ""
    for number, verb in enumerate(verbs):
        ran = subprocess.run([BINARY, *verbs[:number], "--help"], capture_output=True, text=True)
        assert ran.returncode == 0 and re.search(rf"\b{re.escape(verb)}\b", ran.stdout), f"steward {' '.join(verbs[:number])} has no {verb}"
        told = subprocess.run([BINARY, *verbs[: number + 1], "--help"], capture_output=True, text=True).stdout
    assert all(option in told for option in options), f"{name}: {told}"
