"""A build says how far it is, also where no bar can be drawn."""

import io

import pytest

from steward_testkit.building import build, crates_to_build


@pytest.fixture
def workspace(tmp_path):
    """Two crates; the second needs the first."""
    (tmp_path / "Cargo.toml").write_text('[workspace]\nresolver = "3"\nmembers = ["one", "two"]\n')
    for name, needs, source in [("one", "", "pub fn one() {}\n"), ("two", 'one = { path = "../one" }', "pub fn two() { one::one() }\n")]:
        (tmp_path / name / "src").mkdir(parents=True)
        (tmp_path / name / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\n{needs}\n')
        (tmp_path / name / "src" / "lib.rs").write_text(source)
    return tmp_path


def test_each_crate_is_counted(workspace, monkeypatch):
    monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)
    assert crates_to_build(workspace, "two") == 2 and crates_to_build(workspace, "one") == 1
    told = io.StringIO()
    assert build(workspace, ["build", "--offline"], "two", told, line_seconds=0) == 0
    assert told.getvalue() == "  crate 1 of 2 (one)\n  crate 2 of 2 (two)\n"
    again = io.StringIO()
    assert build(workspace, ["build", "--offline"], "two", again, line_seconds=0) == 0
    assert again.getvalue() == "", "all was there already"


def test_a_build_that_fails_says_so_and_why(workspace, monkeypatch, capfd):
    monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)
    (workspace / "two" / "src" / "lib.rs").write_text("pub fn two() { one::three() }\n")
    assert build(workspace, ["build", "--offline"], "two", io.StringIO()) != 0
    assert "cannot find function `three`" in capfd.readouterr().err
