"""Finding the entries of a table that have changed."""

from __future__ import annotations

import random
import struct

import pytest

from host_model.mediator.shadow.changes import Changes, changed_entries, changed_places


def table(entries: list[int]) -> bytes:
    return struct.pack("<512Q", *entries)


def changes(places: list[int]) -> Changes:
    """What is found when just these have changed."""
    before = list(range(1, 513))
    after = [entry | 1 << 63 if place in places else entry for place, entry in enumerate(before)]
    assert changed_places(table(after), bytearray(table(before))) == places
    return changed_entries(table(after), bytearray(table(before)))


@pytest.mark.parametrize("places", [[], [0], [511], [5, 70, 71, 500], [63, 64], list(range(1, 64)), list(range(63)), list(range(1, 127))])
def test_single_entries_are_told_one_by_one(places: list[int]) -> None:
    assert changes(places) == ([], places)


def test_what_was_written_through_is_told_as_runs_and_the_rest_besides() -> None:
    assert changes(list(range(512))) == ([slice(0, 512)], [])
    assert changes(list(range(64))) == ([slice(0, 64)], [])
    assert changes([*range(60, 200), 300, *range(448, 512)]) == ([slice(64, 192), slice(448, 512)], [*range(60, 64), *range(192, 200), 300])
    assert changes([*range(64), *range(128, 192)]) == ([slice(0, 64), slice(128, 192)], [])


def test_a_part_whose_ends_have_changed_counts_as_written_through() -> None:
    assert changes([64, 127]) == ([slice(64, 128)], [])


def test_nothing_that_has_changed_is_missed() -> None:
    rng = random.Random(3)
    for _ in range(200):
        before = [rng.getrandbits(64) for _ in range(512)]
        after = list(before)
        for _ in range(rng.randrange(6)):
            first = rng.randrange(512)
            for place in range(first, min(first + rng.choice((1, 2, 64, 100, 300)), 512)):
                after[place] ^= 1 << rng.randrange(64)
        expected = {place for place in range(512) if after[place] != before[place]}
        found = changed_entries(table(after), bytearray(table(before)))
        told = {place for run in found.runs for place in range(run.start, run.stop)}
        assert told.isdisjoint(found.places) and sorted(found.places) == found.places
        assert expected - told == set(found.places)
        assert set(changed_places(table(after), bytearray(table(before)))) == expected
