"""`make structure` can fail: on small made-up crates it names each thing that must not be, and nothing else."""

import subprocess
import sys

import pytest

from steward_testkit.running import ROOT

SCRIPT = ROOT / "deploy" / "structure" / "structure.py"


class MadeUp:
    """A workspace of made-up crates."""

    def __init__(self, folder):
        self.folder, self.exceptions = folder, folder / "exceptions.txt"
        self.exceptions.write_text("")
        (folder / "Cargo.toml").write_text('[workspace]\nresolver = "3"\nmembers = ["one", "two"]\n')
        self.crate("one", lib="")
        self.crate("two", lib="", dependencies='one = { path = "../one" }')

    def crate(self, name: str, dependencies: str = "", **files: str):
        source = self.folder / name / "src"
        source.mkdir(parents=True, exist_ok=True)
        if not (self.folder / name / "Cargo.toml").exists():
            head = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\n{dependencies}\n'
            (self.folder / name / "Cargo.toml").write_text(head)
        for path, text in files.items():
            file = source / f"{path.replace('__', '/')}.rs"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    def structure(self) -> tuple[int, str, str]:
        words = [sys.executable, str(SCRIPT), "--root", str(self.folder), "--exceptions", str(self.exceptions)]
        ran = subprocess.run(words, capture_output=True, text=True)
        return ran.returncode, ran.stdout, ran.stderr

    def holds(self):
        status, out, err = self.structure()
        assert (status, err) == (0, ""), err
        assert "circle" not in out and "too long" not in out, out
        return out

    def refuses(self, *words: str):
        status, _, err = self.structure()
        assert status == 1 and len(err.splitlines()) == 1, err
        assert all(word in err for word in words), err


@pytest.fixture
def made_up(tmp_path):
    return MadeUp(tmp_path)


def test_crates_and_their_edges_are_told(made_up):
    out = made_up.holds()
    assert [line.split() for line in out.splitlines()[1:3]] == [["one", "0", "1"], ["two", "0", "1", "one"]]


def test_two_modules_that_need_each_other_are_refused(made_up):
    made_up.crate("one", lib="mod a;\nmod b;\n", a="use crate::b::B;\npub struct A(B);\n", b="pub struct B(Option<Box<crate::a::A>>);\n")
    made_up.refuses("circle", "one", " a b")


def test_a_ring_of_three_in_grouped_uses_is_refused(made_up):
    made_up.crate("one", lib="mod a;\nmod b;\nmod c;\n", a="use crate::{b::{self, X}, c};\n", b="use super::c::Y as Z;\n", c="use crate::a::*;\n")
    made_up.refuses("circle", "a b c")


def test_a_parent_and_its_own_children_may_need_each_other(made_up):
    made_up.crate("one", lib="mod a;\n", a="mod x;\nmod y;\nuse x::X;\nuse y::Y;\n", a__x="use super::A;\n", a__y="use super::A;\nuse super::x::X;\n")
    made_up.holds()


def test_children_that_need_each_other_are_refused(made_up):
    made_up.crate("one", lib="mod a;\n", a="mod x;\nmod y;\n", a__x="use super::y::Y;\n", a__y="use super::x::X;\n")
    made_up.refuses("circle", "a/x a/y")


def test_a_child_needing_its_parent_through_another_is_refused(made_up):
    made_up.crate("one", lib="mod a;\nmod b;\n", a="mod x;\nuse x::X;\n", a__x="use crate::b::B;\n", b="use crate::a::A;\n")
    made_up.refuses("circle", "a a/x b")


def test_a_reexported_name_is_followed_to_its_module(made_up):
    made_up.crate("one", lib="mod a;\nmod b;\npub use b::B;\n", a="use crate::B;\n", b="use crate::a::A;\n")
    made_up.refuses("circle", " a b")


def test_tests_comments_and_strings_are_no_edges(made_up):
    a = "use crate::b::B;\n"
    b = '// crate::a::A\n/* use crate::a::A; */\nconst S: &str = "crate::a::A";\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n'
    made_up.crate("one", lib="mod a;\nmod b;\n", a=a, b=b)
    made_up.holds()


def test_a_circle_that_is_listed_passes_until_it_is_gone(made_up):
    made_up.crate("one", lib="mod a;\nmod b;\n", a="use crate::b::B;\n", b="use crate::a::A;\n")
    made_up.exceptions.write_text("knot one a b\n")
    made_up.holds()
    made_up.crate("one", a="")
    made_up.refuses("no longer so", "knot one a b")


def body(lines: int) -> str:
    return "fn long() {\n" + "    let _ = '{';\n" * (lines - 2) + "}\n"


def test_a_function_of_sixty_lines_passes_and_one_more_does_not(made_up):
    made_up.crate("one", lib=body(60))
    made_up.holds()
    made_up.crate("one", lib=body(61))
    made_up.refuses("function too long", "long", "61")
    made_up.exceptions.write_text("function one/src/lib.rs long 61\n")
    made_up.holds()
    made_up.crate("one", lib=body(62))
    status, _, err = made_up.structure()
    assert status == 1 and "function too long" in err, err


def test_a_file_of_four_hundred_lines_passes_and_one_more_does_not(made_up):
    tests = "#[cfg(test)]\nmod tests {\n" + "    // many\n" * 500 + "}\n"
    made_up.crate("one", lib="const A: u8 = 1;\n" * 400 + tests)
    made_up.holds()
    made_up.crate("one", lib="const A: u8 = 1;\n" * 401 + tests)
    made_up.refuses("file too long", "one/src/lib.rs", "401")


def test_a_crate_of_more_than_twelve_thousand_lines_is_refused(made_up):
    files = {f"m{number}": "\n" * 399 + "const A: u8 = 1;\n" for number in range(31)}
    made_up.crate("one", lib="".join(f"mod {name};\n" for name in files), **files)
    made_up.refuses("crate too long", "one", "12431")
