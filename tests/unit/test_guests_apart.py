"""What one guest leaves in the GPU's registers is nothing that another one's work could find."""

from __future__ import annotations

import pytest
from support.hostile.guest import HostileGuest
from support.hostile.guest_campaign import results_alone
from support.hostile.honest import HonestWork
from support.hostile.neighbour import Neighbour
from support.hostile.stage import Stage, WatchedVgpu

from pvinfo.platform import PLATFORMS, Engine


def run(device: WatchedVgpu, engine: Engine, number: int) -> None:
    """Have a vGPU's engine do a piece of work in its first context."""
    HonestWork(device.ground, engine, number).submit(device.write)
    for _ in range(40):
        device.step()
    assert device.vgpu.submission.queues[engine].completed == 1


@pytest.mark.parametrize("platform", PLATFORMS)
def test_how_another_guests_context_tiles_is_not_how_this_ones_does(platform: str) -> None:
    """A fresh image enables no bit of the register, so that its restore alone would leave there what was."""
    stage = Stage(PLATFORMS[platform])
    for device in (stage.honest, stage.hostile):
        HostileGuest(device).begin()
    for engine in PLATFORMS[platform].engines:
        stage.hostile.ground.lay_image(engine, 0, {"swctrl": 0x00030003})
        run(stage.hostile, engine, 0)
    neighbour = Neighbour(stage.honest)
    while len(neighbour.results) < 8:
        neighbour.go_on(patiently=True)
    assert neighbour.results == results_alone(8, platform)
