"""One vGPU's share of the GPU, as reports and pages show it."""

from __future__ import annotations

from typing import NamedTuple

from pvinfo.units import format_time

from .turn import S, Turn
from .turns import Turns

__all__ = ("Share", "share_of")


class Share(NamedTuple):
    """What a vGPU has had beside the others; the same names as in the JSON."""

    used_ns: int
    share: float
    """Of the time in which the GPU had work."""
    contested_ns: int
    contested_share: float
    """Of the time in which all had work for it: what weights promise."""
    weight: int
    turns: int
    waits: int
    waited_ns: int
    worst_wait_ns: int
    worst_wait_bound_ns: int | None
    """None: no bound, or not among those who share."""
    starved: int

    @property
    def worst_wait(self) -> str:
        """In words."""
        bound = "" if self.worst_wait_bound_ns is None else f", never more than {format_time(self.worst_wait_bound_ns, 3)}"
        return f"{format_time(self.worst_wait_ns, 3)}{bound}"

    @property
    def text(self) -> str:
        """In a line."""
        contested = f" ({100 * self.contested_share:.1f} % while all wanted it)" if self.contested_ns else ""
        return f"{100 * self.share:.1f} % of the GPU's time{contested}, weight {self.weight}, worst wait {self.worst_wait}"


def share_of(turn: Turn[S] | Turns[S], vgpu: S) -> Share:
    """How ``vgpu`` stands now: on the whole, or on the engines that ``turn`` is about."""
    had = turn.had(vgpu)
    return Share(
        used_ns=had.used_ns,
        share=_part(had.used_ns, turn.used_ns),
        contested_ns=had.contested_ns,
        contested_share=_part(had.contested_ns, turn.contested_ns),
        weight=vgpu.weight,
        turns=had.turns,
        waits=had.waits,
        waited_ns=had.waited_ns,
        worst_wait_ns=had.worst_wait_ns,
        worst_wait_bound_ns=turn.worst_wait_ns(vgpu),
        starved=had.starved,
    )


def _part(part_ns: int, whole_ns: int) -> float:
    return round(part_ns / whole_ns, 6) if whole_ns else 0.0
