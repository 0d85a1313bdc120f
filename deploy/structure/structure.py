#!/usr/bin/env python3
"""`make structure`: our crates, who depends on whom, modules that need each other, the largest files and functions.

Ends with 1 if a ceiling is broken that `exceptions.txt` does not list, or if that list names what is no longer so.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import modules

# Lines without tests.
CRATE_LINES_MAX = 12_000
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
LARGEST_SHOWN = 5


class Exceptions:
    """What is over a ceiling today and may stay so until it is mended; each entry must still be needed."""

    def __init__(self, file: pathlib.Path):
        self.circles: dict[str, list[set[str]]] = {}
        self.sizes: dict[tuple[str, ...], int] = {}
        self.unused: set[str] = set()
        for line in file.read_text().splitlines() if file.is_file() else []:
            line = line.partition("#")[0].strip()
            if not line:
                continue
            kind, *words = line.split()
            self.unused.add(line)
            if kind == "knot":
                self.circles.setdefault(words[0], []).append(set(words[1:]))
            else:
                self.sizes[kind, *words[:-1]] = int(words[-1])

    def allows_circle(self, crate: str, circle: list[str]) -> bool:
        for listed in self.circles.get(crate, []):
            if set(circle) <= listed:
                self._used("knot", crate)
                return True
        return False

    def allows_size(self, size: int, *what: str) -> bool:
        if size > self.sizes.get(what, 0):
            return False
        self._used(*what)
        return True

    def _used(self, *words: str):
        self.unused -= {line for line in self.unused if line.split()[: len(words)] == list(words)}


def workspace(root: pathlib.Path) -> list[dict]:
    """Our crates as cargo knows them."""
    words = ["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path", str(root / "Cargo.toml")]
    ran = subprocess.run(words, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"structure: cargo metadata failed:\n{ran.stderr}")
    return sorted(json.loads(ran.stdout)["packages"], key=lambda package: package["manifest_path"])


def read(package: dict, root: pathlib.Path) -> modules.Crate:
    """The library of a package, or its program if it has none."""
    targets = sorted(package["targets"], key=lambda target: "lib" not in target["kind"])
    source = next(target["src_path"] for target in targets if {"lib", "bin", "proc-macro"} & set(target["kind"]))
    return modules.Crate(package["name"], pathlib.Path(source), root)


def named(module: modules.Module) -> str:
    return "/".join(module) or "(root)"


def report(root: pathlib.Path, exceptions: Exceptions) -> list[str]:
    """Prints what there is; returns what must not be."""
    packages, wrong = workspace(root), []
    ours = {package["name"] for package in packages}
    crates = [read(package, root) for package in packages]
    print(f"{'crate':<24}{'lines':>7}{'modules':>9}   depends on")
    for package, crate in zip(packages, crates):
        edges = sorted({d["name"] for d in package["dependencies"] if d["name"] in ours and d["kind"] != "dev"} - {crate.name})
        lines = sum(crate.lines.values())
        print(f"{crate.name:<24}{lines:>7}{len(crate.code):>9}   {' '.join(edge.removeprefix('steward-') for edge in edges)}")
        if lines > CRATE_LINES_MAX:
            wrong.append(f"crate too long: {crate.name} has {lines} lines, {CRATE_LINES_MAX} at most")
        for ring in crate.circles():
            circle = [named(module) for module in ring]
            if not exceptions.allows_circle(crate.name, circle):
                wrong.append(f"circle of modules in {crate.name}: {' '.join(circle)}")
    files = sorted(((lines, path) for crate in crates for path, lines in crate.lines.items()), reverse=True)
    longest = sorted((function for crate in crates for function in crate.functions), reverse=True)
    print(f"\nlargest files, of {len(files)}, lines without tests")
    for lines, path in files[:LARGEST_SHOWN]:
        print(f"{lines:>7}  {path}")
    print(f"\nlargest functions, of {len(longest)}, lines")
    for lines, path, name in longest[:LARGEST_SHOWN]:
        print(f"{lines:>7}  {name}  {path}")
    wrong += [f"file too long: {path} has {lines} lines, {FILE_LINES_MAX} at most" for lines, path in files
              if lines > FILE_LINES_MAX and not exceptions.allows_size(lines, "file", path)]
    wrong += [f"function too long: {name} in {path} has {lines} lines, {FUNCTION_LINES_MAX} at most" for lines, path, name in longest
              if lines > FUNCTION_LINES_MAX and not exceptions.allows_size(lines, "function", path, name)]
    wrong += [f"exceptions.txt lists what is no longer so: {line}" for line in sorted(exceptions.unused)]
    return wrong


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    words.add_argument("--exceptions", type=pathlib.Path, default=pathlib.Path(__file__).with_name("exceptions.txt"))
    given = words.parse_args()
    wrong = report(given.root.resolve(), Exceptions(given.exceptions))
    for line in wrong:
        print(f"structure: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
