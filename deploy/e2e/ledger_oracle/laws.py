"""The laws of the budget protocol, checked at every prefix of a tenant's history as the real binaries recorded it.

It folds the events of `steward replay --json` by itself: it knows what each event says, and nothing of the code that decides
or folds them. Amounts are in calls, tokens and nano-dollars. The number of a law is the one that the simulation's checker
uses; `books` is that the ledger says what the journals say.
"""

from ledger_oracle.words import NOTHING, UNITS, Lease, Row, less, moment, plain, plus, touches, within

# How long a ticket keeps its place without being asked for again, in seconds.
TICKET_TTL = 3.0


class Broken(AssertionError):
    """A law does not hold."""

    def __init__(self, law: str, why: str, position: int = 0):
        super().__init__(f"{law}, at position {position}: {why}")
        self.law = law


class Laws:
    """Takes events in the order of the log; raises [`Broken`] at the first prefix where a law does not hold."""

    def __init__(self):
        self.position, self.command = 0, None
        self.budgets: dict[str, dict] = {}
        # Those that were there before any lease: only they have seen all that was spent.
        self.first_budgets: set[str] = set()
        self.rows: dict[tuple[str, str], Row] = {}
        self.leases: dict[tuple[str, int], Lease] = {}
        self.highest: dict[str, int] = {}
        self.unsettled: dict[str, dict] = {}
        self.calls: dict[str, dict] = {}
        self.versions: dict[str, tuple[int, int]] = {}
        # Tickets in order, and how line and rows were before the present command.
        self.line: dict[str, dict] = {}
        self.before: tuple[dict, dict] = ({}, {})
        self.seen = dict.fromkeys(("granted", "renewed", "recalled", "fenced", "queued", "corrected", "unsettled", "started"), 0)

    def fail(self, law: str, why: str):
        raise Broken(law, why, self.position)

    def take(self, event: dict):
        """One more event."""
        self.follow(event)
        noun, _, verb = event["name"].partition(".")
        if noun == "ledger":
            held = {key: row.held() for key, row in self.rows.items()}
            posted = {key: row.posted for key, row in self.rows.items()}
            grows = getattr(self, verb)(plain(event["data"]), event)
            for key in held.keys() & self.rows.keys():
                row = self.rows[key]
                if row.posted < posted[key]:
                    self.fail("law 5", f"posted of {key} shrank from {posted[key]} to {row.posted} by {verb}")
                if row.held() > held[key] and not grows:
                    self.fail("law 1", f"more is held out of {key} without an admission: {held[key]} to {row}, by {verb}")
        elif noun == "usage":
            getattr(self, verb)(plain(event["data"]))
        self.covered()

    def follow(self, event: dict):
        """The log itself: positions and versions go on one by one, whatever is told."""
        position, version, stream = event["position"], event["version"], event["stream"]
        if position < self.position:
            self.fail("the log", f"{position} comes after {self.position}")
        last = self.versions.get(stream, (0, 0))
        if (position, version) != last and (position == last[0] or version != last[1] + 1):
            self.fail("the log", f"{stream} goes from version {last[1]} to {version}")
        self.versions[stream] = (position, version)
        if (position, event["command"]) != (self.position, self.command):
            self.before = dict(self.line), {key: row.held() for key, row in self.rows.items()}
        self.position, self.command = position, event["command"]

    def covered(self):
        """Law 2: what providers billed and may still bill is never more than what the ledger holds out."""
        for key, row in self.rows.items():
            if row.truth > row.held():
                self.fail("law 2", f"{row.truth} billed or at providers, and only {row} held out of {key}")

    def lease_covers(self, lease: Lease):
        """Law 2, lease by lease: what others hold is no cover."""
        worst = lease.recorded()[0]
        for call in lease.open.values():
            worst = plus(worst, call)
        if not within(worst, lease.cap):
            self.fail("law 2", f"{worst} used or at providers on a lease that holds {lease.cap}")

    # Budgets.

    def budget_set(self, data: dict, _fact) -> bool:
        budget, is_new = data["budget"], data["budget"] not in self.budgets
        self.budgets[budget] = data
        self.window(data["window"])
        if not self.leases:
            self.first_budgets.add(budget)
        if not is_new:
            return False
        key = (budget, data["window"]["from"])
        row = self.rows.setdefault(key, Row(data["key"]["unit"], data["window"]["to"]))
        for lease in self.leases.values():
            if not lease.ended and touches(data, lease.scopes):
                row.leased += lease.held()[row.unit]
                lease.windows.append(key)
        for call in self.unsettled.values():
            if touches(data, call["lease"].scopes):
                row.unsettled += call["worst"][row.unit]
                call["rows"].append(key)
        # It answers for what is at providers now, and for nothing that was billed before.
        for call in self.calls.values():
            if call["running"] and touches(data, call["lease"].scopes):
                row.truth += call["worst"][row.unit]
                call["rows"].append(key)
        return True

    def budget_removed(self, data: dict, _fact):
        self.budgets.pop(data["budget"], None)
        self.rows = {key: row for key, row in self.rows.items() if key[0] != data["budget"]}

    def threshold_crossed(self, data: dict, _fact):
        self.window(data["window"])

    def window(self, window: dict):
        """Law 5: bounds are recorded instants, so two windows of a budget are the same or do not overlap."""
        budget, begin, end = window["budget"], window["from"], window["to"]
        for (other, other_begin), row in self.rows.items():
            if other != budget or (other_begin, row.to) == (begin, end):
                continue
            first = (begin, end) if moment(begin) < moment(other_begin) else (other_begin, row.to)
            if begin == other_begin or first[1] is None or moment(first[1]) > max(moment(begin), moment(other_begin)):
                self.fail("law 5", f"the window {window} overlaps {other_begin} to {row.to}")

    # Leases.

    def each(self, keys, change):
        for key in keys:
            if key in self.rows:
                change(self.rows[key])

    def move(self, keys, **amounts):
        """Adds to columns of these rows; each amount has all units."""

        def change(row):
            for column, amount in amounts.items():
                setattr(row, column, getattr(row, column) + amount[row.unit])

        self.each(keys, change)

    def lease_granted(self, data: dict, event: dict) -> bool:
        self.seen["granted"] += 1
        holder, number = data["lease"]["holder"], data["lease"]["number"]
        if number <= self.highest.get(holder, 0):
            self.fail("law 3", f"lease {number} of {holder} is opened again")
        self.highest[holder] = number
        for window in data["windows"]:
            self.window(window)
            key, budget = (window["budget"], window["from"]), self.budgets.get(window["budget"])
            if budget:
                self.rows.setdefault(key, Row(budget["key"]["unit"], window["to"]))
        lease = self.leases[holder, number] = Lease(data)
        taken_from = {budget for budget, _ in lease.windows}
        for budget, of in self.budgets.items():
            if touches(of, lease.scopes) and budget not in taken_from:
                self.fail("law 1", f"lease {number} of {holder} takes nothing from {budget}, which it touches")
        self.move(lease.windows, leased=lease.cap)
        self.admitted(lease, lease.cap, data["call"], event)
        return True

    def admitted(self, lease: Lease, amount: dict, call: str, event: dict):
        """Law 1, the limit, and law 6, the order: nobody takes what those ahead in the line wait for."""
        for key in lease.windows:
            budget, row = self.budgets.get(key[0]), self.rows.get(key)
            if budget and row and budget["spec"]["hard"] and amount[row.unit] and row.exposure() > budget["spec"]["limit"]:
                self.fail("law 1", f"an admission over the limit {budget['spec']['limit']} of {budget['key']}: {row}")
        line, held = self.before
        now = moment(event["at"])
        for ticket in line.values():
            if now - ticket["seen"] > TICKET_TTL:
                continue
            if ticket["call"] == call:
                break
            for key in lease.windows:
                budget, row = self.budgets.get(key[0]), self.rows.get(key)
                if not budget or not row or not budget["spec"]["hard"] or not touches(budget, ticket["scopes"]):
                    continue
                room = budget["spec"]["limit"] - row.exposure()
                if row.held() > held.get(key, 0) and room < ticket["need"][row.unit]:
                    self.fail("law 6", f"{call} took from {budget['key']} what {ticket['call']} waits for")

    def lease(self, data: dict, what: str) -> Lease:
        holder, number = data["lease"]["holder"], data["lease"]["number"]
        lease = self.leases.get((holder, number))
        if not lease:
            self.fail("law 3", f"lease {number} of {holder} was never opened and is {what}")
        return lease

    def open_lease(self, data: dict, what: str) -> Lease:
        lease = self.lease(data, what)
        if lease.ended:
            self.fail("law 3", f"lease {data['lease']} has ended and is {what}")
        return lease

    def report(self, lease: Lease, data: dict, through: int | None):
        """What is reported is what the journal holds, and never less than before."""
        used, late = data["used_total"], data["late_total"]
        if not within(lease.used, used) or not within(lease.late, late):
            self.fail("law 5", f"the report of {data['lease']} goes back from {lease.used} to {used}")
        if not within(used, lease.recorded(through)[0]) or not within(late, lease.recorded(through)[1]):
            self.fail("books", f"{data['lease']} reports {used} and {late}, its journal holds {lease.recorded(through)}")
        self.move(lease.windows, posted=less(used, lease.used), late=less(late, lease.late))

    def lease_renewed(self, data: dict, event: dict) -> bool:
        self.seen["renewed"] += 1
        lease = self.open_lease(data, "renewed")
        if data["turn"] != lease.turn + 1:
            self.fail("law 3", f"{data['lease']} goes from turn {lease.turn} to {data['turn']}")
        cap, before, held = data["terms"]["cap_total"], lease.cap, lease.held()
        grown = less(cap, before)
        if any(grown.values()) and not data["call"]:
            self.fail("law 1", f"{data['lease']} grew without a request")
        self.report(lease, data, data["through"])
        lease.turn, lease.cap, lease.used, lease.late = data["turn"], cap, data["used_total"], data["late_total"]
        self.move(lease.windows, leased={unit: lease.held()[unit] - held[unit] for unit in UNITS})
        self.lease_covers(lease)
        if any(grown.values()):
            self.admitted(lease, grown, data["call"], event)
        return any(grown.values())

    def lease_recalled(self, data: dict, _fact):
        self.seen["recalled"] += 1
        self.open_lease(data, "recalled")

    def lease_ended(self, data: dict, _fact):
        self.seen["unsettled"] += len(data["unsettled"])
        lease = self.open_lease(data, "ended again")
        if lease.closed_at != data["closed_at"]:
            self.fail("law 4", f"{data['lease']} ended by a close at {data['closed_at']}; its journal has {lease.closed_at}")
        self.report(lease, data, lease.closed_at)
        told = {call["call"]: call["worst"] for call in data["unsettled"]}
        if (data["used_total"], data["late_total"], told) != lease.at_close:
            self.fail("books", f"{data['lease']} ended with {told}, its journal says {lease.at_close}")
        self.move(lease.windows, leased={unit: -lease.held()[unit] for unit in UNITS})
        lease.ended, lease.used, lease.late = True, data["used_total"], data["late_total"]
        for call, worst in told.items():
            self.unsettled[call] = {"lease": lease, "worst": worst, "rows": list(lease.windows)}
            self.move(lease.windows, unsettled=worst)

    def lease_corrected(self, data: dict, _fact):
        self.seen["corrected"] += 1
        lease, call, left = self.lease(data, "corrected"), self.unsettled.get(data["call"]), data["left"]
        if not lease.ended:
            self.fail("law 3", f"{data['lease']} is open and corrected")
        finish = self.calls[data["call"]]["finish"] if call else None
        if not call or call["lease"] is not lease:
            self.fail("books", f"{data['call']} is not unsettled and is corrected")
        if not finish or plus(data["used"], data["late"]) != plus(finish["used"], finish["late"]):
            self.fail("books", f"{data['call']} is settled as {data['used']}; its journal says {finish and finish['used']}")
        if not within(left, less(call["worst"], data["used"])):
            self.fail("law 1", f"{data['call']} leaves more open than its worst case")
        self.move(call["rows"], posted=data["used"], late=data["late"])
        self.move(call["rows"], unsettled={unit: left[unit] - call["worst"][unit] for unit in UNITS})
        if any(left.values()):
            call["worst"] = left
        else:
            del self.unsettled[data["call"]]

    def request_queued(self, data: dict, event: dict):
        self.seen["queued"] += data["call"] not in self.line
        self.line[data["call"]] = {**data, "seen": moment(event["at"])}

    def request_dequeued(self, data: dict, _fact):
        self.line.pop(data["call"], None)

    # Journals.

    def call_started(self, data: dict):
        self.seen["started"] += 1
        lease, call = self.lease(data, "started on"), data["call"]
        if lease.closed_at or lease.ended:
            self.fail("law 4", f"{call} was started after LeaseClosed")
        if call in self.calls:
            self.fail("law 4", f"{call} was started twice")
        lease.open[call] = data["worst"]
        self.lease_covers(lease)
        self.calls[call] = {"lease": lease, "worst": data["worst"], "finish": None, "running": True, "rows": list(lease.windows)}
        self.move(lease.windows, truth=data["worst"])

    def call_finished(self, data: dict):
        call = self.calls.get(data["call"])
        if not call:
            self.fail("law 4", f"{data['call']} finished and was never started")
        if call["finish"]:
            self.fail("law 4", f"{data['call']} finished twice")
        lease, used = call["lease"], data["used"]
        estimated = "estimated" in data["outcome"] and not data["outcome"]["estimated"].get("closed", False)
        call["finish"], before = data, lease.recorded()
        lease.finishes.append((self.position, plus(before[0], used), plus(before[1], data["late"])))
        del lease.open[data["call"]]
        left = less(call["worst"], used)
        if estimated and any(left.values()):
            lease.open[data["call"]] = left  # its provider may have billed all of it
        else:
            call["running"] = False
            # What is billed beyond the worst case is late usage, or was free in its lease.
            self.move(call["rows"], truth={unit: -left[unit] for unit in UNITS})

    def lease_closed(self, data: dict):
        self.seen["fenced"] += data["reason"] in ("recalled", "expired")
        lease = self.lease(data, "closed")
        if lease.closed_at:
            self.fail("law 3", f"{data['lease']} is closed twice")
        lease.closed_at = self.position
        lease.at_close = (*lease.recorded(), dict(lease.open))

    # The end.

    def due(self, alive: set[str]) -> list[str]:
        """What has yet to happen before all is quiet: ends of leases whose holder is gone, and corrections."""
        ends = [f"the end of lease {number} of {holder}" for (holder, number), lease in self.leases.items()
                if not lease.ended and (holder not in alive or lease.closed_at)]
        corrections = [f"the correction of {call}" for call, of in self.unsettled.items()
                       if of["worst"] != of["lease"].open.get(call)]
        return ends + corrections

    def settled(self, alive: set[str]):
        """All is quiet and only these holders live: law 7, and the ledger says what the journals say."""
        if due := self.due(alive):
            self.fail("law 7", f"not settled: {due}")
        events = {key: [0, 0] for key in self.rows if key[0] in self.first_budgets}
        for (holder, _), lease in self.leases.items():
            used, late = lease.recorded() if lease.ended else (lease.used, lease.late)
            for name in lease.open:
                if holder in alive and not self.calls[name]["finish"]:
                    self.fail("law 7", f"{name} has no end though its gateway lives")
            for key in lease.windows:
                if key in events:
                    unit = self.rows[key].unit
                    events[key][0] += used[unit] + late[unit]
                    events[key][1] += sum(worst[unit] for worst in lease.open.values()) if lease.ended else 0
        for key, (spent, open_worst) in events.items():
            row = self.rows[key]
            if (row.posted + row.late, row.unsettled) != (spent, open_worst):
                self.fail("books", f"{row} of {key}; the journals say {spent} spent and {open_worst} open")


def check(events: list[dict], alive: set[str] | None = None) -> Laws:
    """The laws at every prefix of a whole history and, if it is said who lives, at its quiet end."""
    laws = Laws()
    for event in events:
        laws.take(event)
    if alive is not None:
        laws.settled(alive)
    return laws
