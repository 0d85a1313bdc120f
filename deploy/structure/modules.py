"""The modules of one crate and who names whom."""

import pathlib

import rust

Module = tuple[str, ...]


class Crate:
    """What is measured of one crate: its modules, their lines, functions and edges."""

    def __init__(self, name: str, root: pathlib.Path, repository: pathlib.Path):
        """`root` is its `lib.rs` or `main.rs`."""
        self.name, self.root, self.repository = name, root, repository
        self.code: dict[Module, str] = {}
        self.lines: dict[str, int] = {}
        self.functions: list[tuple[int, str, str]] = []
        self._read(())
        self.edges = {module: self._named_by(module) for module in self.code}

    def _file(self, module: Module) -> pathlib.Path | None:
        if not module:
            return self.root
        base = self.root.parent.joinpath(*module)
        return next((file for file in (base.with_suffix(".rs"), base / "mod.rs") if file.is_file()), None)

    def _read(self, module: Module):
        file = self._file(module)
        if file is None:
            return
        code, lines, tests = rust.without_tests(rust.code_only(file.read_text()))
        path = str(file.relative_to(self.repository))
        self.code[module], self.lines[path] = code, lines
        self.functions += [(length, path, name) for name, length in rust.functions(code)]
        for child in self._declared(code) - tests:
            self._read((*module, child))

    @staticmethod
    def _declared(code: str) -> set[str]:
        return {found[1] for found in rust.re.finditer(r"\bmod\s+(\w+)\s*;", code)}

    def _named_by(self, module: Module) -> set[Module]:
        named = {self._resolve(module, path) for path in rust.paths(self.code[module])}
        return {other for other in named if other is not None and other != module}

    def _resolve(self, module: Module, path: tuple[str, ...], depth: int = 0) -> Module | None:
        """The module in which `path`, as said in `module`, ends; names that are given on are followed to their home."""
        if path[0] == "crate":
            at, rest = (), path[1:]
        elif path[0] in ("super", "self"):
            at, rest = module, path
            while rest and rest[0] in ("super", "self"):
                at, rest = (at[:-1] if rest[0] == "super" else at), rest[1:]
        elif (*module, path[0]) in self.code:
            at, rest = module, path
        else:
            return None  # another crate, or a name that a `use` has brought
        while rest and (*at, rest[0]) in self.code:
            at, rest = (*at, rest[0]), rest[1:]
        if rest and depth < 8 and not at and module:
            given = rust.reexports(self.code[at]).get(rest[0])
            if given:
                return self._resolve(at, (*given, *rest[1:]), depth + 1) or at
        return at

    def circles(self) -> list[list[Module]]:
        """Modules that need each other, but for a parent with its own children: these are one thing in several files."""
        found = []
        for circle in _components(set(self.code), self.edges):
            top = min(circle, key=len)
            if all(module[: len(top)] == top for module in circle):
                # The children may name their parent; they must not need each other in a ring.
                down = {module: {to for to in self.edges[module] & circle if module[: len(to)] != to} for module in circle}
                found += [sorted(ring) for ring in _components(circle, down)]
            else:
                found.append(sorted(circle))
        return sorted(found)


def _components(nodes: set, edges: dict) -> list[set]:
    """Strongly connected components of more than one node (Tarjan), without recursion."""
    number, low, on_stack, stack, found = {}, {}, set(), [], []
    for start in sorted(nodes):
        if start in number:
            continue
        work = [(start, iter(sorted(edges[start] & nodes)))]
        number[start] = low[start] = len(number)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == number[node]:
                    component = set()
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.add(member)
                        if member == node:
                            break
                    if len(component) > 1:
                        found.append(component)
            elif following not in number:
                number[following] = low[following] = len(number)
                stack.append(following)
                on_stack.add(following)
                work.append((following, iter(sorted(edges[following] & nodes))))
            elif following in on_stack:
                low[node] = min(low[node], number[following])
    return found
