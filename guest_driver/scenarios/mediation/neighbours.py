"""Guests that share a GPU: each has it for a while, and no one notices what the others do with theirs."""

from __future__ import annotations

from functools import partial

from pvinfo.errors import RequestFailed

from ...tiling import Tiling
from ..catalogue import scenario
from ..stage import Stage
from ..work.acts import PATIENCE_NS, at_work, await_spin, check_quiet_end, make_spinner
from . import TWO
from .acts import A_WHILE_NS, Neighbour, check_works
from .painter import Painter

_ROUNDS = 6


@scenario(needs=TWO, varies="what they draw, the order in which they come, and the pauses")
def two_guests_draw(stage: Stage) -> None:
    """Two guests draw at the same time, each its own pattern, and find their own pictures, pixel by pixel."""
    stage.step("both drivers start their engines")
    painters = [Painter(stage, at_work(stage, guest), tiling) for guest, tiling in zip(stage.guests, (Tiling.X, Tiling.Y), strict=True)]
    changes: list[int] = []
    stage.host_does("counts how often the GPU has changed hands", lambda vgpu: changes.append(vgpu.turn.changes))
    for number in range(_ROUNDS):
        stage.step(f"round {number + 1}")
        for painter in stage.shuffled(painters):
            stage.dawdle()
            painter.draw()
        for painter in stage.shuffled(painters):
            painter.check()
    stage.step("all is drawn")
    stage.host_view("the GPU has changed hands at least as often as there were rounds", lambda vgpu: vgpu.turn.changes - changes[0] >= _ROUNDS, True)
    for painter in painters:
        check_quiet_end(stage, painter.driver)


@scenario(needs=TWO, varies="the order of the engines and when the neighbour comes")
def neighbour_hangs(stage: Stage) -> None:
    """A guest that hangs an engine and resets it itself loses its own work; the neighbour's, which had to wait, is then done."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for engine in stage.shuffled(driver.platform.engines):
        stage.step(f"{engine.value} spins for the first guest, and the neighbour submits")
        spinner = make_spinner(driver.client)
        request = driver.submit(engine, spinner)
        await_spin(stage, driver, spinner)
        stage.dawdle()
        waiting = neighbour.submit(engine)
        neighbour.driver.wait(A_WHILE_NS)
        stage.check("the neighbour's work is done", waiting.complete, False)

        stage.step("the first guest resets its engine")
        stage.check("the reset is done", driver.gt.engines[engine].recover("it spins"), True)
        stage.check_raises("the wait for it ends with", RequestFailed, partial(request.wait, PATIENCE_NS))
        waiting.wait(PATIENCE_NS)
        neighbour.check()
    check_works(stage, driver)
    stage.host_view("engine resets that the first guest has asked for", lambda vgpu: vgpu.resets["engine"] > 0, True)
    stage.host_view("engine resets that the neighbour has asked for", lambda vgpu: vgpu.resets["engine"], 0, guest=1)


@scenario(needs=TWO, varies="the engine that spins, and for how long before the neighbour comes")
def neighbour_never_yields(stage: Stage) -> None:
    """A guest that keeps the GPU for ever while another waits has its work ended by the host; both go on, and it alone has lost."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines; one begins to spin")
    driver = at_work(stage)
    spinner = make_spinner(driver.client)
    engine = stage.random.choice(driver.platform.engines)
    request = driver.submit(engine, spinner)
    await_spin(stage, driver, spinner)
    stage.dawdle()

    stage.step("the neighbour wants the GPU")
    began = neighbour.driver.machine.clock.now_ns()
    neighbour.check()
    waited = neighbour.driver.machine.clock.now_ns() - began
    stage.check("it has waited for more than a second, and for less than five", 1_000_000_000 < waited < 5_000_000_000, True)
    stage.expect_finding("work-without-end", times=1)
    stage.check("the work that spun is done", request.complete, False)

    stage.step("the guest that has lost finds its engine hung, and resets it")
    stage.check("the reset is done", driver.gt.engines[engine].recover("it hangs"), True)
    stage.check_raises("the wait for it ends with", RequestFailed, partial(request.wait, PATIENCE_NS))
    check_works(stage, driver)
    neighbour.check()
