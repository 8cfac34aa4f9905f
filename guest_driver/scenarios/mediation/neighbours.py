"""Guests that share a GPU: each has it for a while, and no one notices what the others do with theirs."""

from __future__ import annotations

from functools import partial

from pvinfo.errors import RequestFailed
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

from ...batch import Rectangle
from ...driver import GuestDriver
from ...request import Request
from ...tiling import Tiling
from ..catalogue import scenario
from ..stage import Stage
from ..work.acts import PATIENCE_NS, at_work, await_spin, check_quiet_end, make_spinner, mix, mixed, wait_for_all
from ..work.picture import Picture
from . import TWO
from .acts import A_WHILE_NS, Neighbour, check_works

_ROUNDS = 6
_AREA = Rectangle(5, 3, 90, 40)


class _Painter:
    """A guest with a picture of its own, and a pattern that it draws there."""

    def __init__(self, stage: Stage, driver: GuestDriver, tiling: Tiling) -> None:
        self._stage = stage
        self.driver = driver
        self._canvas = driver.create_surface(128, 64, 32, tiling, "canvas")
        self._copy = driver.create_surface(128, 64, 32, Tiling.LINEAR, "copy")
        self._expected, self._copied = Picture.noise(stage, self._canvas), Picture.of(self._copy)
        self._sums = driver.create_buffer(PAGE_SIZE, "sums")
        self._numbers: list[int] = []
        self._requests: list[Request] = []

    def draw(self) -> None:
        """Fill a part, copy it elsewhere, and have every engine do sums; nothing is waited for."""
        driver, colour, number = self.driver, self._stage.random.getrandbits(32), self._stage.random.getrandbits(32)
        left, top = self._stage.random.randrange(64), self._stage.random.randrange(32)
        area = Rectangle(left, top, 40, 20)
        self._requests += [driver.fill(self._canvas, colour, area), driver.copy(self._copy, self._canvas, _AREA, (left // 2, top // 2))]
        self._expected.fill(area, colour)
        self._copied.copy(self._expected, _AREA, (left // 2, top // 2))
        self._numbers.append(number)
        self._requests += [driver.submit(engine, mix(self._sums.gpu_address + 64 * place, number)) for place, engine in enumerate(driver.platform.engines)]

    def check(self) -> None:
        """All is done, and looks as it should."""
        wait_for_all(self._requests)
        self._requests.clear()
        self._stage.check("pixels of its canvas that are not as they should be", Picture.of(self._canvas).differing(self._expected), [])
        self._stage.check("pixels of its copy that are not", Picture.of(self._copy).differing(self._copied), [])
        engines = len(self.driver.platform.engines)
        self._stage.check("its sums", [self._sums.read_dword(64 * place) for place in range(engines)], [mixed(self._numbers)] * engines)


@scenario(needs=TWO)
def two_guests_draw(stage: Stage) -> None:
    """Two guests draw at the same time, each its own pattern, and find their own pictures, pixel by pixel."""
    stage.step("both drivers start their engines")
    painters = [_Painter(stage, at_work(stage, guest), tiling) for guest, tiling in zip(stage.guests, (Tiling.X, Tiling.Y), strict=True)]
    changes: list[int] = []
    stage.host_does("counts how often the GPU has changed hands", lambda vgpu: changes.append(vgpu.turn.changes))
    for number in range(_ROUNDS):
        stage.step(f"round {number + 1}")
        for painter in painters:
            painter.draw()
        for painter in painters[:: 1 - 2 * (number % 2)]:
            painter.check()
    stage.step("all is drawn")
    stage.host_view("the GPU has changed hands at least as often as there were rounds", lambda vgpu: vgpu.turn.changes - changes[0] >= _ROUNDS, True)
    for painter in painters:
        check_quiet_end(stage, painter.driver)


@scenario(needs=TWO)
def neighbour_hangs(stage: Stage) -> None:
    """A guest that hangs an engine and resets it itself loses its own work; the neighbour's, which had to wait, is then done."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for engine in driver.platform.engines:
        stage.step(f"{engine.value} spins for the first guest, and the neighbour submits")
        spinner = make_spinner(driver.client)
        request = driver.submit(engine, spinner)
        await_spin(stage, driver, spinner)
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


@scenario(needs=TWO)
def neighbour_never_yields(stage: Stage) -> None:
    """A guest that keeps the GPU for ever while another waits has its work ended by the host; both go on, and it alone has lost."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines; one begins to spin")
    driver = at_work(stage)
    spinner = make_spinner(driver.client)
    request = driver.submit(Engine.VCS0, spinner)
    await_spin(stage, driver, spinner)

    stage.step("the neighbour wants the GPU")
    began = neighbour.driver.machine.clock.now_ns()
    neighbour.check()
    waited = neighbour.driver.machine.clock.now_ns() - began
    stage.check("it has waited for more than a second, and for less than five", 1_000_000_000 < waited < 5_000_000_000, True)
    stage.expect_finding("work-without-end", times=1)
    stage.check("the work that spun is done", request.complete, False)

    stage.step("the guest that has lost finds its engine hung, and resets it")
    stage.check("the reset is done", driver.gt.engines[Engine.VCS0].recover("it hangs"), True)
    stage.check_raises("the wait for it ends with", RequestFailed, partial(request.wait, PATIENCE_NS))
    check_works(stage, driver)
    neighbour.check()
