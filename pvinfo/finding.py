"""What a host noticed about a guest: never an exception, always with its cause.

Users' worst pain with GVT-g was "cmd parser error" and "Bad address" with no reason given. A finding says which
rule was broken, by which vGPU, where, with which value, and what the nearest accepted value would have been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple, final

__all__ = ("Finding", "FindingKind", "FindingLog")


class FindingKind(Enum):
    """Guest misbehaviour, gaps of the model and remarks never mix."""

    GUEST_FAULT = "guest fault"
    NOT_MODELLED = "not modelled"
    NOTE = "note"


class Finding(NamedTuple):
    """One thing noticed, and how often."""

    kind: FindingKind
    rule: str
    """Short stable name of the rule: ``ggtt-outside-slice``, ``untracked-register``."""
    vgpu: int
    """Number of the vGPU; 0 is the host itself."""
    where: str
    """Register, table entry or command, with its address."""
    value: int | None
    """The value of the first such act."""
    text: str
    """The rule in a sentence, with what the host did instead."""
    nearest: str
    """The nearest value that would have been accepted; empty where there is none."""
    occurrences: int


@final
class FindingLog:
    """The findings of one vGPU: equal ones (kind, rule, place) are counted, not repeated. ``vgpu`` is whose they are from now on:
    that of a GPU which vGPUs have in turn follows the engine that works.

    At most ``limit`` different places are kept per rule, so that a hostile guest cannot fill the host's memory;
    what comes after is counted under the place ``"(more places)"``.
    """

    def __init__(self, vgpu: int, *, limit: int = 64) -> None:
        self.vgpu = vgpu
        self.limit = limit
        self.on_first: Callable[[Finding], None] | None = None
        """Called once for each new finding, for live display."""
        self._found: dict[tuple[FindingKind, str, str, int], Finding] = {}
        self._places: dict[tuple[FindingKind, str], int] = {}

    def add(
        self, kind: FindingKind, rule: str, where: str, text: str, *, value: int | None = None, nearest: str = "", vgpu: int | None = None
    ) -> None:
        """Note that ``rule`` was met at ``where``; ``vgpu`` says by whom, where it is not whose the log is now."""
        number = self.vgpu if vgpu is None else vgpu
        key = (kind, rule, where, number)
        known = self._found.get(key)
        if known is None and self._places.get((kind, rule), 0) >= self.limit:
            where = "(more places)"
            key = (kind, rule, where, number)
            known = self._found.get(key)
        if known is not None:
            self._found[key] = known._replace(occurrences=known.occurrences + 1)
            return
        self._places[kind, rule] = self._places.get((kind, rule), 0) + 1
        finding = Finding(kind, rule, number, where, value, text, nearest, 1)
        self._found[key] = finding
        if self.on_first is not None:
            self.on_first(finding)

    def fault(
        self, rule: str, where: str, text: str, *, value: int | None = None, nearest: str = "", vgpu: int | None = None
    ) -> None:
        """The guest broke a rule."""
        self.add(FindingKind.GUEST_FAULT, rule, where, text, value=value, nearest=nearest, vgpu=vgpu)

    def not_modelled(self, rule: str, where: str, text: str, *, value: int | None = None) -> None:
        """The guest used something this model lacks."""
        self.add(FindingKind.NOT_MODELLED, rule, where, text, value=value)

    def note(self, rule: str, where: str, text: str, *, value: int | None = None) -> None:
        """Worth knowing, nobody's fault."""
        self.add(FindingKind.NOTE, rule, where, text, value=value)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def of_rule(self, rule: str) -> tuple[Finding, ...]:
        """The findings of one rule."""
        return tuple(finding for finding in self if finding.rule == rule)

    def forget(self, vgpu: int) -> None:
        """Forget what was noticed of vGPU number ``vgpu``, which is no more."""
        for key in [key for key in self._found if key[3] == vgpu]:
            del self._found[key]
            self._places[key[:2]] -= 1

    def clear(self) -> None:
        """Forget everything."""
        self._found.clear()
        self._places.clear()
