"""Machines that are moved to another host, GPU and all, while their guests are at work: saved, destroyed, restored."""

from __future__ import annotations

from functools import partial

from host_model.host import Host
from host_model.mediator.vgpu import Vgpu
from pvinfo.errors import RestoreRefused, SaveRefused
from pvinfo.platform import Engine
from pvinfo.units import MIB, PAGE_SIZE

from ...batch import Batch
from ...driver import GuestDriver
from ...request import Request
from ...state import DriverState
from ..catalogue import scenario
from ..display.acts import check_quiet, check_shown, lit, show_card
from ..needs import Needs
from ..stage import Stage
from ..work.acts import PATIENCE_NS, Gate, at_work, await_that, check_quiet_end, mix, mixed, wait_for_all

_ONE = Needs(moves=True)
_TWO = Needs(vgpus=2, moves=True)
_MOVES = 3
_ROUNDS = 6


class _Story:
    """Work of one driver on all engines, whose order shows; what waits is not waited for."""

    def __init__(self, stage: Stage, driver: GuestDriver) -> None:
        self._stage = stage
        self._driver = driver
        self._result = driver.create_buffer(PAGE_SIZE, "result")
        self._numbers: dict[Engine, list[int]] = {engine: [] for engine in driver.platform.engines}
        self._requests: list[Request] = []

    def go_on(self) -> None:
        """A few requests more for each engine."""
        for place, (engine, numbers) in enumerate(self._numbers.items()):
            for _ in range(_ROUNDS):
                numbers.append(self._stage.random.getrandbits(32))
                self._requests.append(self._driver.submit(engine, mix(self._result.gpu_address + 64 * place, numbers[-1])))

    def check(self, name: str) -> None:
        """All of it was done, in order."""
        wait_for_all(self._requests)
        for place, (engine, numbers) in enumerate(self._numbers.items()):
            self._stage.check(f"what the work of {name} on {engine.value} leaves", self._result.read_dword(64 * place), mixed(numbers))


def _places(vgpu: Vgpu) -> tuple[range, range]:
    return vgpu.resources.low, vgpu.resources.high


@scenario(needs=_ONE)
def moved_at_work(stage: Stage) -> None:
    """A machine that is moved in the midst of work, three times, loses no request and no interrupt; its driver notices nothing."""
    stage.step("a driver at work")
    driver = at_work(stage)
    story = _Story(stage, driver)
    (vgpu,) = stage.setting.vgpus
    places = _places(vgpu)
    for number in range(_MOVES):
        stage.step(f"work is on its way when the machine is moved, move {number + 1}")
        story.go_on()
        driver.wait(stage.random.randrange(200_000))
        story.go_on()
        stage.move()
        stage.host_view("where its graphics memory lies", _places, places)
        story.go_on()
    stage.step("the work comes to its end")
    story.check("the driver")
    sent = sum(1 for access in stage.guest.accesses if access.kind.value == "interrupt")
    stage.host_view("messages that were sent, by all hosts together, less those that came", lambda vgpu: vgpu.interrupts_sent - sent, 0)
    stage.host_view("what the host accuses it of", lambda vgpu: [finding.rule for finding in vgpu.findings], [])
    check_quiet_end(stage, driver)


@scenario(needs=_TWO)
def moved_together(stage: Stage) -> None:
    """Two machines that are moved together find their own places again, and nothing of each other."""
    stage.step("two drivers at work")
    drivers = [at_work(stage, guest) for guest in stage.guests]
    stories = [_Story(stage, driver) for driver in drivers]
    places = [_places(vgpu) for vgpu in stage.setting.vgpus]
    for story in stories:
        story.go_on()
    stage.step("both machines are moved")
    stage.move()
    for number, place in enumerate(places):
        stage.host_view(f"where the graphics memory of guest {number + 1} lies", _places, place, guest=number)
    for story in stories:
        story.go_on()
    stage.step("their work comes to its end")
    for number, story in enumerate(stories):
        story.check(f"guest {number + 1}")


