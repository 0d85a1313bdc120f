"""One more of anything takes few places, and only the places that docs/CONTRIBUTING.md names.

All made-up things grow in one copy of the tree, which is compiled once. Each test counts what one of them touched.
"""

import pytest

from steward_testkit.made_up import aggregate, event, face, provider, setting, view
from steward_testkit.source_tree import Growth, Tree

pytestmark = [pytest.mark.alone, pytest.mark.xdist_group("one-more")]

KINDS = {"event": event, "provider": provider, "face": face, "view": view, "aggregate": aggregate, "setting": setting}
# Files to touch beside the tests, new ones included, at most: a place more is a step back. A view is counted with its
# query, an aggregate with its events and commands, an event with each view and worker that reads events of its kind.
PLACES_MAX = {"event": 7, "provider": 3, "face": 2, "view": 5, "aggregate": 7, "setting": 1}


class Grown:
    """The copy with everything in it."""

    def __init__(self, folder):
        self.tree = Tree(folder)
        self.growths = {name: Growth(self.tree, name) for name in KINDS}
        for name, kind in KINDS.items():
            kind.grow(self.growths[name])


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    return Grown(tmp_path_factory.mktemp("one-more") / "copy")


@pytest.mark.parametrize("name", KINDS)
def test_only_the_named_places_are_touched(grown, name, capsys):
    touched = grown.growths[name].touched
    elsewhere = [path for path in touched if not path.startswith(KINDS[name].PLACES)]
    assert not elsewhere, f"one more {name} touches {elsewhere}"
    places = [path for path in touched if "/tests/" not in path]
    with capsys.disabled():
        print(f"\none more {name}: {len(places)} places, {len(touched) - len(places)} tests")
        for path, how in touched.items():
            print(f"    {how:<9} {path}")
    assert len(places) <= PLACES_MAX[name]


def test_all_of_them_compile(grown):
    grown.tree.cargo("check", "--quiet", "--workspace", "--all-targets")


def test_new_events_have_golden_bytes_and_no_other_bytes_change(grown):
    wire = grown.tree.folder / "events" / "tests" / "wire"
    before = {file.name: file.read_bytes() for file in wire.iterdir()}
    for environment in ({"STEWARD_BLESS": "1"}, {}):  # writes what lacks; then all must be there
        grown.tree.cargo("test", "--quiet", "--workspace", "--test", "wire", **environment)
    after = {file.name: file.read_bytes() for file in wire.iterdir()}
    assert after.keys() - before.keys() == {f"{event}.{form}" for event in ("task.paused", "memo.written") for form in ("hex", "json")}
    assert all(after[name] == content for name, content in before.items())
