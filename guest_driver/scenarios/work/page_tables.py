"""Page tables: pages of every size, what is not mapped, and whose address is whose."""

from __future__ import annotations

from itertools import product

from pvinfo.gtt_entry import ENTRY_SIZE, TABLE_CACHED, PageDirectoryEntry, PageDirectoryPointerEntry
from pvinfo.platform import Engine
from pvinfo.units import GIB, KIB, MIB, PAGE_SIZE, BusAddress, GuestAddress

from ...batch import Batch, BlitSurface, Rectangle
from ...driver import GuestDriver
from ..catalogue import scenario
from ..needs import DeviceKind
from ..stage import Stage
from . import NEEDS
from .acts import PATIENCE_NS, at_work, check_content, check_quiet_end, dwords_at, entry_place

_VARIES = "the order of the engines, and where between its ends each page is written"
_ROW = 1024
"""Bytes of a row of the fills: two rows end at a border of pages, two begin there."""


def _spoil_idle_entries(driver: GuestDriver, address: int, pages: int) -> None:
    """Make the entries that a table of 64 KiB pages does not use, fifteen of sixteen, lead to scratch."""
    scratch = driver.client.vm.scratch.entries[0]
    for page in range(pages):
        place = entry_place(driver.client, address, 0) + ENTRY_SIZE * (16 * page + 1)
        driver.machine.memory.write(GuestAddress(place), scratch.to_bytes(ENTRY_SIZE, "little") * 15)


def _pages_of(stage: Stage, page_size: int, count: int) -> None:
    """Have every engine write to both ends of each of several pages, and the copy engine over where they meet."""
    stage.step("the driver starts the engines, and makes a buffer")
    driver = at_work(stage)
    buffer = driver.create_buffer(count * page_size, "pages", page_size=page_size)
    place = buffer.gpu_address
    stage.check("what one entry translates", (buffer.mapping.page_size, place % page_size), (page_size, 0))
    directory = PageDirectoryEntry(buffer.mapping.vm.entry_at(place, 1) or 0)
    if page_size == 2 * MIB:
        stage.check("the directory's entry leads straight to memory", (directory.page_size, directory & -page_size), (1, buffer.address))
    else:
        stage.check("the directory says that the table's pages are large", directory.intermediate_page_size, int(page_size > PAGE_SIZE))
    if page_size == 64 * KIB:
        _spoil_idle_entries(driver, place, count)
    expected = bytearray(buffer.size)

    for engine in stage.shuffled(driver.platform.engines):
        stage.dawdle()
        stage.step(f"{engine.value} writes the ends of each page, and a place between")
        batch = Batch()
        for page in range(count):
            for offset in (page * page_size, (page + 1) * page_size - 4, page * page_size + 4 * stage.random.randrange(page_size // 4)):
                value = stage.random.getrandbits(32)
                batch.store_dword(place + offset, value)
                expected[offset : offset + 4] = value.to_bytes(4, "little")
        driver.submit(engine, batch).wait(PATIENCE_NS)
        check_content(stage, "memory", buffer.read(0, buffer.size), bytes(expected))

    stage.step("the copy engine fills what lies on both sides of each border")
    batch = Batch()
    for page in range(1, count):
        colour, first = stage.random.getrandbits(8), page * page_size - 2 * _ROW
        batch.xy_color_blt(BlitSurface(place + first, _ROW, 8), Rectangle(0, 0, _ROW, 4), colour)
        expected[first : first + 4 * _ROW] = bytes([colour]) * (4 * _ROW)
    driver.submit(Engine.BCS0, batch).wait(PATIENCE_NS)
    check_content(stage, "memory", buffer.read(0, buffer.size), bytes(expected))
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies=_VARIES)
def pages_of_4_kib(stage: Stage) -> None:
    """Engines write through pages of 4 KiB, at their ends and across their borders, and nowhere else."""
    _pages_of(stage, PAGE_SIZE, 7)


@scenario(needs=NEEDS._replace(graphics_versions=(9,)), varies=_VARIES)
def pages_of_64_kib(stage: Stage) -> None:
    """Engines write through pages of 64 KiB: of a table that says so every sixteenth entry counts, and none between."""
    _pages_of(stage, 64 * KIB, 3)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.PHYSICAL,)), varies=_VARIES)
def pages_of_2_mib(stage: Stage) -> None:
    """Engines write through pages of 2 MiB, to which an entry of a page directory leads at once."""
    _pages_of(stage, 2 * MIB, 2)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.VGPU,), graphics_versions=(9,)), varies=_VARIES)
def pages_of_2_mib_on_vgpu(stage: Stage) -> None:
    """Engines of a vGPU write through pages of 2 MiB: GVT-g shadows large pages on gen9, and drivers use none of it on gen8."""
    _pages_of(stage, 2 * MIB, 2)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.PHYSICAL,)))