@scenario(needs=_ONE)
def moved_asleep(stage: Stage) -> None:
    """A machine that is moved while its GPU sleeps wakes up elsewhere."""
    stage.step("a driver works, and suspends")
    driver = at_work(stage)
    story = _Story(stage, driver)
    story.go_on()
    driver.suspend()
    stage.step("the machine is moved, and its driver resumes")
    stage.move()
    stage.host_view("the device sleeps", lambda vgpu: vgpu.config.in_d3, True)
    driver.resume()
    stage.check("the driver is", driver.state, DriverState.READY)
    story.go_on()
    story.check("the driver")
    check_quiet_end(stage, driver)


@scenario(needs=_ONE)
def moved_lit(stage: Stage) -> None:
    """A monitor that shows a picture shows it on the other host as well, and its frames are counted on."""
    stage.step("a driver shows a picture")
    driver, screen = lit(stage)
    _, rows = show_card(stage, screen, "before the move")
    frames = screen.frames
    stage.step("the machine is moved")
    stage.move()
    stage.check("frames between one host and the other", screen.frames - frames, 0)
    check_shown(stage, "after the move", rows)
    stage.check("the next frame's end is told", screen.wait_for_vblank(), frames + 1)
    stage.step("another picture is shown")
    show_card(stage, screen, "another one")
    check_quiet(stage, driver)


@scenario(needs=_ONE)
def moved_unloaded(stage: Stage) -> None:
    """A driver that is loaded after the move finds a device as any other."""
    stage.step("a driver comes and goes, and the machine is moved")
    driver = at_work(stage)
    driver.unload()
    stage.move()
    stage.step("another driver comes")
    story = _Story(stage, driver := at_work(stage))
    story.go_on()
    story.check("the driver")
    check_quiet_end(stage, driver)


@scenario(needs=_ONE)
def move_refused(stage: Stage) -> None:
    """A host on which the guest would not find what it had refuses it by name, and the guest goes on where it is."""
    stage.step("a driver at work")
    driver = at_work(stage)
    story = _Story(stage, driver)
    story.go_on()
    stage.step("hosts of another kind are asked")
    host = stage.setting.host
    assert host is not None
    own, aperture = stage.platform.name, host.gpu.aperture_size
    other = "bdw" if own != "bdw" else "skl"
    crowded = Host(own, aperture_size=aperture)
    crowded.plug(low_at=stage.setting.vgpus[0].resources.low.start)
    for words, target, rule in (
        ("of another platform", Host(other, aperture_size=aperture), "platform"),
        ("with another aperture", Host(own, aperture_size=2 * max(aperture, 256 * MIB)), "aperture"),
        ("where the place is taken", crowded, "no-room"),
    ):
        before = (len(target.vgpus), target.pool.free)
        error = stage.check_raises(f"the move to a host {words} ends with", RestoreRefused, partial(stage.move, target))
        stage.check("the rule it names", error.rule, rule)
        stage.check("what that host has made", (len(target.vgpus), target.pool.free), before)
        story.go_on()
    stage.step("the work comes to its end")
    story.check("the driver")
    check_quiet_end(stage, driver)


@scenario(needs=_ONE)
def move_refused_at_work(stage: Stage) -> None:
    """A machine whose GPU does not come to a standstill is not moved: it goes on, and is moved when it can be."""
    stage.step("a batch waits for something that does not come")
    driver = at_work(stage)
    client = driver.open_client("a program")
    result, gate, batch = client.create_buffer(PAGE_SIZE, "result"), Gate(client), Batch()
    gate.guard(batch)
    batch.store_dword(result.gpu_address, 0xC0FFEE)
    waiting = client.submit(Engine.VCS0, batch)
    await_that(stage, driver, "it waits", lambda: gate.reached == 1)
    stage.step("the machine is to be moved")
    error = stage.check_raises("the move ends with", SaveRefused, stage.move)
    stage.check("the engine that it names", error.engine, "vcs0")
    stage.host_view("contexts that run on it", lambda vgpu: vgpu.submission.queues[Engine.VCS0].running is not None, True)
    stage.step("it comes, and the machine is moved")
    gate.open()
    stage.move()
    waiting.wait(PATIENCE_NS)
    stage.check("what the batch stores", result.read_dword(0), 0xC0FFEE)
    check_quiet_end(stage, driver)
