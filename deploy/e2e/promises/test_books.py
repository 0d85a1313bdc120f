"""The promise of the books: of thousands of mixed calls the log, the report and what the providers billed are one, to the nano-dollar.

Callers of four APIs ask providers of five kinds over two gateways, at once or streamed. Providers fail, are busy, break off and
hold on; callers leave, come twice under one key, or ask the same at once. Each call is scripted by its number, so all that is
expected follows from the providers' own books and from the prices, which an oracle of its own charges."""

import collections
import dataclasses
import datetime
import random
import time

import pytest

from ledger_oracle.prices import Price, Rates, Variant
from ledger_oracle.words import plain
from steward_testkit.billing import Ledger, all_kinds
from steward_testkit.bills import Bill
from steward_testkit.callers import Caller, crowd, tally
from steward_testkit.cluster import Cluster
from steward_testkit.faces import CHATS, Embeddings, events
from steward_testkit.running import free_port, wait_for
from steward_testkit.upstream import Upstream

BUDGET = 'budget = [{ limit = "$5000", per = "month", hard = true }, { limit = "100000000 tokens", per = "day" }]'
# A stream that is slow is read to its end although its caller left; one that is held is given up after this.
SETTINGS = '[gateway.calls]\nabandoned_time_max = "6s"'
CONTEXT = 120
COMES_BACK_MAX = 5
UNSENT = {"not sent", "it could not share the answer of another call", "the call whose answer it was to share came to nothing"}


Spans = tuple[tuple[int, int], ...]


def around_now() -> tuple[Spans, Spans]:
    """Some six hours to each side, so that no such time ends while a test runs; and the rest of the day."""
    minute = datetime.datetime.now(datetime.timezone.utc).hour * 60
    first, after = (minute - 360) % 1440, (minute + 420) % 1440
    inner, outer = ((first, after),), tuple(span for span in ((0, first), (after, 1440)) if span[0] < span[1])
    return (inner, outer) if first < after else (((first, 1440), (0, after)), ((after, first),))


NOW, ELSE = around_now()

LONG = Rates({"input": 1_999_993, "cached": 200_003, "output": 14_999_981, "reasoning": 15_000_017})
PRICES = {
    "gpt": Price(
        Rates({"input": 1_000_003, "cached": 100_019, "output": 10_000_141, "cache_write": 1_250_057}),
        (Variant(LONG, context_above=CONTEXT), Variant(Rates({"input": 500_009, "cached": 50_021, "output": 5_000_011}), tier="flex"),
         Variant(Rates({"input": 1_000_033, "cached": 100_003, "output": 7_500_013}), tier="flex", context_above=CONTEXT),
         Variant(Rates({"input": 2_000_003, "cached": 200_017, "output": 20_000_003, "cache_write": 2_500_009}), tier="priority")),
    ),
    "claude": Price(
        Rates({"input": 3_000_017, "cached": 300_007, "output": 15_000_017, "cache_write": 3_750_019, "cache_write_1h": 6_000_011}),
        (Variant(Rates({"input": 4_000_037, "cached": 400_009, "output": 20_000_003}), tier="priority"),),
    ),
    "gemini": Price(
        Rates({"input": 750_019, "cached": 75_011, "output": 3_750_043, "reasoning": 3_500_017}),
        (Variant(LONG, context_above=CONTEXT),),
    ),
    "nova": Price(
        Rates({"input": 150_001, "cached": 3_001, "output": 600_011}),
        (Variant(Rates({"input": 300_007, "cached": 6_007, "output": 1_200_007, "cache_write_1h": 333_337}), hours=NOW),
         Variant(Rates({"input": 999_983, "cached": 999_983, "output": 999_983}), hours=ELSE),
         Variant(Rates({"input": 170_003, "cached": 3_011, "output": 650_011}), tier="flex", hours=NOW)),
    ),
    "azure": Price(Rates({"input": 123_457, "cached": 12_347, "output": 765_437}, call=1_234), until="2099-01-01"),
    "spread": Price(Rates({"input": 1_111_111, "cached": 111_111, "output": 3_333_337}), (Variant(LONG, context_above=CONTEXT),)),
    "backup": Price(Rates({"input": 2_222_227, "cached": 222_229, "output": 7_777_777})),
    "kept": Price(Rates({"input": 1_000_003, "cached": 100_019, "output": 4_000_037})),
    "embed": Price(Rates({"input": 20_011, "output": 0})),
}
ROUTES = {
    "gpt": '["openai/mock"]',
    "claude": '["anthropic/mock"]',
    "gemini": '["gemini/mock"]',
    "nova": '["bedrock/eu.anthropic.claude-mock-v1:0"]',
    "azure": '["azure/mock"]',
    "spread": '{ policy = "weighted", targets = ["openai/mock weight=3", "anthropic/mock", "gemini/mock", "bedrock/eu.anthropic.claude-mock-v1:0", "azure/mock"] }',
    # The first is not there, the second fails as the calls say.
    "backup": '["dead/mock", "shaky/mock", "anthropic/mock"]',
    "kept": '["openai/mock"]',
    "embed": '["openai/mock"]',
}
MORE = {"kept": 'cache = { ttl = "10m", coalesce = true }'}


