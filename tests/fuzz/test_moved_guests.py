"""Random guests that are moved in the midst of what they do: every value that they read afterwards is still the one the rules say."""

from __future__ import annotations

import random

import pytest
from support.byte_script import ACT_BYTES, acts_of
from support.duel import RAM, Duel
from support.moving import move

from host_model.host import PluggedVgpu
from pvinfo.platform import PLATFORMS

ACTS = 300
MOVES = 8


def live_and_move(seed: int, platform: str, *, acts: int = ACTS, moves: int = MOVES) -> None:
    """Two guests of one host, each beside the naive model; at random points one is saved, destroyed and restored from its bytes."""
    rng = random.Random(seed)
    duel = Duel(platform, monitor=seed % 2 == 0)
    script = list(acts_of(rng.randbytes(acts * ACT_BYTES), duel.layout))
    points = set(rng.sample(range(len(script)), moves))
    for number, act in enumerate(script):
        if number in points:
            guest = duel.guests[rng.randrange(2)]
            guest.take_over(move(PluggedVgpu(guest.vgpu, guest.machine), duel.host, duel.host, RAM))
        duel.act(act)
    duel.check()
    assert duel.host.guard.violations == 0


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("seed", range(3))
def test_a_moved_guest_sees_what_the_rules_say_and_so_does_its_neighbour(platform: str, seed: int) -> None:
    live_and_move(seed, platform)


@pytest.mark.fuzz
@pytest.mark.parametrize("platform", PLATFORMS)
def test_many_moved_guests_see_what_the_rules_say(platform: str, request: pytest.FixtureRequest) -> None:
    share = max(request.config.getoption("--fuzz-acts") // (10 * ACTS * len(PLATFORMS)), 1)
    first = request.config.getoption("--fuzz-seed")
    for seed in range(first, first + share):
        live_and_move(seed, platform)
