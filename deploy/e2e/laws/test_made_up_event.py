"""Adding an event touches one place a folder: a made-up one, as a patch, on a copy of the tree."""

import os
import shutil
import subprocess

from steward_testkit.running import ROOT

PATCH = ROOT / "deploy" / "e2e" / "made_up_event.patch"
# docs/CONTRIBUTING.md, "Adding an event": the event and its golden bytes, its aggregate, its readers.
PLACES = ("events/src/event/", "events/tests/wire/", "aggregates/", "projectors/src/", "workers/", "gateway/src/api/")


def test_a_made_up_event_compiles_and_touches_only_the_named_places(tmp_path):
    copy = tmp_path / "copy"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, (os.fsdecode(entry) for entry in tracked)):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    subprocess.run(["git", "apply", "--unidiff-zero", str(PATCH)], cwd=copy, check=True)
    stat = subprocess.run(["git", "apply", "--numstat", str(PATCH)], cwd=copy, capture_output=True, text=True, check=True)
    touched = [line.split("\t")[2] for line in stat.stdout.splitlines()]
    assert touched and all(path.startswith(PLACES) for path in touched), touched
    # The libraries are built already, our own crates are built again. Cargo would take the copy's for the tree's own if
    # they were built alike; so the one that all others rest on is not.
    apart = ["--config", "profile.dev.package.steward-events.debug=0"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target")}
    for words in (["test", "--workspace", "--test", "wire"], ["build", "--workspace", "--lib"]):
        ran = subprocess.run(["cargo", *words, *apart], cwd=copy, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-3000:]
