"""The checker of the ledger's laws can fail: a history that is right passes, and each way to spoil it names its law."""

import copy

import pytest

from ledger_oracle.laws import Broken, check

START = "2026-11-23T10:00:00Z"
WINDOW = [{"budget": "b", "from": START, "to": None}]
ONE, TWO = {"holder": "gw1", "number": 1}, {"holder": "gw2", "number": 1}


def calls(count: int) -> dict:
    return {"calls": count, "tokens": 12 * count, "money": f"${0.000012 * count:.6f}"}


def scopes(holder: str) -> dict:
    return {"path": "acme/support", "principal": "svc", "key": f"key-{holder}", "model": "small"}


def budget(limit: int) -> tuple:
    key = {"scope": "acme", "unit": "calls", "window": "total"}
    return "ledger.budget_set", {"budget": "b", "key": key, "spec": {"limit": limit, "hard": True, "warn_percent": []}, "window": WINDOW[0]}


def granted(lease: dict, call: str, cap: int) -> tuple:
    return "ledger.lease_granted", {"lease": lease, "scopes": scopes(lease["holder"]), "call": call, "terms": {"cap_total": calls(cap)}, "windows": WINDOW}


def renewed(lease: dict, turn: int, used: int, cap: int, call: str | None, through: int) -> tuple:
    return "ledger.lease_renewed", {"lease": lease, "turn": turn, "through": through, "used_total": calls(used), "late_total": calls(0),
                                    "terms": {"cap_total": calls(cap)}, "call": call}


def started(lease: dict, call: str) -> tuple:
    return "usage.call_started", {"lease": lease, "call": call, "worst": calls(1)}


def finished(lease: dict, call: str) -> tuple:
    return "usage.call_finished", {"lease": lease, "call": call, "used": calls(1), "late": calls(0), "outcome": "completed"}


# One gateway calls and dies with a call on its way; another waits in line until the first one's lease shrinks.
STORY = [
    budget(10),  # 1
    granted(ONE, "c1", 4),
    started(ONE, "c1"),
    finished(ONE, "c1"),  # 4
    started(ONE, "c2"),
    renewed(ONE, 1, 1, 4, None, 4),  # 6
    granted(TWO, "c3", 6),
    ("ledger.request_queued", {"call": "c9", "scopes": scopes("gw2"), "need": calls(2)}),  # 8
    ("ledger.lease_recalled", {"lease": ONE}),
    renewed(ONE, 2, 1, 2, None, 6),  # 10
    ("ledger.request_dequeued", {"call": "c9"}),
    renewed(TWO, 1, 0, 8, "c9", 0),  # 12
    started(TWO, "c3"),
    ("usage.lease_closed", {"lease": ONE, "reason": "recalled"}),  # 14
    finished(ONE, "c2"),
    ("ledger.lease_ended", {"lease": ONE, "closed_at": 14, "used_total": calls(1), "late_total": calls(0),
                            "unsettled": [{"call": "c2", "worst": calls(1)}]}),  # 16
    ("ledger.lease_corrected", {"lease": ONE, "call": "c2", "used": calls(1), "late": calls(0), "left": calls(0)}),
    finished(TWO, "c3"),  # 18
]


def recorded(story: list[tuple]) -> list[dict]:
    """The events of a story, each a commit of its own; but leaving the line and what it is left for are one commit."""
    events, last = [], {}
    for position, (name, data) in enumerate(story, 1):
        position += name == "ledger.request_dequeued"
        stream = "ledger/main" if name.startswith("ledger") else f"usage/{data['lease']['holder']}"
        before, version = last.get(stream, (0, 0))
        last[stream] = (position, version + (position != before))
        events.append({"position": position, "version": last[stream][1], "stream": stream, "at": f"2026-11-23T10:00:00.{position:06}Z",
                      "name": name, "data": copy.deepcopy(data), "command": f"command-{position}"})
    return events


def changed(position: int, **fields):
    """The story with other fields in one event."""

    def spoil(story):
        name, data = story[position - 1]
        story[position - 1] = name, {**data, **fields}

    return spoil