@dataclasses.dataclass(frozen=True)
class Way:
    """One more way to answer a call: a model whose route or policy says so, and what is to happen to its calls."""

    # Words of the command line's help by which it is known that the binary has it.
    known_by: tuple[str, str]
    route: str
    policy: str = ""
    meets: tuple[str, ...] = ()


# A way that comes with a later version has its place here; one that the binary does not know is left out.
WAYS = {
    "canary": Way(("route", "canary="), '["openai/mock", "azure/mock canary=30%"]'),
    "shadowed": Way(("route", "shadow="), '["openai/mock", "gemini/mock shadow=50%"]'),
    "hedged": Way(("route", "--hedge-after"), '{ targets = ["silent/mock", "steady/mock"], terms = { hedge_after = "2000ms" } }', meets=("hang",)),
    "common": Way(("cache", "--shared"), '["openai/mock"]', 'cache = { ttl = "10m", coalesce = true, shared = true }', ("same", "again")),
    "even": Way(("cache", "--shared"), '["openai/mock"]', 'cache = { ttl = "10m", coalesce = "even" }', ("same", "again")),
    "alike": Way(("cache", "--similar"), '["openai/mock"]', 'cache = { ttl = "10m", similar = { model = "embed", threshold = 0.88, mode = "on" } }'),
}
OF_WAYS = Price(Rates({"input": 1_234_567, "cached": 123_457, "output": 3_456_789}))


def ways(steward) -> dict[str, Way]:
    helps = {noun: steward.cli(noun, "set", "--help").stdout for noun in ("route", "cache")}
    return {name: way for name, way in WAYS.items() if way.known_by[1] in helps[way.known_by[0]]}


# What "gpt" costs from the middle of a run on.
LATER = {"input": 1_500_007, "cached": 150_001, "output": 12_000_017}

# What a call meets, and how often of a thousand.
MIX = {"answer": 500, "slow": 40, "fault": 60, "busy": 40, "down": 60, "cut": 60, "leave": 60, "drag": 20, "twice": 50, "same": 50, "again": 60}
SAME = 4


