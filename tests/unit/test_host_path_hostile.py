"""A hostile guest beside the host's own driver: what the host computes comes out as it does without any guest."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

import pytest
from support.hostile.campaign import random_program
from support.hostile.driver import ACT_BYTES
from support.hostile.guest import HostileGuest
from support.hostile.honest import HonestWork
from support.hostile.stage import Stage
from support.own_device import PATIENCE_NS, probed

from guest_driver import Batch, GuestDriver, Rectangle, Tiling
from host_model.mediator.scheduler.fair import Fair
from pvinfo.platform import PLATFORMS, Engine

ACTS = 700
ACTS_A_PIECE = 25
SLICE_NS = 100_000


def new_stage(platform: str) -> Stage:
    policy = Fair(period_ns=2 * SLICE_NS, least_slice_ns=SLICE_NS, credit_ns=SLICE_NS)
    return Stage(PLATFORMS[platform], scheduler=policy, patience_ns=4 * SLICE_NS)


def results(stage: Stage, between: Callable[[int], None]) -> list[str]:
    """What the host's pieces of work come to: pictures that are drawn over each other, and numbers that every engine stores."""
    own = stage.host.own_device()
    driver = probed(GuestDriver(own.machine))
    rng = random.Random(11)
    source, canvas = (driver.create_surface(64, 64, tiling=Tiling.X, name=name) for name in ("source", "canvas"))
    source.write(0, rng.randbytes(source.size))
    driver.fill(canvas, 0).wait(PATIENCE_NS)
    found = []
    for piece in range(ACTS // ACTS_A_PIECE):
        between(piece)
        number = rng.randrange(1 << 32)
        batch = Batch()
        batch.store_dword(canvas.gpu_address + 4 * rng.randrange(canvas.size // 4), number)
        requests = [
            driver.fill(canvas, rng.randrange(1 << 24), Rectangle(rng.randrange(32), rng.randrange(32), 1 + rng.randrange(30), 1 + rng.randrange(30))),
            driver.copy(canvas, source, Rectangle(rng.randrange(32), rng.randrange(32), 16, 16), (rng.randrange(48), rng.randrange(48))),
        ]
        for request in requests:
            request.wait(PATIENCE_NS)
        driver.submit(rng.choice(list(Engine)), batch).wait(PATIENCE_NS)
        found.append(sha256(canvas.read(0, canvas.size)).hexdigest())
    assert driver.log.complaints() == () and list(own.device.findings) == []
    return found


@pytest.mark.parametrize(("platform", "seed"), [("skl", 1), ("skl", 2), ("bdw", 3), ("kbl", 4), ("bxt", 5), ("cfl", 6)])
def test_the_hosts_results_are_those_it_has_without_a_guest(platform: str, seed: int) -> None:
    alone = results(new_stage(platform), lambda piece: None)
    stage = new_stage(platform)
    guest = HostileGuest(stage.hostile)
    guest.begin()
    program = random_program(seed, ACTS)

    def act(piece: int) -> None:
        for number in range(piece * ACTS_A_PIECE, (piece + 1) * ACTS_A_PIECE):
            guest.act(program[number * ACT_BYTES : (number + 1) * ACT_BYTES])

    assert results(stage, act) == alone
    assert len(set(alone)) == ACTS // ACTS_A_PIECE
    assert stage.host.guard.violations == 0
    assert len(list(stage.hostile.vgpu.findings)) > 3, "it did wrong, and was told so"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_how_a_guests_context_tiles_is_not_how_the_hosts_do(platform: str) -> None:
    """The guest was there first; the host's first contexts have no state, and would take over what stands in registers."""
    stage = new_stage(platform)
    device = stage.hostile
    HostileGuest(device).begin()
    for engine in PLATFORMS[platform].engines:
        device.ground.lay_image(engine, 0, {"swctrl": 0x00030003})
        HonestWork(device.ground, engine, 0).submit(device.write)
        for _ in range(40):
            device.step()
        assert device.vgpu.submission.queues[engine].completed == 1
    assert results(stage, lambda piece: None) == results(new_stage(platform), lambda piece: None)
