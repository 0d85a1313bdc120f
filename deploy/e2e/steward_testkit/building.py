"""Builds with cargo and says how far it is: a first build takes many minutes, and silence looks like a fault."""

import json
import subprocess
import sys
import time

# So often a line is written where no bar can be drawn.
LINE_SECONDS = 10
BAR_WIDTH = 30


def crates_to_build(root, package: str) -> int:
    """How many crates the package needs on this machine, its own tests included."""
    host = next(line.split()[1] for line in _output(["rustc", "-vV"]).splitlines() if line.startswith("host:"))
    graph = json.loads(_output(["cargo", "metadata", "--format-version", "1", "--filter-platform", host], cwd=root))
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    (top,) = (p["id"] for p in graph["packages"] if p["name"] == package and p["id"] in graph["workspace_members"])
    needed, left = {top}, [top]
    while left:
        at = left.pop()
        for needs in nodes[at]["deps"]:
            used = any(kind["kind"] != "dev" or at == top for kind in needs["dep_kinds"])
            if used and needs["pkg"] not in needed:
                needed.add(needs["pkg"])
                left.append(needs["pkg"])
    return len(needed)


def _output(words, **more) -> str:
    ran = subprocess.run(words, capture_output=True, text=True, **more)
    if ran.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{ran.stderr}")
    return ran.stdout


def build(root, words: list[str], package: str = "steward", out=sys.stdout, line_seconds: float = LINE_SECONDS) -> int:
    """Runs `cargo WORDS`; its exit status. Errors of the compiler go to stderr as always."""
    progress = Progress(crates_to_build(root, package), out, line_seconds)
    words = ["cargo", *words, "--quiet", "--message-format", "json-render-diagnostics"]
    with subprocess.Popen(words, cwd=root, stdout=subprocess.PIPE, text=True) as cargo:
        for line in cargo.stdout:
            message = json.loads(line) if line.startswith("{") else {}
            if message.get("reason") == "compiler-artifact" and "custom-build" not in message["target"]["kind"]:
                progress.built(message["package_id"], message["target"]["name"], message["fresh"])
    progress.end()
    return cargo.returncode


class Progress:
    """A bar on a terminal; elsewhere a line every few seconds. Nothing if all was there already."""

    def __init__(self, total: int, out, line_seconds: float):
        self.total, self.out, self.line_seconds = total, out, line_seconds
        self.seen: set[str] = set()
        self.told = time.monotonic()
        self.drawn = False

    def built(self, package: str, name: str, fresh: bool):
        self.seen.add(package)
        count = min(len(self.seen), self.total)
        if fresh:
            return
        if self.out.isatty():
            full = "#" * (BAR_WIDTH * count // self.total)
            print(f"\r  [{full:<{BAR_WIDTH}}] crate {count} of {self.total}  {name[:24]:<24}", end="", file=self.out, flush=True)
            self.drawn = True
        elif time.monotonic() - self.told >= self.line_seconds:
            print(f"  crate {count} of {self.total} ({name})", file=self.out, flush=True)
            self.told = time.monotonic()

    def end(self):
        if self.drawn:
            print(f"\r{'':<{BAR_WIDTH + 60}}\r", end="", file=self.out, flush=True)
