"""What the events of a ledger speak of: amounts, moments, scopes, the rows of budgets, leases and their journals."""

import datetime
import decimal

UNITS = ("calls", "tokens", "money")
NOTHING = dict.fromkeys(UNITS, 0)


def plain(value):
    """Amounts like `$0.000012` as nano-dollars, to be counted with."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return int(decimal.Decimal(value[1:]) * 10**9) if isinstance(value, str) and value.startswith("$") else value


def moment(text: str) -> float:
    """Seconds, of a time as the log writes it."""
    return datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp() + float(f"0.{text[20:-1] or 0}")


def less(amounts: dict, more: dict) -> dict:
    return {unit: max(0, amounts[unit] - more[unit]) for unit in UNITS}


def plus(amounts: dict, more: dict) -> dict:
    return {unit: amounts[unit] + more[unit] for unit in UNITS}


def within(amounts: dict, bound: dict) -> bool:
    return all(amounts[unit] <= bound[unit] for unit in UNITS)


def touches(budget: dict, scopes: dict) -> bool:
    """Whether a budget counts calls of this set of scopes."""
    key = budget["key"]
    path = scopes["path"] == key["scope"] or scopes["path"].startswith(key["scope"] + "/") or key["scope"] == "*"
    return path and all(scopes.get(kind) == which for kind, which in key.get("subject", {}).items())


class Row:
    """What one window of one budget has spent and holds out, in the budget's unit."""

    def __init__(self, unit: str, to):
        self.unit, self.to = unit, to
        self.posted = self.leased = self.unsettled = self.late = 0
        # Beside the ledger's words: what providers billed or may still bill, by the journals.
        self.truth = 0

    def held(self) -> int:
        return self.posted + self.leased + self.unsettled

    def exposure(self) -> int:
        return self.held() + self.late

    def __repr__(self):
        return f"(posted {self.posted}, leased {self.leased}, unsettled {self.unsettled}, late {self.late} {self.unit})"


class Lease:
    """One lease: as the ledger knows it, and as its journal does."""

    def __init__(self, data: dict):
        self.scopes, self.cap = data["scopes"], data["terms"]["cap_total"]
        self.windows = [(window["budget"], window["from"]) for window in data["windows"]]
        self.turn, self.used, self.late, self.ended = 0, NOTHING, NOTHING, False
        self.closed_at, self.at_close = None, None
        # The journal: used and late after each finish, by its position; what calls may still cost.
        self.finishes: list[tuple[int, dict, dict]] = []
        self.open: dict[str, dict] = {}

    def held(self) -> dict:
        return less(self.cap, self.used)

    def recorded(self, through: int | None = None) -> tuple[dict, dict]:
        """What the journal's finishes used and what went beyond, up to a position."""
        for position, used, late in reversed(self.finishes):
            if through is None or position <= through:
                return used, late
        return NOTHING, NOTHING
