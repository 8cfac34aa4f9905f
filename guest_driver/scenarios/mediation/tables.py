"""Page tables that a mediator shadows, whatever shape they have, and those that it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from host_model.mediator.vgpu import Vgpu
from pvinfo.context_image import context_image
from pvinfo.gtt_entry import ENTRY_SIZE, PAGE_CACHED, TABLE_CACHED, PageDirectoryEntry, PageDirectoryPointerEntry, PageTableEntry
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress

from ...batch import Batch
from ...driver import GuestDriver
from ...request import Request
from ..catalogue import scenario
from ..needs import DeviceKind, Needs
from ..stage import Stage
from ..work.acts import PATIENCE_NS, at_work, check_quiet_end, dwords_at, entry_place
from . import TWO
from .acts import Neighbour, refused_once, submit_in_ring

_PLACE = 0x12_3450_0000
_SHARED = 5 << 39
"""An address behind an entry of the root that nothing else uses."""
_ONE = Needs(devices=(DeviceKind.VGPU,))
_ANY_PAGE = GuestAddress(0x10_0000)
_FAR = (1 << 38, 2 << 38, (3 << 38) + 0x10_0000, (1 << 46) - PAGE_SIZE)
"""Where no guest has memory, and where a host may well keep that of its guests."""


def _read(driver: GuestDriver, place: GuestAddress) -> int:
    return int.from_bytes(driver.machine.memory.read(place, ENTRY_SIZE), "little")


def _write(driver: GuestDriver, place: GuestAddress, entry: int) -> None:
    driver.machine.memory.write(place, entry.to_bytes(ENTRY_SIZE, "little"))


def _bus_page(vgpu: Vgpu) -> int:
    """Where the GPU finds a page of a guest's memory."""
    address = vgpu.port.map_guest_page(_ANY_PAGE)
    assert address is not None
    vgpu.port.unmap_guest_page(address)
    return int(address)


@contextmanager
def _mapped(driver: GuestDriver) -> Iterator[None]:
    """A page at the place that these stories are about."""
    page = driver.memory.allocate(1, "page")
    mapping = driver.client.vm.map(page, address=_PLACE)
    yield
    driver.client.vm.unmap(mapping)
    driver.gt.invalidate_translations()
    driver.memory.release(page)


def _store_behind(driver: GuestDriver, engine: Engine, place: GuestAddress, entry: int) -> Request:
    """Rewrite the entry at ``place`` of memory, and have ``engine`` use it."""
    _write(driver, place, entry)
    batch = Batch()
    batch.store_dword(_PLACE, 0x5EC8_E700)
    return driver.submit(engine, batch)


def _refuse_entries(stage: Stage, driver: GuestDriver, rule: str, entries: list[tuple[str, int, int]]) -> None:
    """Each entry, of a table of some level, has the work dropped that would use it; when it is put right, work is done again."""
    engines = driver.platform.engines
    with _mapped(driver):
        for number, (what, level, entry) in enumerate(entries):
            engine = engines[number % len(engines)]
            place = entry_place(driver.client, _PLACE, level)
            before = _read(driver, place)
            submit = partial(_store_behind, driver, engine, place, entry)
            refused_once(stage, driver, f"work behind {what}", rule, submit, partial(_write, driver, place, before))


@scenario(needs=TWO)
def tables_beyond_memory(stage: Stage) -> None:
    """Entries that lead where the guest has no memory are not shadowed, be it nobody's, the host's or the neighbour's."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    behind = stage.guest.machine.memory.size
    entries = [(f"an entry that leads to {frame:#x}", 0, int(PageTableEntry.pointing_to(BusAddress(frame))) | PAGE_CACHED) for frame in (behind, *_FAR)]
    entries += [
        (f"a directory whose table is at {frame:#x}", level, int(PageDirectoryEntry.pointing_to(BusAddress(frame))) | TABLE_CACHED)
        for level, frame in ((1, behind), (2, _FAR[0]), (3, _FAR[1]))
    ]
    theirs: list[int] = []
    if stage.host_does("looks where the GPU finds the neighbour's memory", lambda vgpu: theirs.append(_bus_page(vgpu)), guest=1):
        entries.append(("an entry that leads to the neighbour's memory", 0, int(PageTableEntry.pointing_to(BusAddress(theirs[0]))) | PAGE_CACHED))
    _refuse_entries(stage, driver, "ppgtt-not-memory", entries)
    neighbour.check()


@scenario(needs=TWO)
def tables_of_1_gib_pages(stage: Stage) -> None:
    """An entry for 1 GiB at once is refused, though hardware knows it: GVT-g shadows no such page."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    whole = int(PageDirectoryPointerEntry.of(PageDirectoryPointerEntry.pointing_to(BusAddress(0)), page_size=1)) | TABLE_CACHED
    _refuse_entries(stage, driver, "ppgtt-1g-page", [("an entry for 1 GiB", 2, whole)])
    neighbour.check()