def put(position: int, event: tuple):
    """The story with one more event at this position."""
    return lambda story: story.insert(position - 1, event)


def without(position: int):
    return lambda story: story.pop(position - 1)


SPOILED = [
    ("law 1", "an admission over the limit", changed(7, terms={"cap_total": calls(7)})),
    ("law 1", "an admission over a lowered limit", put(11, budget(5))),
    ("law 1", "a lease blind to a budget", changed(7, windows=[])),
    ("law 1", "growth without a request", changed(6, terms={"cap_total": calls(5)})),
    ("law 1", "an end that holds more out", changed(17, left=calls(1))),
    ("law 2", "a call that no lease covers", changed(5, worst=calls(4))),
    ("law 2", "a cap below what is on its way", changed(10, terms={"cap_total": calls(1)})),
    ("law 3", "a lease opened twice", put(3, granted(ONE, "c1", 4))),
    ("law 3", "a lease opened again after its end", put(18, granted(ONE, "c1", 1))),
    ("law 3", "a lease ended twice", put(17, STORY[15])),
    ("law 3", "a lease closed twice", put(15, STORY[13])),
    ("law 3", "a renewal decided twice", put(7, STORY[5])),
    ("law 3", "a correction before the end", put(15, STORY[16])),
    ("law 4", "a call started twice", put(6, started(ONE, "c2"))),
    ("law 4", "a call started after its lease was closed", put(15, started(ONE, "c4"))),
    ("law 4", "a call finished twice", put(5, finished(ONE, "c1"))),
    ("law 4", "a call finished and never started", put(5, finished(ONE, "c8"))),
    ("law 4", "an end without a close", without(14)),
    ("law 5", "a report that goes back", changed(10, used_total=calls(0))),
    ("law 5", "window bounds that are computed again", changed(7, windows=[{**WINDOW[0], "from": "2026-11-23T11:00:00Z"}])),
    ("law 6", "a place in the line passed by", changed(12, call="c10")),
    ("law 7", "a lease that outlives its holder", lambda story: story.__delitem__(slice(13, 17))),
    ("law 7", "a call without an end though its gateway lives", without(18)),
    ("law 7", "a correction that never comes", without(17)),
    ("books", "a report of what no journal holds", changed(6, used_total=calls(2))),
    ("books", "an end that forgets a call on its way", changed(16, unsettled=[])),
    ("books", "a correction of another amount", changed(17, used=calls(0))),
    ("books", "a correction twice", put(18, STORY[16])),
]


def checked(story: list[tuple]):
    return check(recorded(story), alive={"gw2"})


def test_a_history_that_is_right_passes_at_every_prefix():
    laws = checked(STORY)
    assert laws.seen == {"granted": 2, "renewed": 3, "recalled": 1, "fenced": 1, "queued": 1, "corrected": 1, "unsettled": 1, "started": 3}
    ((_, row),) = laws.rows.items()
    assert (row.posted, row.leased, row.unsettled, row.late, row.truth) == (2, 8, 0, 0, 3)
    for end in range(len(STORY)):
        check(recorded(STORY[:end]))


@pytest.mark.parametrize(("law", "spoil"), [(law, spoil) for law, _, spoil in SPOILED], ids=[name for _, name, _ in SPOILED])
def test_a_spoiled_history_breaks_its_law(law, spoil):
    story = list(STORY)
    spoil(story)
    with pytest.raises(Broken) as broken:
        checked(story)
    assert broken.value.law == law, broken.value


@pytest.mark.parametrize("spoil", [lambda events: events.pop(3), lambda events: events.insert(3, events.pop(4)), lambda events: events.append(events[3])],
                         ids=["an event left out", "two events swapped", "an event twice"])
def test_a_log_with_a_gap_is_found(spoil):
    events = recorded(STORY)
    spoil(events)
    with pytest.raises(Broken) as broken:
        check(events)
    assert broken.value.law == "the log"
