"""Per-process address spaces: tables in memory, scratch, notifications."""

from __future__ import annotations

import contextlib

import pytest
from support.guest_machine import Access, FakeMachine, pv_page

from guest_driver import GuestDriver
from pvinfo.context_image import context_image
from pvinfo.errors import DriverError, UsageError
from pvinfo.execlist import AddressingMode
from pvinfo.platform import Engine
from pvinfo.trace import Op
from pvinfo.units import KIB, PAGE_SIZE, GuestAddress


def running(capabilities: int = 0x1C, platform: str = "skl") -> tuple[FakeMachine, GuestDriver]:
    machine = FakeMachine(pv_page(capabilities=capabilities), platform=platform, running=True)
    driver = GuestDriver(machine)
    driver.probe()
    return machine, driver


def test_a_root_leads_through_three_scratch_tables_to_a_page_that_cannot_be_written() -> None:
    machine, driver = running()
    assert driver.gt.kernel_vm is not None
    memory = machine.memory
    address = int(driver.gt.kernel_vm.root.address)
    for flags in (0x1B, 0x1B, 0x1B, 0x19):
        entries = {memory.quadword(address + 8 * index) for index in range(512)}
        assert len(entries) == 1, "every entry of a table without mappings is the same"
        entry = entries.pop()
        assert entry & 0xFFF == flags
        address = entry & ~0xFFF
    assert address == driver.gt.kernel_vm.scratch.page.address
    assert memory.read(driver.gt.kernel_vm.scratch.page.address, PAGE_SIZE) == bytes(PAGE_SIZE)


@pytest.mark.parametrize(
    ("platform", "capabilities", "size"), [("skl", 0x1C, 64 * KIB), ("skl", 0x0C, PAGE_SIZE), ("bdw", 0x1C, PAGE_SIZE)]
)
def test_the_scratch_page_is_large_where_tables_may_hold_large_pages(platform: str, capabilities: int, size: int) -> None:
    _, driver = running(capabilities, platform)
    assert driver.gt.kernel_vm is not None
    page = driver.gt.kernel_vm.scratch.page
    assert page.size == size
    assert page.address % size == 0


def test_the_root_is_written_before_it_is_spoken_of() -> None:
    machine, driver = running()
    machine.regs.accesses.clear()
    vm = driver.gt.create_vm("test")
    assert machine.regs.accesses == [
        Access(Op.WRITE, 4, 0x78838, vm.root.address), Access(Op.WRITE, 4, 0x7883C, 0), Access(Op.WRITE, 4, 0x78818, 4),
    ]  # fmt: skip
    machine.regs.accesses.clear()
    vm.release()
    assert machine.regs.accesses == [
        Access(Op.WRITE, 4, 0x78838, vm.root.address), Access(Op.WRITE, 4, 0x7883C, 0), Access(Op.WRITE, 4, 0x78818, 5),
    ]  # fmt: skip


def test_the_root_is_complete_when_the_host_hears_of_it_and_still_whole_when_it_hears_of_its_end() -> None:
    machine, driver = running()
    seen: list[tuple[int, set[int]]] = []

    def look(offset: int) -> None:
        if offset == 0x78818:
            root = machine.regs.peek(0x78838)
            seen.append((machine.regs.peek(0x78818), {machine.memory.quadword(root + 8 * index) for index in range(512)}))

    machine.regs.after_write = look
    vm = driver.gt.create_vm("test")
    vm.release()
    assert seen == [(4, {vm.scratch.root_entry}), (5, {vm.scratch.root_entry})]


def test_all_address_spaces_share_the_kernels_scratch_tables() -> None:
    _, driver = running()
    assert driver.gt.kernel_vm is not None
    vm = driver.gt.create_vm("test")
    assert vm.scratch is driver.gt.kernel_vm.scratch
    in_use = driver.memory.in_use
    vm.release()
    assert driver.memory.in_use == in_use - PAGE_SIZE


def test_without_a_kernel_address_space_each_client_has_scratch_tables_of_its_own() -> None:
    driver = GuestDriver(FakeMachine(pv_page()))
    driver.probe()
    console, other = driver.clients[0], driver.open_client("other")
    assert console.vm.scratch is not other.vm.scratch
    in_use = driver.memory.in_use
    other.close()
    assert driver.memory.in_use == in_use - 64 * KIB - 4 * PAGE_SIZE


