"""Page tables that are rewritten while engines are at work.

Two of these stories are told of hardware alone, which reads the driver's own tables whenever it likes. A mediator shadows
them, and brings the shadow up to date when work is begun: what then holds is told among the stories of the mediator.
"""

from __future__ import annotations

from pvinfo.commands.mi.flush import FlushPostSync
from pvinfo.commands.pipe_control import PipeControlPostSync
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ...request import Request
from ..catalogue import scenario
from ..needs import DeviceKind
from ..stage import Stage
from . import NEEDS
from .acts import PATIENCE_NS, Gate, at_work, await_that, check_content, check_quiet_end, wait_for_all
from .picture import Picture

_PLACE = 0x12_3450_0000
_ROUNDS = 12


@scenario(needs=NEEDS, varies="how much there is to draw, and which engine uses the table")
def table_rewritten_under_load(stage: Stage) -> None:
    """An address leads to another page for every request, while the copy engine draws: each request finds the page of its time."""
    stage.step("the driver starts the engines, and the copy engine is kept busy")
    driver = at_work(stage)
    vm = driver.client.vm
    surface = driver.create_surface(128, 64)
    expected = Picture.noise(stage, surface)
    pages = [driver.memory.allocate(1, f"page {number}") for number in range(_ROUNDS)]
    engines = driver.platform.engines
    load: list[Request] = []
    values = []

    stage.step(f"the table is rewritten {_ROUNDS} times, for one engine or another")
    for number, page in enumerate(pages):
        for _ in range(stage.random.randrange(1, 8)):
            load.append(driver.fill(surface, number))
        mapping = vm.map(page, address=_PLACE)
        values.append(stage.random.getrandbits(32))
        batch = Batch()
        batch.store_dword(_PLACE + 4 * number, values[-1])
        batch.copy_dword(_PLACE + 2048, _PLACE + 4 * number)
        driver.submit(stage.random.choice(engines), batch).wait(PATIENCE_NS)
        vm.unmap(mapping)

    stage.step("the load is done, too")
    wait_for_all(load)
    for row in expected.rows:
        row[:] = (_ROUNDS - 1).to_bytes(4, "little") * (len(row) // 4)
    stage.check("pixels that are not as they should be", Picture.of(surface).differing(expected), [])
    for number, page in enumerate(pages):
        content, stored = bytearray(PAGE_SIZE), values[number].to_bytes(4, "little")
        content[4 * number : 4 * number + 4] = content[2048:2052] = stored
        check_content(stage, page.owner, page.read(0, PAGE_SIZE), bytes(content))
    for page in pages:
        driver.memory.release(page)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def memory_changes_hands(stage: Stage) -> None:
    """Memory that a buffer gives back and another gets belongs to the new one alone, at its address and at the old one."""
    stage.step("the driver starts the engines, and every engine uses a buffer")
    driver = at_work(stage)
    old = driver.create_buffer(PAGE_SIZE, "old")
    place, memory = old.gpu_address, old.address
    for engine in driver.platform.engines:
        batch = Batch()
        batch.store_dword(place, 1)
        driver.submit(engine, batch).wait(PATIENCE_NS)

    stage.step("the buffer goes, and its memory comes back at another address")
    old.release()
    stage.check("the engines come to rest", driver.wait_idle(PATIENCE_NS), True)
    new = driver.create_buffer(PAGE_SIZE, "new", address=_PLACE)
    stage.check("its address", new.gpu_address, _PLACE)
    stage.check("its memory, and what is in it", (new.address, new.read_dword(0)), (memory, 0))
    for number, engine in enumerate(driver.platform.engines):
        batch = Batch()
        batch.store_dword(place, 0xBAD0_0000 + number)
        batch.store_dword(_PLACE + 64 * number, 2 + number)
        driver.submit(engine, batch).wait(PATIENCE_NS)
    content = bytearray(PAGE_SIZE)
    for number in range(len(driver.platform.engines)):
        content[64 * number] = 2 + number
    check_content(stage, "the new buffer", new.read(0, PAGE_SIZE), bytes(content))
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.PHYSICAL,)))
def table_completed_in_time(stage: Stage) -> None:
    """A batch that runs finds a page that was mapped after it began, but before it came there."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for engine in (Engine.RCS0, Engine.BCS0):
        stage.step(f"a batch of {engine.value} waits, short of an address that is not mapped")
        gate, value = Gate(driver.client), stage.random.getrandbits(32)
        batch = Batch()
        gate.guard(batch)
        batch.store_dword(_PLACE, value)
        request = driver.submit(engine, batch)
        await_that(stage, driver, "it has come to the gate", lambda: gate.reached == 1)

        stage.step("a page is mapped there, and the batch goes on")
        page = driver.memory.allocate(1, "page")
        mapping = driver.client.vm.map(page, address=_PLACE)
        gate.open()
        request.wait(PATIENCE_NS)
        stage.check("what it has stored", page.read_dword(0), value)
        driver.client.vm.unmap(mapping)
        driver.gt.invalidate_translations()
        driver.memory.release(page)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.PHYSICAL,)))
def translations_dropped_on_command(stage: Stage) -> None:
    """A batch that has its engine drop what it remembers of page tables finds another page at the same address afterwards."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    vm, result = driver.client.vm, driver.create_buffer(PAGE_SIZE, "written behind the flush")
    for engine in driver.platform.engines:
        stage.step(f"a batch of {engine.value} uses an address, and waits")
        pages = [driver.memory.allocate(1, name) for name in ("one page", "another page")]
        mapping = vm.map(pages[0], address=_PLACE)
        gate, values = Gate(driver.client), [stage.random.getrandbits(32) for _ in pages]
        batch = Batch()
        batch.store_dword(_PLACE, values[0])
        gate.guard(batch)
        if engine is Engine.RCS0:
            batch.pipe_control(result.gpu_address, 1, post_sync=PipeControlPostSync.WRITE_IMMEDIATE, cs_stall=True, invalidate=True)
        else:
            batch.flush_dw(result.gpu_address, 1, post_sync=FlushPostSync.WRITE_IMMEDIATE, invalidate_tlb=True)
        batch.store_dword(_PLACE + 8, values[1])
        request = driver.submit(engine, batch, preemptible=False)
        await_that(stage, driver, "it has come to the gate", lambda: gate.reached == 1)

        stage.step("another page is mapped there, and the batch goes on")
        vm.unmap(mapping)
        mapping = vm.map(pages[1], address=_PLACE)
        gate.open()
        request.wait(PATIENCE_NS)
        for page, content in zip(pages, (values[:1] + [0], [0] + values[1:]), strict=True):
            stage.check(f"what is in {page.owner}", [page.read_dword(0), page.read_dword(8)], content)
        vm.unmap(mapping)
        driver.gt.invalidate_translations()
        for page in pages:
            driver.memory.release(page)
    check_quiet_end(stage, driver)
