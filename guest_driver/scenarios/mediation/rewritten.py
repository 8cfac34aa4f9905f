"""What a guest rewrites between the audit of its work and its execution, or while it runs.

The mediator executes what it has audited: rings and privileged batches are copied first. Page tables are brought up to date
when work is begun; what is written to them later counts from the next work on.
"""

from __future__ import annotations

from pvinfo.gtt_entry import PAGE_CACHED, PageTableEntry
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress

from ...batch import Batch
from ...driver import GuestDriver
from ...request import Request
from ..catalogue import scenario
from ..needs import DeviceKind, Needs
from ..stage import Stage
from ..work.acts import PATIENCE_NS, Gate, at_work, await_that, check_quiet_end, come_to_rest, entry_place
from . import TWO
from .acts import A_WHILE_NS, bound_page, check_works, give_up, submit_in_ring

_PLACE = 0x12_3450_0000
_NO_COMMAND = 0x7F << 23


class _Blockade:
    """The second guest has the GPU, and what the first one submits waits, audited, for its turn."""

    def __init__(self, stage: Stage) -> None:
        stage.step("both drivers start their engines, and the second guest's copy engine waits at a gate")
        self.driver, self._other = at_work(stage), at_work(stage, stage.guests[1])
        come_to_rest(stage, self.driver)
        self._stage = stage
        self._gate, self._request = self._close()

    def _close(self) -> tuple[Gate, Request]:
        gate, batch = Gate(self._other.client), Batch()
        gate.guard(batch)
        request = self._other.submit(Engine.BCS0, batch, preemptible=False)
        await_that(self._stage, self._other, "it has come to the gate", lambda: gate.reached == 1)
        return gate, request

    def close_again(self) -> None:
        """The second guest takes the GPU again."""
        come_to_rest(self._stage, self.driver)
        self._gate, self._request = self._close()

    def check_waits(self, request: Request) -> None:
        """What the first guest has submitted has not begun."""
        self.driver.wait(A_WHILE_NS)
        self._stage.check("the first guest's request is done", request.complete, False)

    def lift(self) -> None:
        """The second guest's work ends."""
        self._gate.open()
        self._request.wait(PATIENCE_NS)


@scenario(needs=TWO, varies="the order of the engines and when the ring is rewritten")
def ring_rewritten_after_audit(stage: Stage) -> None:
    """A ring that is rewritten after its submission is executed as it was submitted: what was audited is a copy, and that runs."""
    blockade = _Blockade(stage)
    driver = blockade.driver
    for engine in stage.shuffled(driver.platform.engines):
        stage.step(f"a store in the ring of {engine.value} is submitted, and becomes what is no command")
        target, value = bound_page(driver, "target"), stage.random.getrandbits(32)
        batch = Batch()
        batch.store_dword(target.address, value, use_global_gtt=True)
        context = driver.client.context(engine)
        request = submit_in_ring(context, batch.words)
        blockade.check_waits(request)
        stage.dawdle()
        context.ring.binding.buffer.write_dwords(request.infix, [_NO_COMMAND] * len(batch.words))

        stage.step("its turn comes")
        blockade.lift()
        request.wait(PATIENCE_NS)
        stage.check("what it has stored", target.buffer.read_dword(0), value)
        blockade.close_again()
    blockade.lift()
    check_quiet_end(stage, driver)


@scenario(needs=TWO)
def batch_rewritten_after_audit(stage: Stage) -> None:
    """A privileged batch that is rewritten after its audit is executed as it was; one without privilege is what it is when it runs."""
    blockade = _Blockade(stage)
    driver = blockade.driver
    neighbour = stage.guests[1].offer.mappable.base
    values = [stage.random.getrandbits(32) for _ in range(3)]
    target, place = bound_page(driver, "target"), bound_page(driver, "privileged batch")
    privileged, start = Batch(), Batch()
    privileged.store_dword(target.address, values[0], use_global_gtt=True)
    privileged.batch_end()
    place.buffer.write(0, privileged.bytes)
    start.batch_start(place.address, privileged=True)
    result, plain = driver.create_buffer(PAGE_SIZE, "result"), driver.create_buffer(PAGE_SIZE, "batch")

    def store(value: int) -> bytes:
        batch = Batch()
        batch.store_dword(result.gpu_address, value)
        batch.batch_end()
        return batch.bytes

    plain.write(0, store(values[1]))

    stage.step("both are submitted, and rewritten")
    requests = [submit_in_ring(driver.client.context(Engine.RCS0), start.words), driver.submit(Engine.VCS0, plain)]
    for request in requests:
        blockade.check_waits(request)
    evil = Batch()
    evil.store_dword(neighbour, 0xBAD0_BAD0, use_global_gtt=True)
    evil.batch_end()
    place.buffer.write(0, evil.bytes)
    plain.write(0, store(values[2]))

    stage.step("their turn comes")
    blockade.lift()
    for request in requests:
        request.wait(PATIENCE_NS)
    stage.check("what the privileged batch has stored", target.buffer.read_dword(0), values[0])
    stage.check("what the other one has", result.read_dword(0), values[2])
    check_quiet_end(stage, driver)