@scenario(needs=TWO)
def tables_without_root(stage: Stage) -> None:
    """A context whose root leads beyond memory has no address space, and is dropped."""
    neighbour = Neighbour(stage)
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    context = driver.client.context(Engine.VECS0)
    layout = context_image(stage.platform.graphics_version, Engine.VECS0)
    before = context.read_register("pdp_hi[0]")

    def poke(value: int) -> None:
        assert context.image is not None
        context.image.buffer.write_dword(layout.value_offset("pdp_hi[0]"), value)

    refused_once(
        stage, driver, "a context with a root beyond memory", "ppgtt-not-memory",
        lambda: submit_in_ring(context, (), lambda: poke(0x40)), lambda: poke(before),
    )  # fmt: skip
    neighbour.check()


@scenario(needs=_ONE)
def tables_shared(stage: Stage) -> None:
    """Two address spaces that share a table see the same memory through it, and what one changes there the other finds."""
    stage.step("the driver starts the engines, and two clients come")
    driver = at_work(stage)
    one, other = driver.open_client("one"), driver.open_client("other")
    pages = [driver.memory.allocate(1, f"page {number}") for number in range(2)]
    mapping = one.vm.map(pages[0], address=_SHARED)
    stage.step("the root of the other is given an entry of the one's")
    top = entry_place(other, _SHARED, 3)
    before = _read(driver, top)
    _write(driver, top, _read(driver, entry_place(one, _SHARED, 3)))

    def both_store(page: int) -> None:
        values = []
        for number, (client, engine) in enumerate(zip((one, other, one, other), driver.platform.engines, strict=True)):
            values.append(stage.random.getrandbits(32))
            batch = Batch()
            batch.store_dword(_SHARED + 4 * number, values[-1])
            client.submit(engine, batch).wait(PATIENCE_NS)
        stage.check("what both have stored", [pages[page].read_dword(4 * number) for number in range(4)], values)

    both_store(0)
    stage.step("the one maps another page there")
    one.vm.unmap(mapping)
    mapping = one.vm.map(pages[1], address=_SHARED)
    _write(driver, top, _read(driver, entry_place(one, _SHARED, 3)))
    both_store(1)

    stage.step("the one goes")
    _write(driver, top, before)
    one.vm.unmap(mapping)
    one.close()
    other.close()
    check_quiet_end(stage, driver)


@scenario(needs=_ONE)
def tables_that_go_round(stage: Stage) -> None:
    """A root that leads to itself is shadowed level by level: through it the tables are memory like any other, the guest's own."""
    stage.step("the driver starts the engines, and its root leads to itself")
    driver = at_work(stage)
    client, number = driver.client, 9
    root = client.vm.root
    result = driver.create_buffer(PAGE_SIZE, "result")
    stage.check("it is in the first gigabytes", result.gpu_address >> 39, 0)
    place = GuestAddress(root.address + number * ENTRY_SIZE)
    before = _read(driver, place)
    itself = int(PageDirectoryEntry.pointing_to(BusAddress(root.address))) | TABLE_CACHED
    _write(driver, place, itself)
    seen = sum(number << shift for shift in (39, 30, 21, 12))
    for index, engine in enumerate(driver.platform.engines):
        stage.step(f"{engine.value} reads the root by way of itself")
        batch = Batch()
        batch.copy_dword(result.gpu_address + 8 * index, seen + number * ENTRY_SIZE)
        batch.copy_dword(result.gpu_address + 8 * index + 4, seen + number * ENTRY_SIZE + 4)
        driver.submit(engine, batch).wait(PATIENCE_NS)
        stage.check("the entry that it reads is the guest's, not its shadow", dwords_at(result, 8 * index, 2), [itself & 0xFFFF_FFFF, itself >> 32])
    _write(driver, place, before)
    check_quiet_end(stage, driver)
