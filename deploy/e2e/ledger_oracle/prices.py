"""What a call costs, worked out anew from the public rules: in whole pico-dollars, rounded up once to nano-dollars."""

import dataclasses
import datetime

# Each token is charged once, at the first of these rates that it is reported under; the rest of input and output at theirs.
INPUT = ("cached", "cache_write", "cache_write_1h")
OUTPUT = ("reasoning",)
INSTEAD = {"cached": ("input",), "cache_write": ("input",), "cache_write_1h": ("cache_write", "input"), "reasoning": ("output",)}


@dataclasses.dataclass(frozen=True)
class Rates:
    """Pico-dollars for a token; nano-dollars for a call."""

    a_token: dict[str, int]
    call: int = 0

    def of(self, name: str) -> int:
        return next(self.a_token[rate] for rate in (name, *INSTEAD.get(name, ())) if rate in self.a_token)

    def charge(self, tokens: dict) -> int:
        pico = 1_000 * self.call
        for whole, parts in (("input", INPUT), ("output", OUTPUT)):
            left = tokens[whole]
            for part in parts:
                charged = min(left, tokens.get(part, 0))
                left -= charged
                pico += charged * self.of(part)
            pico += left * self.of(whole)
        return -(-pico // 1_000)

    def toml(self) -> str:
        call = [f'call = "${self.call / 10**9:.9f}"'] if self.call else []
        return ", ".join([f'{name} = "${rate / 10**6:.6f}/M"' for name, rate in self.a_token.items()] + call)


@dataclasses.dataclass(frozen=True)
class Variant:
    """Other rates for some calls: all that it names must be so."""

    rates: Rates
    context_above: int | None = None
    tier: str | None = None
    # Minutes of the day in UTC, from the first to the first after.
    hours: tuple[tuple[int, int], ...] = ()

    def applies(self, tokens: dict, began: datetime.datetime) -> bool:
        minute = began.hour * 60 + began.minute
        return (
            (self.context_above is None or tokens["input"] > self.context_above)
            and (self.tier is None or tokens.get("tier", "standard") == self.tier)
            and (not self.hours or any(first <= minute < after for first, after in self.hours))
        )

    def toml(self) -> str:
        words = [self.rates.toml()]
        words += [f"context_above = {self.context_above}"] if self.context_above is not None else []
        words += [f'tier = "{self.tier}"'] if self.tier else []
        spans = [f'{{ from = "{clock(first)}", to = "{clock(after)}" }}' for first, after in self.hours]
        words += [f"hours = [{', '.join(spans)}]"] if spans else []
        return f"{{ {', '.join(words)} }}"


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@dataclasses.dataclass(frozen=True)
class Price:
    """Of a model from a day on; of the variants that apply, the last counts."""

    rates: Rates
    variants: tuple[Variant, ...] = ()
    since: str = "2026-11-01"
    until: str | None = None

    def charge(self, tokens: dict, began: datetime.datetime) -> int:
        """Nano-dollars."""
        rates = [variant.rates for variant in self.variants if variant.applies(tokens, began)]
        return (rates or [self.rates])[-1].charge(tokens)

    def toml(self) -> str:
        until = f", until = {self.until}" if self.until else ""
        variants = ", ".join(variant.toml() for variant in self.variants)
        return f"{{ from = {self.since}{until}, {self.rates.toml()}, variants = [{variants}] }}"
