"""What came of a campaign: a short record of each unit, from which everything that is reported is made."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from ..outcome import GuestRecord, Json, Outcome, ScenarioResult
from .plan import Plan, Unit

__all__ = ("CampaignResult", "UnitResult")


def _digest(guests: Iterable[GuestRecord]) -> str:
    """Of all that guests did and saw on the bus, and when."""
    digest = sha256()
    for guest in guests:
        digest.update(f"{guest.name}\n".encode())
        digest.update("".join(f"{time} {kind.name} {size} {offset} {value}\n" for time, kind, size, offset, value in guest.accesses).encode())
    return digest.hexdigest()


class UnitResult(NamedTuple):
    """What came of a unit: a function of the unit, wherever it was played."""

    unit: Unit
    outcome: Outcome
    reason: str
    """Why it failed or was skipped; empty otherwise."""
    checks: int = 0
    accesses: int = 0
    duration_ns: int = 0
    """On the guests' clock."""
    digest: str = ""
    """SHA-256 of every access of its guests, in hexadecimal; empty when it was not played to an end."""

    @classmethod
    def of(cls, unit: Unit, played: ScenarioResult) -> UnitResult:
        """What is kept of a scenario that was played."""
        return cls(unit, played.outcome, played.reason, len(played.checks), played.accesses, played.duration_ns, _digest(played.guests))

    @classmethod
    def lost(cls, unit: Unit, why: str) -> UnitResult:
        """Nothing came back of it."""
        return cls(unit, Outcome.FAILED, why)

    @property
    def was_lost(self) -> bool:
        """Nobody knows what came of it: whoever played it did not come back."""
        return not self.digest

    def to_json(self) -> Json:
        """For journals and ``--json``."""
        return {
            **self.unit._asdict(),
            "outcome": self.outcome.value, "reason": self.reason,
            "checks": self.checks, "accesses": self.accesses, "duration_ns": self.duration_ns, "digest": self.digest,
        }  # fmt: skip


class CampaignResult(NamedTuple):
    """What came of a whole campaign."""

    version: str
    """Of the kit."""
    plan: Plan
    results: tuple[UnitResult, ...]
    """In the order of the plan, one for each unit."""

    @property
    def ok(self) -> bool:
        """Something was played, and nothing failed."""
        return self.count(Outcome.FAILED) == 0 and self.count(Outcome.PASSED) > 0

    def count(self, outcome: Outcome) -> int:
        """Units that ended so."""
        return sum(result.outcome is outcome for result in self.results)

    @property
    def failures(self) -> tuple[UnitResult, ...]:
        """Those that failed."""
        return tuple(result for result in self.results if result.outcome is Outcome.FAILED)

    def to_json(self) -> Json:
        """For ``--json``."""
        return {
            "ok": self.ok,
            "version": self.version,
            **self.plan.to_json(),
            "passed": self.count(Outcome.PASSED),
            "failed": self.count(Outcome.FAILED),
            "skipped": self.count(Outcome.SKIPPED),
            "failures": [{**result.unit._asdict(), "reason": result.reason, "command": result.unit.command} for result in self.failures],
            "results": [result.to_json() for result in self.results],
        }
