"""A copy of the source tree in which something made up grows, by edits at places that a text names, not a line number."""

import os
import pathlib
import re
import shutil
import subprocess

from steward_testkit.running import ROOT


class Tree:
    """A copy of all files that git knows or would take in."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        listed = subprocess.run(["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
        for name in filter(None, map(os.fsdecode, listed.stdout.split(b"\0"))):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)

    def cargo(self, *words: str, **environment: str):
        """Runs cargo in the copy. The libraries that are built already are used, our own crates are built again.

        Cargo would take the copy's crates for the tree's own if both were built alike; so the one on which all others
        rest is built otherwise, and none of them is optimised.
        """
        apart = []
        for crate in ("steward-events", "steward-aggregates", "steward-gateway", "steward-workers"):
            apart += ["--config", f"profile.dev.package.{crate}.opt-level=0"]
        apart += ["--config", "profile.dev.package.steward-events.debug=0"]
        target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
        environment = {**os.environ, **environment, "CARGO_TARGET_DIR": target, "CARGO_INCREMENTAL": "0"}
        ran = subprocess.run(["cargo", *words, *apart], cwd=self.folder, capture_output=True, text=True, env=environment)
        assert ran.returncode == 0, f"cargo {' '.join(words)}:\n{ran.stdout[-3000:]}\n{ran.stderr[-6000:]}"


class Growth:
    """One made-up thing: its edits, and the files that they touch."""

    def __init__(self, tree: Tree, name: str):
        self.tree, self.name = tree, name
        self.touched: dict[str, str] = {}

    def create(self, path: str, text: str):
        """A new file."""
        file = self.tree.folder / path
        assert not file.exists(), f"{path} is there already"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.touched[path] = "new file"

    def before(self, where: str, anchor: str, text: str):
        """Lines before the one line that begins with `anchor`, indented like that line."""
        self._insert(where, anchor, text, 0)

    def after(self, where: str, anchor: str, text: str):
        """Lines after the one line that begins with `anchor`."""
        self._insert(where, anchor, text, 1)

    def replace(self, where: str, pattern: str, by):
        """The one match of a regular expression; `by` as in `re.sub`."""
        file = self._holding(where, lambda text: len(re.findall(pattern, text, re.MULTILINE)), pattern)
        file.write_text(re.sub(pattern, by, file.read_text(), flags=re.MULTILINE))
        self._touch(file)

    def _insert(self, where: str, anchor: str, text: str, offset: int):
        file = self._holding(where, lambda content: len(anchored(content, anchor)), anchor)
        lines = file.read_text().split("\n")
        (at,) = anchored("\n".join(lines), anchor)
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines[at + offset : at + offset] = [indent + line if line else line for line in text.strip("\n").split("\n")]
        file.write_text("\n".join(lines))
        self._touch(file)

    def _holding(self, where: str, count, anchor: str) -> pathlib.Path:
        """The file `where`, or the one file under the folder `where`, that has the anchor once."""
        place = self.tree.folder / where
        files = sorted(place.rglob("*.rs")) if where.endswith("/") else [place]
        found = {str(file.relative_to(self.tree.folder)): n for file in files if file.is_file() and (n := count(file.read_text()))}
        assert list(found.values()) == [1], f"one more {self.name}: {anchor!r} should be once in {where}, and is in {found}"
        return self.tree.folder / next(iter(found))

    def _touch(self, file: pathlib.Path):
        self.touched.setdefault(str(file.relative_to(self.tree.folder)), "edited")


def anchored(content: str, anchor: str) -> list[int]:
    """The lines that begin with the anchor, whatever their indentation."""
    return [number for number, line in enumerate(content.split("\n")) if line.lstrip().startswith(anchor)]
