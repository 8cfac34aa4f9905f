"""A guest's page tables as a plain reading of the manual has them: walked entry by entry, nothing kept, nothing fast."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

__all__ = ("Leaf", "NaiveTables")

PAGE = 4096


class Leaf(NamedTuple):
    """What an address leads to."""

    guest: int
    """Guest-physical address of the 4 KiB page."""
    writable: bool


class _Place(NamedTuple):
    """An entry somewhere in the tables."""

    level: int
    large: bool
    """Its table holds 64 KiB pages."""
    entry: int


class NaiveTables:
    """Tables in memory of ``pages`` pages, read by ``read`` (address, length)."""

    def __init__(self, read: Callable[[int, int], bytes], pages: int, *, large: bool) -> None:
        """``large``: 64 KiB pages are allowed."""
        self._read = read
        self._end = pages * PAGE
        self._large = large

    def _entry(self, table: int, index: int) -> int:
        return int.from_bytes(self._read(table + 8 * index, 8), "little")

    @staticmethod
    def frame(entry: int, size: int = PAGE) -> int:
        return entry % (1 << 46) // size * size

    def _next(self, place: _Place) -> tuple[int, int, bool] | None:
        """The table that an entry leads to: address, level, whether of 64 KiB pages; None for a leaf."""
        level, _, entry = place
        if level == 0 or (level == 1 and entry >> 7 & 1):
            return None
        return self.frame(entry), level - 1, level == 1 and self._large and bool(entry >> 11 & 1)

    @staticmethod
    def roots(levels: int, roots: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
        """The top tables."""
        for root in roots[: 1 if levels == 4 else 4]:
            if root:
                yield NaiveTables.frame(root), 3 if levels == 4 else 1, False

    def translate(self, levels: int, roots: Sequence[int], address: int) -> Leaf | None:
        """Where an address leads; None where nothing is mapped."""
        root = roots[0] if levels == 4 else roots[address >> 30 & 3]
        if not root:
            return None
        table, level, large = self.frame(root), 3 if levels == 4 else 1, False
        writable = True
        while True:
            index = address >> 12 + 9 * level & 511
            if large:
                index -= index % 16
            entry = self._entry(table, index)
            if not entry & 1:
                return None
            writable = writable and bool(entry & 2)
            following = self._next(_Place(level, large, entry))
            if following is None:
                size = PAGE << 9 * level if level else 16 * PAGE if large else PAGE
                return Leaf(self.frame(entry, size) + address % size // PAGE * PAGE, writable)
            table, level, large = following

    def tables(self, spaces: Iterable[tuple[int, Sequence[int]]]) -> tuple[set[tuple[int, int, bool]], bool]:
        """All tables that the spaces lead to, and whether anything in them cannot be shadowed."""
        known: set[tuple[int, int, bool]] = set()
        bad = False
        waiting = [table for levels, roots in spaces for table in self.roots(levels, roots)]
        while waiting:
            table = waiting.pop()
            if table in known:
                continue
            if table[0] >= self._end:
                bad = True
                continue
            known.add(table)
            for place in self._present(table):
                following = self._next(place)
                if place.level == 2 and place.entry >> 7 & 1:
                    bad = True
                elif following is not None:
                    waiting.append(following)
                else:
                    bad = bad or self._pages(place)[-1] >= self._end
        return known, bad

    def _present(self, table: tuple[int, int, bool]) -> dict[_Place, int]:
        """The table's different entries, and how often each stands there."""
        address, level, large = table
        entries = Counter(struct.unpack("<512Q", self._read(address, PAGE))[:: 16 if large else 1])
        return {_Place(level, large, entry): count for entry, count in entries.items() if entry & 1}

    def _pages(self, place: _Place) -> range:
        size = 512 * PAGE if place.level else 16 * PAGE if place.large else PAGE
        first = self.frame(place.entry, size)
        return range(first, first + size, PAGE)

    def pins(self, spaces: Iterable[tuple[int, Sequence[int]]]) -> Counter[int]:
        """How often each page is pinned for the spaces: once per entry of each table, and of each different 2 MiB entry."""
        pins: Counter[int] = Counter()
        huge: set[int] = set()
        for table in self.tables(spaces)[0]:
            for place, count in self._present(table).items():
                if self._next(place) is not None or (place.level and place.entry in huge):
                    continue
                for page in self._pages(place):
                    pins[page] += 1 if place.level else count
                if place.level:
                    huge.add(place.entry)
        return pins

    def huge_entries(self, spaces: Iterable[tuple[int, Sequence[int]]]) -> int:
        """How many different entries of 2 MiB there are."""
        tables = self.tables(spaces)[0]
        return len({place.entry for table in tables for place in self._present(table) if place.level == 1 and self._next(place) is None})

    def some_addresses(self, levels: int, roots: Sequence[int], rng: random.Random, count: int) -> list[int]:
        """Addresses that lead somewhere, or nearly so: found by following entries at random."""
        found: list[int] = []
        starts = [(number, root) for number, root in enumerate(roots[: 1 if levels == 4 else 4]) if root]
        for _ in range(count if starts else 0):
            number, root = rng.choice(starts)
            table, level, large = self.frame(root), 3 if levels == 4 else 1, False
            address = number << 30 if levels == 3 else 0
            while True:
                indices = [index for index, entry in enumerate(struct.unpack("<512Q", self._read(table, PAGE))) if entry] or [0]
                index = rng.choice(indices)
                address |= index << 12 + 9 * level
                entry = self._entry(table, index)
                following = self._next(_Place(level, large, entry))
                if following is None or not entry & 1 or following[0] >= self._end:
                    break
                table, level, large = following
            found.append(address | rng.randrange(1 << 12 + 9 * level) & ~4095 | rng.randrange(0, 4096, 4))
        return found
