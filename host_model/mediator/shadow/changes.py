"""Which entries of a page table have changed."""

from __future__ import annotations

from itertools import compress
from operator import ne
from typing import Final, NamedTuple

from pvinfo.gtt_entry import ENTRIES_PER_TABLE, ENTRY_SIZE

__all__ = ("Changes", "changed_entries", "changed_places")

_BLOCK: Final = 64
"""Entries that are compared at once."""
_BLOCK_SIZE: Final = _BLOCK * ENTRY_SIZE


class Changes(NamedTuple):
    """Places in a table."""

    runs: list[slice]
    """Parts that were written through and through, in order. A few entries among them may be what they were."""
    places: list[int]
    """Single entries elsewhere."""


def changed_entries(now: bytes, seen: bytearray) -> Changes:
    """Where a table that reads ``now`` differs from what was ``seen`` of it."""
    runs: list[slice] = []
    places: list[int] = []
    for start in range(0, len(now), _BLOCK_SIZE):
        end = start + _BLOCK_SIZE
        new, old = now[start:end], seen[start:end]
        if new == old:
            continue
        first = start // ENTRY_SIZE
        if new[:ENTRY_SIZE] != old[:ENTRY_SIZE] and new[-ENTRY_SIZE:] != old[-ENTRY_SIZE:]:
            # Drivers write entries that follow each other: with both ends changed, so is what lies between.
            if runs and runs[-1].stop == first:
                first = runs.pop().start
            runs.append(slice(first, end // ENTRY_SIZE))
        else:
            places += compress(range(first, first + _BLOCK), map(ne, memoryview(new).cast("Q"), memoryview(old).cast("Q")))
    return Changes(runs, places)


def changed_places(now: bytes, seen: bytearray) -> list[int]:
    """All entries that differ, in order."""
    return list(compress(range(ENTRIES_PER_TABLE), map(ne, memoryview(now).cast("Q"), memoryview(seen).cast("Q"))))
