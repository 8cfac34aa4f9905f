"""One after the other, all for the same time: whoever has waited longest is next, whatever its weight."""

from __future__ import annotations

from typing import Final, final

from .policy import Choice

__all__ = ("RoundRobin",)

SLICE_NS: Final = 2_000_000
"""Some requests' time, and many times what changing hands costs."""


@final
class RoundRobin:
    """A vGPU that is alone keeps the GPU for as long as it likes. While others wait, it has it for one slice.

    Equal slices are equal shares only as long as no work outlasts a slice: what does so is not made up for.
    """

    def __init__(self, *, slice_ns: int = SLICE_NS) -> None:
        self._slice_ns = slice_ns
        self._all: set[int] = set()
        self._line: dict[int, None] = {}
        """Whoever has work, the one that has waited longest first."""
        self._until_ns = 0

    @property
    def name(self) -> str:
        return "round-robin"

    def came(self, vgpu: int, weight: int, now_ns: int) -> None:
        self._all.add(vgpu)

    def left(self, vgpu: int, now_ns: int) -> None:
        self._all.discard(vgpu)
        self._line.pop(vgpu, None)

    def started(self, vgpu: int, now_ns: int) -> None:
        """Nothing changes before it has work."""

    def stopped(self, vgpu: int, now_ns: int) -> None:
        """Nothing changes beyond its being idle."""

    def ready(self, vgpu: int, now_ns: int) -> None:
        self._line[vgpu] = None

    def idle(self, vgpu: int, now_ns: int) -> None:
        self._line.pop(vgpu, None)

    def given(self, vgpu: int | None, now_ns: int) -> None:
        self._until_ns = now_ns + self._slice_ns
        if vgpu in self._line:
            del self._line[vgpu]
            self._line[vgpu] = None

    def used(self, vgpu: int, held_ns: int, busy_ns: int) -> None:
        """Slices are by the clock, so that nothing is to be remembered."""

    def choose(self, current: int | None, now_ns: int) -> Choice:
        following = next((vgpu for vgpu in self._line if vgpu != current), None)
        if following is None:
            return Choice(current)
        if current in self._line and now_ns < self._until_ns:
            return Choice(current, self._until_ns)
        return Choice(following)

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        return (len(self._all) - 1) * (self._slice_ns + longest_ns)
