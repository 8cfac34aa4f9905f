"""Per-process address spaces: tables in memory, scratch, notifications."""

from __future__ import annotations

import pytest
from support.guest_machine import Access, FakeMachine, pv_page

from guest_driver import GuestDriver
from pvinfo.errors import DriverError
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