@dataclasses.dataclass(frozen=True)
class Job:
    """One call as a caller makes it."""

    number: int
    face: type
    model: str
    stream: bool
    # What the provider does, and what the caller does: `stays`, `leaves`, or `repeats` under one key.
    script: str
    caller: str
    words: int

    @property
    def body(self) -> dict:
        return self.face.body(self.model, f"call-{self.number} {self.script} {self.words} {'word ' * self.words}", self.stream)


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a caller got."""

    job: Job
    status: int
    headers: dict
    content: str
    # How often it was told to come back before.
    times: int = 0


def jobs(count: int, more: dict[str, Way]) -> list[Job]:
    """So many calls, by lot; those that ask the same stand together, and some ask it again later."""
    lot, made = random.Random(13), []
    mix = MIX | ({"hang": 5} if "hedged" in more else {})
    for number in range(count):
        met = lot.choices(list(mix), list(mix.values()))[0]
        keeps = [name for name, way in more.items() if met in way.meets] + (["kept"] if met in ("same", "again") else [])
        asked = [job for job in made if job.model in keeps]
        again = met == "again" and asked
        job = lot.choice(asked) if again else drawn(lot, number, "answer" if met == "again" else met, keeps, more)
        made += [job] * {"twice": 2, "same": SAME}.get(met, 1)
        if len(made) >= count:
            return made[:count]
    return made


def drawn(lot: random.Random, number: int, met: str, keeps: list[str], more: dict[str, Way]) -> Job:
    script = {"leave": "slow", "twice": "late", "same": "late"}.get(met, met)
    caller = {"leave": "leaves", "drag": "leaves", "twice": "repeats"}.get(met, "stays")
    if keeps:
        model = lot.choice(keeps)
    elif met == "down":
        model = "backup"
    else:
        model = lot.choice([model for model in [*ROUTES, *more] if model not in ("kept", "hedged")])
    face = Embeddings if model == "embed" else lot.choice(CHATS)
    stream = face is not Embeddings and (met == "drag" or lot.random() < 0.5)
    if met == "drag" and not stream:
        script, caller = "answer", "stays"
    return Job(number, face, model, stream, script, caller, lot.randrange(20, 200))


def company(providers, folder, more: dict[str, Way]) -> str:
    lines = []
    for provider in providers:
        secret = folder / f"{provider.name}.key"
        secret.write_text(provider.key)
        lines.append(f'[provider.{provider.name}]\nkind = "{provider.kind}"\nurl = "{provider.url}"\nkey = "file:{secret}"')
    lines.append(f'[provider.dead]\nkind = "openai"\nurl = "http://127.0.0.1:{free_port()}/v1"')
    for model, route in ROUTES.items():
        price = PRICES[model].toml()
        lines.append(f"[model.{model}]\nroute = {route}\nprice = {price}\noutput_max = 64\n{MORE.get(model, '')}")
    for model, way in more.items():
        lines.append(f"[model.{model}]\nroute = {way.route}\nprice = {OF_WAYS.toml()}\noutput_max = 64\n{way.policy}")
    return "\n".join(lines)


class Run:
    """A cluster with providers that keep books, and the calls that were made."""

    def __init__(self, steward, placeholder):
        self.ledger = Ledger()
        self.providers = all_kinds(self.ledger)
        self.cluster = Cluster(steward, placeholder, BUDGET, settings=SETTINGS)
        self.ways = ways(steward)
        file = steward.folder / "models.toml"
        file.write_text(company(self.providers, steward.folder, self.ways))
        steward.cli("apply", file)

    def close(self):
        for provider in self.providers:
            provider.close()

    def make(self, count: int) -> list[Seen]:
        planned = jobs(count, self.ways)

        def one(caller: Caller, place: int) -> Seen:
            if place == count // 2:
                self.cluster.command("price", "set", tenant="steward", model="gpt", price=LATER)
            job = planned[place]
            return self.leave(caller, job) if job.caller == "leaves" else self.stay(caller, job)

        return crowd(self.cluster, len(planned), one, at_once=32)

    @staticmethod
    def stay(caller: Caller, job: Job) -> Seen:
        """Comes back when told that it may, as the official clients do."""
        headers = {"Idempotency-Key": f"call-{job.number}"} if job.caller == "repeats" else None
        for times in range(COMES_BACK_MAX + 1):
            status, told, content = caller.post(job.face.path, job.body, headers)
            if status not in (429, 502, 503) or told.get("x-should-retry") == "false":
                break
            time.sleep(int(told.get("retry-after", 0)) or 0.1)
        return Seen(job, status, told, content, times)

    def leave(self, caller: Caller, job: Job) -> Seen:
        """Goes once the answer has begun, or once the provider has the call, if there is no stream."""
        if job.stream:
            reply = caller.send(job.face.path, job.body)
            text = b""
            while b"word" not in text:
                piece = reply.read1()
                assert piece, (job, text)
                text += piece
            reply.close()
        else:
            caller.ask(job.face.path, job.body)
            wait_for("the call at the provider", lambda: self.ledger.came[job.number])
            time.sleep(0.01)
        caller.close()
        return Seen(job, 0, {}, "")


def check(run: Run, seen: list[Seen]):
    """Everything that must be one."""
    cluster, ledger = run.cluster, run.ledger
    started, finished = wait_for("the end of every call", lambda: all_ended(cluster, ledger), 60)
    asked = {name: dict(call) for name, call in finished.items() if call["source"] == "provider"}
    given = {name: call for name, call in finished.items() if name not in asked}
    put_together(asked, given)
    by_end = {kind: {name: call for name, call in asked.items() if ended(call) == kind} for kind in ("completed", "not_billed", "estimated")}

    # What the providers said is what is booked, call by call: provider, model, and each kind of token.
    booked = collections.Counter((call["provider"], call["upstream_model"], Bill.of(call["tokens"])) for call in by_end["completed"].values())
    assert booked == ledger.of("said"), (booked - ledger.of("said"), ledger.of("said") - booked)
    # Where they could not, the log says so, for as many calls of each provider.
    assert providers(by_end["estimated"]) == ledger.count("silent")
    refused = providers({name: call for name, call in by_end["not_billed"].items() if not unsent(call)})
    dead = refused.pop("dead")
    assert refused == ledger.count("refused")
    assert all(call["cost"] == 0 == call["used"]["money"] for call in by_end["not_billed"].values())

    # Each call costs what the oracle says, at the price that its start names.
    costs = {name: charged(call, started[name]) for name, call in asked.items() if ended(call) != "not_billed"}
    wrong = [(name, cost, asked[name]) for name, cost in costs.items() if asked[name]["cost"] != cost]
    assert not wrong, wrong[:3]
    assert not [call for call in asked.values() if any(call["late"].values())], "no bill is over its worst case"
    later = sum(call["price"]["from"] != "2026-11-01T00:00:00Z" for call in asked.values())
    assert later, "some calls were charged at the price that came in between"

    given_again(given, asked, costs)
    report(cluster, finished, by_end)
    laws = cluster.laws()
    answered(seen, finished, ledger)
    print(f"\nbeside the routes: {', '.join(run.ways) or 'nothing more is known here'}")
    print(f"{len(seen)} calls: {tally(job.job.script + ' ' + job.job.caller for job in seen)}")
    print(f"callers came back: {tally((one.job.script, one.times) for one in seen if one.times)}")
    print(f"attempts by end: { {kind: len(calls) for kind, calls in by_end.items()} }, {dead} at a dead address; given: {sources(given)}")
    print(f"by provider: {dict(providers(asked))}; {later} at the later price; laws over {len(laws.calls)} calls")
    print(f"charged: {sum(costs.values())} nano-dollars, of these estimated {sum(costs[name] for name in by_end['estimated'])}")


def all_ended(cluster: Cluster, ledger: Ledger):
    """The log's calls, once all ended and what came to the providers is among them: some calls are made after their answers."""
    started, finished = cluster.started_and_finished()
    reached = sum(call["source"] == "provider" and call["provider"] != "dead" and not unsent(call) for call in finished.values())
    return started.keys() == finished.keys() and reached >= len(ledger.entries) and (started, finished)


