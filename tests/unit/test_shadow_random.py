"""Shadow page tables of guests that write theirs at random, held to a naive reading of the guest's tables."""

from __future__ import annotations

from itertools import accumulate

import pytest
from support.sample import sampled
from support.shadow_acts import RandomTables
from support.shadow_rig import PORTS, ShadowRig

from host_model.mediator.refusal import Refused
from host_model.mediator.shadow.pool import DEFAULT_SHARE
from host_model.mediator.shadow.ppgtt import ProcessTables


def live(seed: int, kind: str, acts: int, *, bad: int = 0, wild: int = 0, share: int = DEFAULT_SHARE) -> RandomTables:
    """A guest's life."""
    guest = RandomTables(seed, kind, bad=bad, wild=wild, share=share)
    for number in range(acts):
        guest.act()
        if number % 8 == 7:
            assert guest.check_pins() or bad or wild or share < DEFAULT_SHARE
    guest.start_over()
    guest.rig.close()
    return guest


@pytest.mark.parametrize("kind", PORTS)
@pytest.mark.parametrize("seed", sampled(range(2), {0}))
def test_the_gpu_finds_what_the_guests_tables_say(kind: str, seed: int) -> None:
    guest = live(seed, kind, 100)
    assert guest.looked_at > 40 and not guest.refusals


@pytest.mark.parametrize("kind", PORTS)
@pytest.mark.parametrize(("bad", "wild"), sampled([(2, 0), (0, 20), (2, 200), (20, 1000)], {(2, 200)}))
def test_what_cannot_be_shadowed_is_refused_and_nothing_else(kind: str, bad: int, wild: int) -> None:
    assert live(100, kind, 60, bad=bad, wild=wild).refusals > 2


@pytest.mark.parametrize("kind", PORTS)
@pytest.mark.parametrize("share", sampled([11, 14, 20], {11}))
def test_a_small_share_of_shadow_memory_costs_time_and_refusals_but_never_what_the_gpu_finds(kind: str, share: int) -> None:
    guest = live(200 + share, kind, 100, share=share)
    assert guest.looked_at > 4 and guest.refusals


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", PORTS)
def test_the_gpu_finds_what_the_tables_of_many_guests_say(kind: str, request: pytest.FixtureRequest) -> None:
    lives = max(request.config.getoption("--fuzz-acts") // 2000, 1)
    first = request.config.getoption("--fuzz-seed")
    for seed in range(first, first + lives):
        live(1_000_000 + seed, kind, 60, bad=seed % 3 * 2, wild=seed % 4 * 40, share=16 if seed % 5 == 4 else DEFAULT_SHARE)


# ---- failure half-way ----


class Story:
    """Tables of every kind, made and changed in three steps, each followed by a use; what may fail is told by number."""

    ROOT = (4, (0x1000,))

    def __init__(self, kind: str, failing: int | None) -> None:
        self.rig = ShadowRig(kind, pages=1104)
        self.rig.allow_64k()
        self.refused = 0
        self.rig.port.failing = set() if failing is None else {failing}
        self.steps = (self._small_pages, self._large_pages, self._everything_else)

    def _small_pages(self) -> None:
        self.rig.chain(0x1000, 0x2000, 0x3000, 0x4000)
        self.rig.set(0x4000, 100, *((0x100 + part) << 12 | 3 for part in range(70)))
        self.rig.set(0x4000, 7, 0x5_0003, 0, 0x5_0003)

    def _large_pages(self) -> None:
        self.rig.set(0x3000, 1, 0x5000 | 1 << 11 | 3, 0x20_0000 | 0x83)
        self.rig.set(0x5000, 32, 0xA_0003)

    def _everything_else(self) -> None:
        self.rig.set(0x4000, 64, *((0x200 + part * 7 % 64) << 12 | 3 for part in range(64)))
        self.rig.set(0x4000, 7, 0x6_0003, 0x7_0003, 0)
        self.rig.set(0x5000, 32, 0xB_0003)
        self.rig.set(0x3000, 2, 0x80 | 3, 0x6003)
        self.rig.set(0x6000, 0, *[0x8_0003] * 3)

    def use(self, tables: ProcessTables | None) -> ProcessTables | None:
        """Announce the space, or use it again."""
        try:
            if tables is None:
                return self.rig.tables.create(*self.ROOT)
            self.rig.tables.pin(tables)
            self.rig.tables.unpin(tables)
        except Refused as why:
            assert why.rule == "ppgtt-not-memory" and why.value
            self.refused += 1
        return tables

    def tell(self, *, look_closely: bool) -> None:
        tables: ProcessTables | None = None
        for step in self.steps:
            step()
            for _ in range(2):
                tables = self.use(tables)
                if look_closely:
                    self.rig.check()
        assert self.refused == len([number for number in self.rig.port.failing if number < self.rig.port.tried]), "a failure is told, once"
        assert self.rig.pinned == self.rig.naive.pins([self.ROOT])
        assert self.rig.tables.destroy(*self.ROOT)
        assert self.rig.port.mapped_pages == 0 and self.rig.tables.tables == 0


MAPPED = (70, 2, 16, 512, 64, 2, 16, 512, 3)
"""Pages that are mapped by what the story writes, in the order in which it does."""


def fail_at(kind: str, number: int, *, look_closely: bool) -> None:
    """Tell the story with one page that cannot be mapped."""
    story = Story(kind, number)
    story.tell(look_closely=look_closely)
    story.rig.close()
    assert story.refused == 1


@pytest.mark.parametrize("kind", PORTS)
def test_a_page_that_cannot_be_mapped_leaves_every_count_exact(kind: str) -> None:
    whole = Story(kind, None)
    whole.tell(look_closely=True)
    whole.rig.close()
    assert whole.refused == 0 and whole.rig.port.tried == sum(MAPPED)
    ends = {end - back for end in accumulate(MAPPED) for back in (0, 1)} - {sum(MAPPED)}
    for number in sorted({0, *ends, *range(0, sum(MAPPED), 17)}):
        fail_at(kind, number, look_closely=number % 4 == 0)


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", PORTS)
def test_a_page_that_cannot_be_mapped_at_any_point_leaves_every_count_exact(kind: str) -> None:
    for number in range(sum(MAPPED)):
        fail_at(kind, number, look_closely=number % 40 == 0)
