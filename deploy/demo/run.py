#!/usr/bin/env python3
"""`make demo`: installs what lacks, builds, and shows the main job on a real model, with the proof at the end.

Needs only Rust and Python. MODEL_URL=http://host:port/v1 uses another OpenAI-compatible model (with MODEL_NAME and
MODEL_KEY). DEMO_EXIT=1 makes the demo stop itself; its exit status is 0 only if every shown thing held.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / ".tools" / "venv" / "bin" / "python"


def stage(number: int, name: str) -> float:
    print(f"[{number}/4] {name:<8}", end=" ", flush=True)
    return time.monotonic()


def done(began: float, what: str) -> None:
    print(f"{what:<58}{time.monotonic() - began:5.0f} s", flush=True)


def tools() -> None:
    began = stage(1, "tools")
    made = subprocess.run(["make", "--no-print-directory", "tools"], cwd=ROOT)
    if made.returncode:
        sys.exit("demo: the tools could not be installed; the lines above say why")
    done(began, "nats-server 2.15.1, SmolLM2-135M (98 MB)")


def build() -> None:
    began = stage(2, "build")
    if not shutil.which("cargo"):
        sys.exit("demo: cargo is not on PATH; install Rust from https://rustup.rs")
    first = not (ROOT / "target" / "debug" / "steward").exists()
    if first:
        print("the first time takes several minutes", flush=True)
    # cargo draws its own progress bar on a terminal
    quiet = [] if first and sys.stderr.isatty() else ["--quiet"]
    built = subprocess.run(["cargo", "build", *quiet, "-p", "steward"], cwd=ROOT)
    if built.returncode:
        sys.exit("demo: the build failed; the lines above say why")
    done(began, "steward")


def main() -> None:
    tools()
    build()
    os.execv(VENV, [str(VENV), str(ROOT / "deploy" / "demo" / "show.py")])


if __name__ == "__main__":
    main()
