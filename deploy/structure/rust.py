"""Reads Rust source as far as its structure goes: what is code and what is text, what is a test, functions, paths."""

import re

# What hides braces and paths: comments, strings, characters. The order is the order in which they are tried.
_TEXT = re.compile(
    r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\[^\n]{1,10}?|[^\\\'\n])\'',
    re.DOTALL,
)
_TEST_ATTRIBUTE = re.compile(r"#\[cfg\((?:test|all\(test[^\n]*)\)\]")
_FUNCTION = re.compile(r"\bfn\s+(\w+)")
_IMPL = re.compile(r"^\s*impl\b[^{;]*\{", re.MULTILINE)
_USE = re.compile(r"\buse\s+([^;]+);")
_PATH = re.compile(r"(?<![\w:$])((?:crate|super|self)(?:::\w+)+|[a-z_]\w*(?:::\w+)+)")


def code_only(source: str) -> str:
    """The source with comments, strings and characters blanked; lines stay where they are."""

    def blank(found: re.Match) -> str:
        return re.sub(r"[^\n]", " ", found[0])

    return _TEXT.sub(blank, source)


def closing(code: str, opening: int) -> int:
    """Where the brace that opens at `opening` is closed."""
    depth = 0
    for at in range(opening, len(code)):
        if code[at] == "{":
            depth += 1
        elif code[at] == "}":
            depth -= 1
            if depth == 0:
                return at
    return len(code) - 1


def without_tests(code: str) -> tuple[str, int, set[str]]:
    """The code with what is compiled for tests alone blanked, the number of its lines, and modules that are tests."""
    modules, lines = set(), len(code.splitlines())
    for found in reversed(list(_TEST_ATTRIBUTE.finditer(code))):
        opening = next((at for at in range(found.end(), len(code)) if code[at] in "{;"), len(code) - 1)
        if code[opening] == ";":
            end = opening
            if module := re.search(r"\bmod\s+(\w+)\s*$", code[found.end() : opening]):
                modules.add(module[1])
        else:
            end = closing(code, opening)
        inside = code[found.start() : end + 1]
        lines -= inside.count("\n") + 1
        code = code[: found.start()] + re.sub(r"[^\n]", " ", inside) + code[end + 1 :]
    return code, lines, modules


def functions(code: str) -> list[tuple[str, int]]:
    """Each function with a body: its name, with the type if it is a method, and how many lines it takes."""
    impls = []
    for found in _IMPL.finditer(code):
        head = re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", found[0]))
        owner = re.search(r"(\w+)\s*(?:where\b.*)?\{\s*$", head, re.DOTALL)
        impls.append((found.start(), closing(code, found.end() - 1), owner[1] if owner else "?"))
    result = []
    for found in _FUNCTION.finditer(code):
        opening = next((at for at in range(found.end(), len(code)) if code[at] in "{;"), None)
        if opening is None or code[opening] == ";":
            continue
        owner = next((name for begin, end, name in impls if begin < found.start() < end), None)
        lines = code.count("\n", found.start(), closing(code, opening)) + 1
        result.append((f"{owner}::{found[1]}" if owner else found[1], lines))
    return result


def paths(code: str) -> set[tuple[str, ...]]:
    """Every path that is named, in `use` (groups taken apart) and in code."""
    found = set()
    for use in _USE.finditer(code):
        found |= set(_expand(use[1]))
    rest = _USE.sub("", code)
    found |= {tuple(path[1].split("::")) for path in _PATH.finditer(rest)}
    return found


def reexports(code: str) -> dict[str, tuple[str, ...]]:
    """Names that a module gives on: `pub use` (of any visibility) by the name under which it does."""
    given = {}
    for use in re.finditer(r"\bpub(?:\([^)]*\))?\s+use\s+([^;]+);", code):
        for path, name in _expand_named(use[1]):
            given[name] = path
    return given


def _expand(tree: str):
    return (path for path, _ in _expand_named(tree))


def _expand_named(tree: str):
    """A `use` tree as its paths: `a::{b, c::d as e}` is `a::b` under the name b, and `a::c::d` under the name e."""
    tree = tree.strip()
    opening = tree.find("{")
    if opening < 0:
        path, _, name = tree.partition(" as ")
        parts = tuple(part.strip() for part in path.split("::") if part.strip())
        if parts:
            yield (parts[:-1] if parts[-1] == "self" and len(parts) > 1 else parts), (name.strip() or parts[-1])
        return
    head, body = tree[:opening], tree[opening + 1 : closing(tree, opening)]
    depth, begin = 0, 0
    for at, letter in enumerate(body + ","):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            if body[begin:at].strip():
                yield from _expand_named(head + body[begin:at].strip())
            begin = at + 1