def test_a_root_above_4_gib_is_written_in_two_halves() -> None:
    machine, driver = running()
    vm = driver.gt.create_vm("test")
    # As if RAM reached that far: the host must get all 64 bits of the address.
    vm.root.pages = (GuestAddress(0x12_3456_7000),)
    machine.regs.accesses.clear()
    vm.release()
    assert [(access.offset, access.value) for access in machine.regs.accesses] == [
        (0x78838, 0x3456_7000), (0x7883C, 0x12), (0x78818, 5),
    ]  # fmt: skip


def test_an_address_space_cannot_be_released_twice() -> None:
    _, driver = running()
    vm = driver.gt.create_vm("test")
    vm.release()
    with pytest.raises(DriverError, match="the address space of test is released already"):
        vm.release()


# ---- three levels ----


def test_the_host_hears_of_the_four_directories_of_three_levels() -> None:
    machine, driver = running()
    machine.regs.accesses.clear()
    vm = driver.gt.create_vm("test", levels=3)
    tables = vm.page_directory_pointers
    assert len(set(tables)) == 4 and vm.root.address not in tables
    told = [(0x78838 + 8 * number + 4 * half, table >> 32 * half & 0xFFFF_FFFF) for number, table in enumerate(tables) for half in (0, 1)]
    assert [(access.offset, access.value) for access in machine.regs.accesses] == [*told, (0x78818, 2)]
    in_use = driver.memory.in_use
    machine.regs.accesses.clear()
    vm.release()
    assert [(access.offset, access.value) for access in machine.regs.accesses] == [*told, (0x78818, 3)]
    assert driver.memory.in_use == in_use - 5 * PAGE_SIZE


def test_directories_of_three_levels_stay_when_nothing_is_mapped_any_more() -> None:
    machine, driver = running()
    vm = driver.gt.create_vm("test", levels=3)
    tables = vm.page_directory_pointers
    page = driver.memory.allocate(1, "page")
    for address in (0, 0x4000_0000, 0xC000_1000, 0xFFFF_F000):
        mapping = vm.map(page, address=address)
        directory = tables[address >> 30]
        table = machine.memory.quadword(directory + 8 * (address >> 21 & 511)) & ~0xFFF
        assert machine.memory.quadword(table + 8 * (address >> 12 & 511)) == page.address | 0x83
        vm.unmap(mapping)
        assert {machine.memory.quadword(directory + 8 * index) for index in range(512)} == {vm.scratch.entries[1]}
    assert vm.page_directory_pointers == tables
    assert vm.entry_at(0x4000_0000, 2) == tables[1] | 3


def test_addresses_of_three_levels_end_at_4_gib_and_other_levels_there_are_not() -> None:
    _, driver = running()
    vm = driver.gt.create_vm("test", levels=3)
    page = driver.memory.allocate(1, "page")
    with pytest.raises(UsageError, match="is not a range of whole pages below 0x100000000"):
        vm.map(page, address=1 << 32)
    for levels in (2, 5):
        with pytest.raises(UsageError, match=f"page tables of {levels} levels: there are 3 or 4"):
            driver.open_client("test", levels=levels)


def test_a_context_says_how_many_levels_its_tables_have() -> None:
    _, driver = running()
    for levels, mode in ((3, AddressingMode.LEGACY_32_BIT), (4, AddressingMode.LEGACY_64_BIT)):
        with driver.open_client("test", levels=levels) as client:
            context = client.context(Engine.BCS0)
            assert context.descriptor().addressing_mode == mode
            assert context.image is not None
            layout = context_image(9, Engine.BCS0)
            held = [context.image.buffer.read_dword(layout.value_offset(f"pdp_lo[{number}]")) for number in range(4)]
            tables = client.vm.page_directory_pointers
            assert held == [*tables, *[0] * (4 - len(tables))]


def test_three_levels_for_which_there_is_no_memory_leave_nothing_behind() -> None:
    _, driver = running()
    vm = driver.gt.create_vm("test", levels=3)
    hoard = []
    for pages in (1024, 64, 1):
        with contextlib.suppress(DriverError):
            while True:
                hoard.append(driver.memory.allocate(pages, "hoard"))
    for page in hoard[-3:]:
        driver.memory.release(page)
    users, in_use = vm.scratch.users, driver.memory.in_use
    with pytest.raises(DriverError, match="page table of too much"):
        driver.gt.create_vm("too much", levels=3)
    assert (vm.scratch.users, driver.memory.in_use) == (users, in_use)
