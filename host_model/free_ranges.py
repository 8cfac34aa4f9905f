"""Free ranges of a space of addresses: what can still be handed out of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import final

__all__ = ("FreeRanges",)


@final
class FreeRanges:
    """The free part of a space, lowest address first. What is given back joins its free neighbours."""

    def __init__(self, ranges: Iterable[range]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for free in ranges:
            if free:
                self.give_back(free.start, len(free))

    def take(self, size: int, *, top_down: bool = False) -> int | None:
        """The lowest address at which ``size`` are free, taken; None where there is no such hole. ``top_down``: the highest."""
        holes = range(len(self._starts))
        for index in reversed(holes) if top_down else holes:
            start, end = self._starts[index], self._ends[index]
            if end - start >= size:
                at = end - size if top_down else start
                self._cut(index, at, at + size)
                return at
        return None

    def take_at(self, start: int, size: int) -> bool:
        """Take ``[start, start + size)``; False, with nothing taken, when not all of it is free."""
        index = bisect_right(self._starts, start) - 1
        if index < 0 or self._ends[index] < start + size:
            return False
        self._cut(index, start, start + size)
        return True

    def _cut(self, index: int, start: int, end: int) -> None:
        """Take a piece out of a hole."""
        pieces = [(low, high) for low, high in ((self._starts[index], start), (end, self._ends[index])) if low < high]
        self._starts[index : index + 1] = [low for low, _ in pieces]
        self._ends[index : index + 1] = [high for _, high in pieces]

    def give_back(self, start: int, size: int) -> None:
        """Take ``[start, start + size)`` back. Raises: ValueError when any of it is free already."""
        starts, ends = self._starts, self._ends
        end = start + size
        index = bisect_left(starts, start)
        if (index and ends[index - 1] > start) or (index < len(starts) and starts[index] < end):
            raise ValueError(f"[{start:#x}, {end:#x}) is given back, but part of it is free already")
        joins_left = index > 0 and ends[index - 1] == start
        joins_right = index < len(starts) and starts[index] == end
        if joins_left and joins_right:
            ends[index - 1] = ends[index]
            del starts[index], ends[index]
        elif joins_left:
            ends[index - 1] = end
        elif joins_right:
            starts[index] = start
        else:
            starts.insert(index, start)
            ends.insert(index, end)

    @property
    def left(self) -> int:
        """How much is free in all."""
        return sum(self._ends) - sum(self._starts)

    @property
    def longest(self) -> int:
        """How much is free in one piece at most."""
        return max((end - start for start, end in zip(self._starts, self._ends, strict=True)), default=0)
