"""Free ranges of a space of addresses: what can still be handed out of it."""

from __future__ import annotations

from bisect import bisect_left
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

    def take(self, size: int) -> int | None:
        """The lowest address at which ``size`` are free, taken; None where there is no such hole."""
        starts, ends = self._starts, self._ends
        for index, start in enumerate(starts):
            left = ends[index] - start - size
            if left >= 0:
                if left:
                    starts[index] = start + size
                else:
                    del starts[index], ends[index]
                return start
        return None

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
