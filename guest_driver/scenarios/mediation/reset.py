"""Resets while there is work: what each ends, and what survives it.

Source: linux:drivers/gpu/drm/i915/gvt/vgpu.c (intel_gvt_reset_vgpu_locked)
"""

from __future__ import annotations

from functools import partial

from host_model.mediator.failsafe import FailsafeReason
from host_model.mediator.vgpu import Vgpu
from pvinfo.errors import RequestFailed
from pvinfo.page import PvInfo
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ...driver import GuestDriver
from ..catalogue import scenario
from ..stage import Stage
from ..vgpu.acts import RESERVED_WORD, failsafe_reason, is_distrusted, pinned_pages
from ..work.acts import PATIENCE_NS, Gate, at_work, await_spin, await_that, make_spinner, wait_for_all
from . import TWO
from .acts import A_WHILE_NS, Neighbour, check_works


def _spaces(vgpu: Vgpu) -> int:
    """Address spaces of the guest that the host shadows."""
    return len(vgpu.tables)


def _shadows(vgpu: Vgpu) -> int:
    """Shadow tables of the guest's."""
    return vgpu.tables.tables


def _is_at(gate: Gate, number: int) -> bool:
    return gate.reached == number


def _announced(driver: GuestDriver) -> int:
    """Address spaces that the driver has announced: the kernel's, the one that moves memory, and those of clients."""
    return 2 + len(driver.clients)


@scenario(needs=TWO)
def engine_reset_at_work(stage: Stage) -> None:
    """A reset of one engine ends the work of that one alone: another goes on meanwhile, address spaces stay, and all go on afterwards."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines; two of them wait at gates")
    driver = at_work(stage)
    result = driver.create_buffer(PAGE_SIZE, "result")
    gates = {engine: Gate(driver.client) for engine in (Engine.RCS0, Engine.BCS0)}
    requests = []
    for number, (engine, gate) in enumerate(gates.items()):
        batch = Batch()
        gate.guard(batch)
        batch.store_dword(result.gpu_address + 4 * number, number + 1)
        requests.append(driver.submit(engine, batch, preemptible=False))
        await_that(stage, driver, "it has come to its gate", partial(_is_at, gate, 1))
    stage.host_view("address spaces", _spaces, _announced(driver))

    before: list[int] = []
    stage.host_does("counts resets of the whole GT", lambda vgpu: before.append(vgpu.resets["full"]))

    stage.step("the copy engine is reset")
    stage.check("the reset is done", driver.gt.engines[Engine.BCS0].recover("it was asked for"), True)
    stage.check_raises("the wait for its work ends with", RequestFailed, partial(requests[1].wait, PATIENCE_NS))
    stage.check("the render engine's is done", requests[0].complete, False)
    stage.host_view("address spaces", _spaces, _announced(driver))
    stage.host_view("resets of the whole GT meanwhile", lambda vgpu: vgpu.resets["full"] - before[0], 0)

    stage.step("the render engine goes on")
    gates[Engine.RCS0].open()
    wait_for_all(requests[:1])
    stage.check("what both have stored", [result.read_dword(0), result.read_dword(4)], [1, 0])
    check_works(stage, driver)
    neighbour.check()


@scenario(needs=TWO)
def full_reset_at_work(stage: Stage) -> None:
    """A reset of the whole GT ends all work and drops every shadow, but not the address spaces: what the driver hands over anew is done."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines; each waits at a gate")
    driver = at_work(stage)
    result = driver.create_buffer(PAGE_SIZE, "result")
    gate, requests = Gate(driver.client), []
    for number, engine in enumerate(driver.platform.engines):
        batch = Batch()
        gate.guard(batch, number + 1)
        batch.store_dword(result.gpu_address + 4 * number, number + 1)
        requests.append(driver.submit(engine, batch, preemptible=False))
        await_that(stage, driver, "it has come to its gate", partial(_is_at, gate, number + 1))
    before: list[int] = []
    stage.host_does("counts resets of the whole GT", lambda vgpu: before.append(vgpu.resets["full"]))

    stage.step("the driver resets the whole GT")
    stage.check("the reset is done", driver.gt.reset(), True)
    stage.check("the page says that the display is ready", PvInfo(stage.guest.mmio).display_ready, 0)
    stage.host_view("address spaces", _spaces, _announced(driver))
    stage.host_view("resets of the whole GT, of which each takes two", lambda vgpu: vgpu.resets["full"] - before[0], 2)

    stage.step("the gates are opened")
    gate.open(len(requests))
    wait_for_all(requests)
    stage.check("what was stored", [result.read_dword(4 * number) for number in range(len(requests))], [number + 1 for number in range(len(requests))])
    check_works(stage, driver)
    neighbour.check()


@scenario(needs=TWO)
def device_reset_at_work(stage: Stage) -> None:
    """A reset of the device takes its work off the GPU, and all that the host knew; a new driver and the neighbour work as ever."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines; each spins")
    driver = at_work(stage)
    spinners = [make_spinner(driver.client) for _ in driver.platform.engines]
    requests = [driver.submit(engine, spinner) for engine, spinner in zip(driver.platform.engines, spinners, strict=True)]
    for spinner in spinners:
        await_spin(stage, driver, spinner)
    stage.host_view("engines that work", lambda vgpu: sum(queue.running is not None for queue in vgpu.submission.queues.values()), len(requests))

    stage.step("the machine resets the device")
    stage.guest.machine.gpu.reset()
    stage.host_view("engines that work", lambda vgpu: vgpu.submission.is_running or vgpu.submission.has_work, False)
    stage.host_view("address spaces", _spaces, 0)
    stage.host_view("shadow tables", _shadows, 0)
    stage.host_view("pages that the GPU may reach", pinned_pages, 0)
    driver.wait(A_WHILE_NS)
    stage.check("requests that are done", [request for request in requests if request.complete], [])
    neighbour.check()

    stage.step("another driver starts the engines")
    check_works(stage, at_work(stage))
    neighbour.check()


@scenario(needs=TWO)
def trust_lost_at_work(stage: Stage) -> None:
    """A guest that loses the host's trust while its work runs gets nothing more done, until a device reset; the neighbour goes on."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines; one waits at a gate, with more behind it")
    driver = at_work(stage)
    gate, result = Gate(driver.client), driver.create_buffer(PAGE_SIZE, "result")
    batch = Batch()
    gate.guard(batch)
    driver.submit(Engine.VCS0, batch, preemptible=False)
    await_that(stage, driver, "it has come to the gate", lambda: gate.reached == 1)
    batch = Batch()
    batch.store_dword(result.gpu_address, 1)
    behind = driver.submit(Engine.VCS0, batch)

    stage.step("the guest writes to a reserved word of the page")
    stage.guest.mmio.write32(RESERVED_WORD, 1)
    stage.expect_finding("failsafe", times=1)
    stage.host_view("why the host distrusts the guest", failsafe_reason, FailsafeReason.INSUFFICIENT_RESOURCE)
    gate.open()
    driver.wait(A_WHILE_NS)
    stage.check("what waited is done", (behind.complete, result.read_dword(0)), (False, 0))
    stage.check("the guest's registers have become plain storage", is_distrusted(stage.guest), True)
    neighbour.check()

    stage.step("the machine resets the device, and another driver starts the engines")
    stage.guest.machine.gpu.reset()
    stage.host_view("why the host distrusts the guest", failsafe_reason, None)
    stage.host_view("address spaces", _spaces, 0)
    check_works(stage, at_work(stage))
    neighbour.check()
