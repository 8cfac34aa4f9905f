"""Guests that do what comes to their minds: no story but that of the seed, and still each must find what it has done."""

from __future__ import annotations

from functools import partial
from typing import Final

from pvinfo.errors import RequestFailed

from ...tiling import Tiling
from ..catalogue import scenario
from ..needs import Needs
from ..stage import Stage
from ..work.acts import PATIENCE_NS, at_work, await_spin, make_spinner
from .painter import Painter

_ACTS: Final = 120
_ACTS_OF_A_STEP: Final = 20
_HANGS: Final = 2
"""Hangs of all guests: each keeps the others waiting."""


def _hang(stage: Stage, painter: Painter) -> None:
    """A client of the guest hangs an engine, which its driver resets after a while; what others of its clients have there goes on."""
    driver = painter.driver
    careless, engine = driver.open_client("careless"), stage.random.choice(driver.platform.engines)
    spinner = make_spinner(careless)
    request = careless.submit(engine, spinner)
    await_spin(stage, driver, spinner)
    stage.dawdle()
    stage.check(f"the reset of {engine.value} is done", driver.gt.engines[engine].recover("it spins"), True)
    stage.check_raises("the wait for it ends with", RequestFailed, partial(request.wait, PATIENCE_NS))
    careless.close()


@scenario(needs=Needs(vgpus=3), varies="everything: who does what when, and to what")
def guests_at_random(stage: Stage) -> None:
    """Three guests fill, copy, do sums, pause, look and hang engines as chance has it, and each finds its own work done."""
    stage.step("the drivers start their engines")
    painters = [Painter(stage, at_work(stage, guest), stage.random.choice(tuple(Tiling))) for guest in stage.guests]
    hangs = stage.random.sample(range(_ACTS), _HANGS)
    for number in range(_ACTS):
        if number % _ACTS_OF_A_STEP == 0:
            stage.step(f"acts {number + 1} to {number + _ACTS_OF_A_STEP}")
        painter = stage.random.choice(painters)
        if number in hangs:
            _hang(stage, painter)
            continue
        act = stage.random.choices((painter.fill, painter.copy, painter.sum, painter.check, stage.dawdle), (4, 2, 6, 1, 3))[0]
        act()
    stage.step("all look at what is left")
    for painter in stage.shuffled(painters):
        painter.check()
    for painter in painters:
        stage.check("the engines come to rest", painter.driver.wait_idle(PATIENCE_NS), True)