def page_of_1_gib(stage: Stage) -> None:
    """A page of 1 GiB, which no driver makes, translates all of its addresses with one entry of the third level.

    It is told of the hardware alone: GVT-g shadows no such page. Source: linux:drivers/gpu/drm/i915/gvt/gtt.c
    """
    stage.step("the driver starts the engines, and a table is put into the fifth part of its address space by hand")
    driver = at_work(stage)
    target = driver.create_buffer(PAGE_SIZE, "target")
    vm = driver.client.vm
    pointers = driver.memory.allocate(1, "directory pointers")
    first_gigabyte = BusAddress(target.address & -GIB)
    whole = PageDirectoryPointerEntry.of(PageDirectoryPointerEntry.pointing_to(first_gigabyte), page_size=1)
    table = PageDirectoryEntry.pointing_to(BusAddress(pointers.address))
    pointers.write(0, (whole | TABLE_CACHED).to_bytes(ENTRY_SIZE, "little"))
    vm.root.write(5 * ENTRY_SIZE, (table | TABLE_CACHED).to_bytes(ENTRY_SIZE, "little"))
    place = (5 << 39) + target.address % GIB

    for number, engine in enumerate(driver.platform.engines):
        stage.step(f"{engine.value} writes to memory by its own address")
        value = stage.random.getrandbits(32)
        batch = Batch()
        batch.store_dword(place + 64 * number, value)
        batch.copy_dword(place + 64 * number + 4, target.gpu_address + 64 * number)
        driver.submit(engine, batch).wait(PATIENCE_NS)
        stage.check("what it has stored, and read back by the usual address", dwords_at(target, 64 * number, 2), [value, value])
    stage.step("the table is taken out again")
    vm.root.write(5 * ENTRY_SIZE, vm.scratch.root_entry.to_bytes(ENTRY_SIZE, "little"))
    driver.memory.release(pointers)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies="the order of the engines and the addresses")
def three_levels(stage: Stage) -> None:
    """A client with 32-bit addresses has tables of three levels: four directories, each of which translates a gigabyte."""
    stage.step("the driver starts the engines, and a client of each kind comes")
    driver = at_work(stage)
    small, large = driver.open_client("small", levels=3), driver.open_client("large")
    places = [number * GIB + 64 * KIB * stage.random.randrange(0x1000, 0x3000) for number in range(4)]
    mine = [small.create_buffer(PAGE_SIZE, f"page in gigabyte {number}", address=place) for number, place in enumerate(places)]
    theirs = [large.create_buffer(PAGE_SIZE, f"the other's page in gigabyte {number}", address=place) for number, place in enumerate(places)]
    stage.check("addresses", [buffer.gpu_address for buffer in (*mine, *theirs)], places * 2)

    for number, engine in enumerate(stage.shuffled(driver.platform.engines)):
        stage.dawdle()
        stage.step(f"{engine.value} serves both")
        values = [[stage.random.getrandbits(32) for _ in places] for _ in range(2)]
        requests = []
        for client, row in zip((small, large), values, strict=True):
            batch = Batch()
            for place, value in zip(places, row, strict=True):
                batch.store_dword(place + 16 * number, value)
            batch.copy_dword(places[0] + 16 * number + 4, places[3] + 16 * number)
            requests.append(client.submit(engine, batch))
        for request in requests:
            request.wait(PATIENCE_NS)
        for buffers, row in zip((mine, theirs), values, strict=True):
            stage.check("what was stored", [buffer.read_dword(16 * number) for buffer in buffers], row)
            stage.check("what was copied from the last gigabyte to the first", buffers[0].read_dword(16 * number + 4), row[3])
    small.close()
    large.close()
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def unmapped_addresses(stage: Stage) -> None:
    """What is not mapped reads as zero and keeps nothing, and a page that may only be read keeps what it had."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    result = driver.create_buffer(PAGE_SIZE, "result")
    constant = driver.create_buffer(PAGE_SIZE, "constant", read_only=True)
    before = stage.random.randbytes(PAGE_SIZE)
    constant.write(0, before)
    holes = (result.gpu_address + 64 * PAGE_SIZE, 3 << 30, 7 << 39)
    for engine in driver.platform.engines:
        stage.step(f"{engine.value} writes where it may not, and reads it")
        result.write_dwords(0, [0xFFFF_FFFF] * (len(holes) + 1))
        batch = Batch()
        for number, hole in enumerate((*holes, constant.gpu_address)):
            batch.store_dword(hole, 0x5EC8_E700)
            batch.copy_dword(result.gpu_address + 4 * number, hole)
        driver.submit(engine, batch).wait(PATIENCE_NS)
        stage.check("what it reads", dwords_at(result, 0, len(holes) + 1), [0] * len(holes) + [int.from_bytes(before[:4], "little")])
        check_content(stage, "the page that may only be read", constant.read(0, PAGE_SIZE), before)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies="the address, and the order in which both submit")
def clients_apart(stage: Stage) -> None:
    """Two clients use the same address at the same time, on every engine, and each finds its own memory there."""
    stage.step("the driver starts the engines, and two clients come")
    driver = at_work(stage)
    place = PAGE_SIZE * stage.random.randrange(1 << 20, 1 << 35)
    clients = [driver.open_client(name) for name in ("one", "other")]
    buffers = [client.create_buffer(PAGE_SIZE, f"buffer of {client.name}", address=place) for client in clients]
    stage.check("their addresses", [buffer.gpu_address for buffer in buffers], [place, place])

    stage.step("both submit to all engines")
    requests, expected = [], [bytearray(PAGE_SIZE), bytearray(PAGE_SIZE)]
    for turn in range(4):
        stage.dawdle()
        for (number, engine), (client, content) in stage.shuffled(product(enumerate(driver.platform.engines), zip(clients, expected, strict=True))):
            value, offset = stage.random.getrandbits(32), 256 * number + 4 * turn
            batch = Batch()
            batch.store_dword(place + offset, value)
            content[offset : offset + 4] = value.to_bytes(4, "little")
            requests.append(client.submit(engine, batch))
    for request in requests:
        request.wait(PATIENCE_NS)
    for buffer, content in zip(buffers, expected, strict=True):
        check_content(stage, buffer.owner, buffer.read(0, PAGE_SIZE), bytes(content))
    for client in clients:
        client.close()
    check_quiet_end(stage, driver)