def put_together(asked: dict, given: dict):
    """Where calls bear parts of one, that one is all parts: what its provider billed."""
    for call in given.values():
        if isinstance(call["source"], dict) and "shared" in call["source"] and call["cost"]:
            whole = asked[call["source"]["shared"]["call"]]
            whole["cost"] += call["cost"]
            parts = {kind: count for kind, count in call["tokens"].items() if kind != "tier"}
            whole["tokens"] = whole["tokens"] | {kind: whole["tokens"].get(kind, 0) + count for kind, count in parts.items()}


def ended(call: dict) -> str:
    return call["outcome"] if isinstance(call["outcome"], str) else next(iter(call["outcome"]))


def unsent(call: dict) -> bool:
    """True if it was reserved for, and then certainly went nowhere: it came too late to share, or another was sooner."""
    return ended(call) == "not_billed" and call["outcome"]["not_billed"]["reason"] in UNSENT


def providers(calls: dict) -> collections.Counter:
    return collections.Counter(call["provider"] for call in calls.values())


def sources(given: dict) -> dict:
    return tally(call["source"] if isinstance(call["source"], str) else next(iter(call["source"])) for call in given.values())


def charged(call: dict, start: dict) -> int:
    model, since = call["price"]["model"], call["price"]["from"]
    price = PRICES.get(model, OF_WAYS) if since.startswith("2026-11-01T00:00:00") else Price(Rates(LATER))
    return price.charge(call["tokens"], datetime.datetime.fromtimestamp(start["at"], datetime.timezone.utc))


