#!/usr/bin/env python3
"""`make demo`: installs what lacks, builds, and shows the main job on a real model, with the proof at the end.

Needs only Rust and Python. MODEL_URL=http://host:port/v1 uses another OpenAI-compatible model (with MODEL_NAME and
MODEL_KEY). DEMO_EXIT=1 makes the demo stop itself; its exit status is 0 only if every shown thing held.

Usage: run.py WORDS, where `cargo WORDS` builds the binary.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / ".tools" / "venv" / "bin" / "python"


def main() -> None:
    if not shutil.which("cargo"):
        sys.exit("demo: cargo is not on PATH; install Rust from https://rustup.rs")
    print("[1/4] tools   ", end=" ", flush=True)
    began = time.monotonic()
    made = subprocess.run(["make", "--no-print-directory", "tools"], cwd=ROOT)
    if made.returncode:
        sys.exit("demo: the tools could not be installed; the lines above say why")
    print(f"{'nats-server 2.15.1, SmolLM2-135M (98 MB)':<58}{time.monotonic() - began:5.0f} s", flush=True)
    # What follows needs the tools: the installed Python has them.
    os.execv(VENV, [str(VENV), str(ROOT / "deploy" / "demo" / "show.py"), *sys.argv[1:]])


if __name__ == "__main__":
    main()
