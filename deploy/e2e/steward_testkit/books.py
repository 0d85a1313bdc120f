"""After a crash: what clients were answered, the log, the report and the provider's books, held against each other."""

import time

from ledger_oracle.laws import Laws, check
from ledger_oracle.words import plain
from steward_testkit.callers import Caller
from steward_testkit.running import Failed, Steward, wait_for
from steward_testkit.upstream import Upstream

# A lease whose holder is gone may end only after its time to live, 30 s.
SETTLE_SECONDS_MAX = 90


def history(steward: Steward, *arguments, **more) -> list[dict] | None:
    """The tenant's events; none while an answer is to be asked for again, as it is while something is away."""
    try:
        return steward.replay("acme", *arguments, **more)
    except Failed as failed:
        assert "503" in str(failed), failed
        return None


class Books:
    """The tenant acme, at rest: made once traffic has ended and every role runs again."""

    def __init__(self, steward: Steward, upstream: Upstream, answered: list[str], living: list[Caller], url: str | None = None):
        """`living` has a caller at each gateway that runs now. What is wrong is an error that says so."""
        self.steward, self.upstream, self.url = steward, upstream, url
        self.set_budget("$1.00")  # what the traffic left may be too little for one call more
        last = {self.one_more(caller) for caller in living}
        # A lowered limit asks all leases back: the end of those whose holder is gone need not be waited for.
        self.set_budget("$0.000001")
        self.laws = wait_for("all ends and corrections", lambda: self.at_rest(last), SETTLE_SECONDS_MAX)
        self.finished = {name: call["finish"] for name, call in self.laws.calls.items() if call["finish"]}
        self.nothing_is_lost_or_twice(answered + list(last))
        self.provider()
        self.report()
        verified = steward.cli("audit", "verify", "--tenant", "acme", check=False, url=url)
        assert verified.returncode == 0, verified.stdout + verified.stderr

    def set_budget(self, limit: str):
        self.steward.cli("budget", "set", "acme/support", limit, "--per", "day", "--hard", "true", "--tenant", "acme", url=self.url)

    @staticmethod
    def one_more(caller: Caller, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while True:
            status, headers, content = caller.call()
            if status == 200:
                return headers["x-steward-call-id"]
            assert time.monotonic() < deadline, f"no call at port {caller.port} in {seconds:.0f} s: {status} {content}"
            time.sleep(0.05)

    def at_rest(self, last: set[str]) -> Laws | None:
        self.events = history(self.steward, url=self.url)
        if self.events is None:
            return None
        laws = check(self.events)
        holder = {event["data"]["call"]: event["data"]["lease"]["holder"] for event in self.events if event["name"] == "usage.call_started"}
        alive = {holder[call] for call in last}
        running = any(not call["finish"] and holder[name] in alive for name, call in laws.calls.items())
        if running or laws.due(alive):
            return None
        laws.settled(alive)
        return laws

    def nothing_is_lost_or_twice(self, answered: list[str]):
        """Law 4 has no call twice; every answer that a client got whole is a recorded finish, at its price."""
        assert len(set(answered)) == len(answered)
        lost = set(answered) - self.finished.keys()
        assert not lost, f"answered and not in the log: {lost}"
        for call in answered:
            tokens, cost = self.finished[call]["tokens"], self.finished[call]["cost"]
            assert (tokens["input"], tokens["output"], cost) == (7, self.upstream.output_tokens, 1_000 * (7 + self.upstream.output_tokens))

    def provider(self):
        """What was billed has its finish, but for calls whose gateway died meanwhile: these stay held out."""
        billed = [call for call in self.finished.values() if "not_billed" not in call["outcome"]]
        cut = len(self.laws.calls) - len(self.finished)
        assert len(billed) <= len(self.upstream.calls) <= len(billed) + cut, "the log's books and the provider's"
        for call in billed:
            if call["outcome"] == "completed":
                assert (call["tokens"]["input"], call["tokens"]["output"]) == (7, self.upstream.output_tokens)

    def cut(self) -> list[dict]:
        """The most that each call can have cost whose gateway died before it recorded the end."""
        held: dict[str, dict] = {}
        for event in self.events:
            if event["name"] == "ledger.lease_ended":
                held.update({call["call"]: plain(call["worst"]) for call in event["data"]["unsettled"] if plain(call["worst"])["calls"]})
            elif event["name"] == "ledger.lease_corrected":
                held.pop(event["data"]["call"], None)
        return list(held.values())

    def report(self):
        """The cost report is the sum of the events; what a crash cut is in it as the most that it can have cost."""
        events = [call for call in self.finished.values() if "not_billed" not in call["outcome"]]
        sums = {name: sum(call["tokens"][name] for call in events) for name in ("input", "cached", "output")}
        cut = self.cut()
        sums |= {"calls": len(events) + len(cut), "cost": sum(call["cost"] for call in events) + sum(call["money"] for call in cut)}
        sums["estimated"] = sum("estimated" in call["outcome"] for call in events) + len(cut)

        def reported():
            total = plain(self.steward.json("cost", "--tenant", "acme", url=self.url)["total"])
            return {name: total[name] for name in sums}

        wait_for(f"the report {sums}", lambda: reported() == sums, 30)
