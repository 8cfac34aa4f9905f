"""Random guests against the mediator and against a naive model of the register rules.

Invariant: whatever two guests do, nothing is raised, every value read is the one the rules say, and nobody reaches what is
another's: memory, table entries, fences. A failure is made small and printed as a test to paste below.
"""

from __future__ import annotations

import random

import pytest
from support.byte_script import ACT_BYTES, Act, Kind, acts_of, describe
from support.duel import Duel, run_script
from support.sample import sampled
from support.shrink import hold

from pvinfo.platform import PLATFORMS

ACTS_PER_GUEST = 200
"""A program's length: long enough to get into trouble, short enough to be read when it is small."""


def random_script(seed: int, acts: int = ACTS_PER_GUEST) -> bytes:
    return random.Random(seed).randbytes(acts * ACT_BYTES)


def hold_guest(seed: int, platform: str) -> None:
    """Two guests at once, with a monitor each or, for every other seed, without."""
    monitor = seed % 2 == 0
    hold(
        random_script(seed), lambda some: run_script(some, platform, monitor=monitor),
        lambda small: describe(list(acts_of(small, Duel(platform).layout))), f"run_script({{}}, {platform!r}, monitor={monitor})", ACT_BYTES,
    )  # fmt: skip


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("seed", sampled(range(5), {0}))
def test_a_few_random_guests_see_what_the_rules_say(platform: str, seed: int) -> None:
    hold_guest(1001 * seed, platform)


@pytest.mark.fuzz
@pytest.mark.parametrize("platform", PLATFORMS)
def test_many_random_guests_see_what_the_rules_say(platform: str, request: pytest.FixtureRequest) -> None:
    share = max(request.config.getoption("--fuzz-acts") // (ACTS_PER_GUEST * len(PLATFORMS)), 1)
    first = request.config.getoption("--fuzz-seed")
    for seed in range(first, first + share):
        hold_guest(seed, platform)


def test_a_guest_of_zeros_only_reads() -> None:
    run_script(bytes(50 * ACT_BYTES))


def test_a_program_cut_off_in_the_middle_of_an_act_is_still_a_program() -> None:
    duel = run_script(random_script(7, 3)[:-5])
    assert duel.acts >= 3


def test_the_same_seed_gives_the_same_guest() -> None:
    layout = Duel().layout
    assert list(acts_of(random_script(5), layout)) == list(acts_of(random_script(5), layout))
    assert list(acts_of(random_script(5), layout)) != list(acts_of(random_script(6), layout))


# ---- what was found ----


def test_what_a_frame_has_shown_stays_shown_when_a_guest_is_no_longer_trusted() -> None:
    """A flip that nobody is told of, the end of its frame, and then failsafe mode, in which registers are storage."""
    duel = Duel()
    for offset, value in ((0x44404, 0xFFFFFFFF), (0x70008, 1 << 31), (0x7019C, 0x5000)):
        duel.act(Act(0, Kind.WRITE, offset, 4, value))
    duel.act(Act(0, Kind.WAIT, 20_000_000, 4, 0))
    duel.act(Act(0, Kind.WRITE, 0x78808, 4, 1))
    vgpu = duel.guests[0].vgpu
    assert vgpu.failsafe
    duel.act(Act(0, Kind.READ, 0x701AC, 4, 0))
    assert vgpu.mmio.read32(0x701AC) == 0x5000
    duel.check()