def given_again(given: dict, asked: dict, costs: dict):
    """Answers that were given again cost nothing but a part that was agreed; what is saved is what they would have cost."""
    prices = {cost for name, cost in costs.items() if asked[name]["source"] == "provider"}
    for call in given.values():
        if call["price"]["model"] == "even" and "shared" in call["source"]:
            continue  # its part was charged with the others'
        assert call["cost"] == 0 and not any(call["used"].values()) and not any(call["late"].values()), call
        if isinstance(call["source"], dict) and "repeated" in call["source"]:
            assert "saved" not in call, call
        else:
            assert call["saved"]["money"] in prices, call


def report(cluster: Cluster, finished: dict, by_end: dict):
    """`steward cost` is the sum of the log, in all and by model."""
    counted = [call for call in finished.values() if ended(call) != "not_billed"]
    sums = collections.defaultdict(collections.Counter)
    for call in counted:
        for part in (call["price"]["model"], "total"):
            sums[part].update(calls=1, cost=call["cost"], estimated=ended(call) == "estimated")
            sums[part].update({kind: call["tokens"][kind] for kind in ("input", "cached", "output")})

    def reported():
        answer = plain(cluster.steward.json("cost", "--tenant", "acme", "--by", "model", url=cluster.cli_url))
        rows = {row["by"]["model"]: row for row in answer["rows"]} | {"total": answer["total"]}
        return {part: {name: row[name] for name in sums["total"]} for part, row in rows.items()}

    wait_for("the report", lambda: reported() == {part: dict(sum) for part, sum in sums.items()}, 30)
    assert sums["total"]["estimated"] == len(by_end["estimated"])


def answered(seen: list[Seen], finished: dict, ledger: Ledger):
    """What callers were told is what is booked; equal calls got equal answers, and under one key one call was made."""
    bills = collections.defaultdict(set)
    for entry in ledger.entries:
        if entry.end == "said":
            bills[entry.number].add((entry.bill.input, entry.bill.cached, entry.bill.output))
    texts = collections.defaultdict(set)
    for one in seen:
        job = one.job
        if job.caller == "leaves":
            continue
        if job.script == "cut":
            assert one.status == (200 if job.stream else 502), one
            assert not job.stream or not whole(one), one
            continue
        assert one.status == 200, one
        assert job.face.used(one.content, job.stream) in bills[job.number], one
        call = finished[one.headers["x-steward-call-id"]]
        if not job.stream:
            assert plain(one.headers["x-steward-response-cost"]) == call["cost"], one
        if job.caller == "repeats":
            texts[job.number].add(said(one))
    made = collections.Counter(entry.number for entry in ledger.entries if entry.end == "said")
    twice = [number for number, answers in texts.items() if len(answers) > 1 or made[number] != 1]
    assert not twice, [(one.headers, one.content) for one in seen if one.job.number == twice[0]] + [e for e in ledger.entries if e.number == twice[0]]


def said(one: Seen) -> str:
    """Of a stream, all events but those that only keep it alive."""
    return repr([event for event in events(one.content) if event.get("type") != "ping"]) if one.job.stream else one.content


def whole(one: Seen) -> bool:
    """True if the stream ended as its API ends one."""
    kinds = [event.get("type") for event in events(one.content)]
    return "[DONE]" in one.content or "message_stop" in kinds or "response.completed" in kinds


@pytest.fixture
def run(steward, upstream: Upstream):
    run = Run(steward, upstream)
    yield run
    run.close()


def test_a_thousand_mixed_calls_are_the_providers_books(run):
    check(run, run.make(1_000))


@pytest.mark.storm
def test_ten_thousand_mixed_calls_are_the_providers_books(run):
    check(run, run.make(10_000))
