"""Sleep: the driver puts its device into D3hot, and goes on after that with what it had."""

from __future__ import annotations

from functools import partial

from pvinfo.errors import RequestFailed, StateError
from pvinfo.notify import Notification
from pvinfo.page import PvInfo
from pvinfo.pci import CapabilityId, PowerState
from pvinfo.platform import Engine
from pvinfo.registers import EngineRegisters
from pvinfo.units import PAGE_SIZE

from ...driver import GuestDriver
from ...gt import GtState
from ...request import Request
from ...state import DriverState
from ..access import AccessKind
from ..catalogue import scenario
from ..stage import Stage
from ..work.acts import at_work, await_spin, check_quiet_end, make_spinner, mix, mixed, wait_for_all
from .acts import failsafe_reason


def _power_state(stage: Stage, driver: GuestDriver) -> int:
    return stage.guest.machine.gpu.config.read(driver.pci.capabilities[CapabilityId.POWER_MANAGEMENT] + 4, 2) & 3


def _announcements(stage: Stage) -> int:
    """Of address spaces, so far."""
    return sum(
        access.kind is AccessKind.REGISTER_WRITE and access.offset == PvInfo.g2v_notify.at() and access.value == Notification.PPGTT_L4_PAGE_TABLE_CREATE
        for access in stage.guest.page_accesses()
    )


class _Worker:
    """A client with a buffer that work of its own mixes numbers into, before the sleep and after it."""

    def __init__(self, stage: Stage, driver: GuestDriver) -> None:
        self._stage = stage
        self._driver = driver
        self._client = driver.open_client("a program")
        self._result = self._client.create_buffer(PAGE_SIZE, "result")
        self._numbers: list[int] = []

    def work(self) -> None:
        """Something on each engine, one after the other."""
        requests: list[Request] = []
        for engine in self._driver.platform.engines:
            number = self._stage.random.getrandbits(32)
            requests.append(self._client.submit(engine, mix(self._result.gpu_address, number), after=requests[-1:]))
            self._numbers.append(number)
        wait_for_all(requests)

    def check(self) -> None:
        """All of it was done, once and in order."""
        self._stage.check("what the program's work leaves", self._result.read_dword(0), mixed(self._numbers))


@scenario()
def suspend_resume(stage: Stage) -> None:
    """A driver that puts its device to sleep and wakes it up again goes on with clients, contexts and memory as they were."""
    stage.step("a driver at work")
    driver = at_work(stage)
    worker = _Worker(stage, driver)
    worker.work()

    stage.step("the driver suspends")
    driver.suspend()
    stage.check("the driver is", driver.state, DriverState.SUSPENDED)
    stage.check("the power state", _power_state(stage, driver), PowerState.D3HOT)
    stage.check_raises("work meanwhile is refused with", StateError, worker.work)
    driver.wait(1_000_000_000)

    stage.step("the driver resumes")
    driver.resume()
    stage.check("the driver is", driver.state, DriverState.READY)
    stage.check("the power state", _power_state(stage, driver), PowerState.D0)
    stage.check("the GT is", driver.gt_state, GtState.RUNNING)
    worker.work()
    worker.check()
    check_quiet_end(stage, driver)


@scenario()
def suspend_and_device_reset(stage: Stage) -> None:
    """A device that is reset while it sleeps loses registers and table entries, which are written again, but no address space."""
    stage.step("a driver at work")
    driver = at_work(stage)
    worker = _Worker(stage, driver)
    worker.work()
    announced = _announcements(stage)

    stage.step("the driver suspends, and the machine resets the device before it wakes up")
    driver.suspend()
    stage.guest.machine.gpu.reset()
    stage.host_view("address spaces that are known", lambda vgpu: len(vgpu.tables), announced)
    stage.host_view("the host knows that its guest reads the page", lambda vgpu: vgpu.pv.guest_is_aware, True)
    stage.host_view("pages of the guest that the GPU reaches", lambda vgpu: vgpu.port.mapped_pages, 0)

    stage.step("the driver resumes")
    driver.resume()
    worker.work()
    worker.check()
    stage.check("announcements of address spaces since", _announcements(stage) - announced, 0)
    stage.host_view("why it distrusts the guest", failsafe_reason, None)
    check_quiet_end(stage, driver)


@scenario()
def suspend_with_requests_in_flight(stage: Stage) -> None:
    """What is nearly done is waited for; what spins is given up, and its context is the only one to lose anything by it."""
    stage.step("a driver at work, with requests on their way")
    driver = at_work(stage)
    worker = _Worker(stage, driver)
    guilty = driver.open_client("guilty")
    result = driver.create_buffer(PAGE_SIZE, "result")
    numbers = [stage.random.getrandbits(32) for _ in range(20)]
    pending = [driver.submit(Engine.BCS0, mix(result.gpu_address, number)) for number in numbers]

    stage.step("it suspends before they are done, and resumes")
    driver.suspend()
    stage.check("requests that are done", sum(request.complete for request in pending), len(pending))
    driver.resume()
    stage.check("what they leave", result.read_dword(0), mixed(numbers))

    stage.step("it suspends while a batch spins, and resumes")
    spinner = make_spinner(guilty)
    spinning = guilty.submit(Engine.RCS0, spinner)
    await_spin(stage, driver, spinner)
    driver.suspend()
    driver.resume()
    stage.check_raises("the wait for it ends with", RequestFailed, partial(spinning.wait, 1_000_000))
    stage.check("the GT is", driver.gt_state, GtState.RUNNING)
    worker.work()
    worker.check()
    stage.check("what the driver complains of", [line.rule for line in driver.log.complaints()], ["suspend-busy"])


@scenario()
def submission_asleep(stage: Stage) -> None:
    """A guest that writes to a submission port while its device sleeps writes to nothing."""
    stage.step("a driver suspends")
    driver = at_work(stage)
    driver.suspend()
    stage.step("somebody submits all the same")
    elsp = EngineRegisters.elsp.at("BCS0")
    for dword in (0, 0, 0x20, 0x0010_0109):
        stage.guest.mmio.write32(elsp, dword)
    stage.guest.wait(10_000_000)
    stage.expect_finding("submission-asleep", times=1)
    stage.host_view("work of the guest that waits", lambda vgpu: len(vgpu.submission.queues[Engine.BCS0].waiting), 0)
    stage.step("the driver resumes, and notices nothing of it")
    driver.resume()
    worker = _Worker(stage, driver)
    worker.work()
    worker.check()
    check_quiet_end(stage, driver)