@scenario(needs=TWO)
def tables_rewritten_before_turn(stage: Stage) -> None:
    """Tables that are rewritten before work is begun count as they are then; what leads beyond memory by then has the work dropped."""
    blockade = _Blockade(stage)
    driver = blockade.driver
    pages = [driver.memory.allocate(1, name) for name in ("one page", "another page")]
    mapping = driver.client.vm.map(pages[0], address=_PLACE)
    place = entry_place(driver.client, _PLACE, 0)

    def store(value: int) -> Request:
        batch = Batch()
        batch.store_dword(_PLACE, value)
        return driver.submit(Engine.VECS0, batch)

    def lead_to(address: int) -> None:
        entry = int(PageTableEntry.pointing_to(BusAddress(address))) | PAGE_CACHED
        driver.machine.memory.write(GuestAddress(place), entry.to_bytes(8, "little"))

    stage.step("work waits for its turn, and its page is replaced")
    value = stage.random.getrandbits(32)
    request = store(value)
    blockade.check_waits(request)
    lead_to(pages[1].address)
    blockade.lift()
    request.wait(PATIENCE_NS)
    stage.check("what is in the pages", [page.read_dword(0) for page in pages], [0, value])

    stage.step("work waits again, and its page comes to lie beyond memory")
    blockade.close_again()
    request = store(value)
    blockade.check_waits(request)
    lead_to(driver.machine.memory.size)
    blockade.lift()
    driver.wait(A_WHILE_NS)
    stage.expect_finding("ppgtt-not-memory")
    lead_to(pages[0].address)
    give_up(stage, request)
    driver.client.vm.unmap(mapping)
    check_works(stage, driver)


def _run_up_to_gate(stage: Stage, driver: GuestDriver, engine: Engine, values: list[int]) -> tuple[Gate, Request]:
    """A batch that stores at the place, waits, and stores there once more."""
    gate, batch = Gate(driver.client), Batch()
    batch.store_dword(_PLACE, values[0])
    gate.guard(batch)
    batch.store_dword(_PLACE + 8, values[1])
    request = driver.submit(engine, batch, preemptible=False)
    await_that(stage, driver, "it has come to the gate", lambda: gate.reached == 1)
    return gate, request


@scenario(needs=Needs(devices=(DeviceKind.VGPU,)), varies="the order of the engines and when the table is rewritten")
def tables_rewritten_while_running(stage: Stage) -> None:
    """A page that is mapped while a batch runs is not found by it, nor is one that is taken away lost to it; the next batch finds what is."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    vm = driver.client.vm
    for engine in stage.shuffled(driver.platform.engines):
        pages = [driver.memory.allocate(1, name) for name in ("one page", "another page")]
        values = [stage.random.getrandbits(32) for _ in range(3)]
        stage.step(f"a batch of {engine.value} uses a page, and another takes its place")
        mapping = vm.map(pages[0], address=_PLACE)
        gate, request = _run_up_to_gate(stage, driver, engine, values)
        stage.dawdle()
        vm.unmap(mapping)
        mapping = vm.map(pages[1], address=_PLACE)
        gate.open()
        request.wait(PATIENCE_NS)
        stage.check("what is in the pages", [[page.read_dword(0), page.read_dword(8)] for page in pages], [values[:2], [0, 0]])

        stage.step("the next batch")
        batch = Batch()
        batch.store_dword(_PLACE, values[2])
        driver.submit(engine, batch).wait(PATIENCE_NS)
        stage.check("what is in the pages", [page.read_dword(0) for page in pages], [values[0], values[2]])
        vm.unmap(mapping)
        driver.gt.invalidate_translations()
        stage.check("the engines come to rest", driver.wait_idle(PATIENCE_NS), True)
        for page in pages:
            driver.memory.release(page)
    check_quiet_end(stage, driver)
