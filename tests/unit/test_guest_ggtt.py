"""The global table as the guest writes it."""

from __future__ import annotations

import pytest
from support.guest_machine import Access, FakeMachine, pv_page

from guest_driver import Ggtt, GuestDriver
from pvinfo.errors import DriverError
from pvinfo.trace import Op
from pvinfo.units import GIB, KIB, MIB, PAGE_SIZE

INVALIDATE = Access(Op.WRITE, 4, 0x101008, 1)


def ready(**offer: tuple[int, int]) -> tuple[FakeMachine, GuestDriver]:
    machine = FakeMachine(pv_page(**offer))  # type: ignore[arg-type]
    driver = GuestDriver(machine)
    driver.probe()
    machine.regs.accesses.clear()
    return machine, driver


def test_a_binding_writes_its_entries_in_rising_order_then_invalidates_once() -> None:
    machine, driver = ready()
    buffer = driver.create_buffer(3 * PAGE_SIZE)
    binding = driver.ggtt.bind(buffer)
    first = binding.address // PAGE_SIZE
    assert machine.regs.accesses == [
        *(Access(Op.GGTT_WRITE, 8, 8 * (first + index), page | 1) for index, page in enumerate(buffer.pages)), INVALIDATE,
    ]  # fmt: skip


def test_ordinary_bindings_go_to_the_top_of_the_nonmappable_slice_and_mappable_ones_to_the_bottom() -> None:
    _, driver = ready()
    high = driver.ggtt.bind(driver.create_buffer(2 * PAGE_SIZE))
    low = driver.ggtt.bind(driver.create_buffer(2 * PAGE_SIZE), mappable=True)
    assert high.address == 640 * MIB - 2 * PAGE_SIZE
    assert low.address == 2 * PAGE_SIZE, "the first two pages are set aside for error capture"


def test_guards_are_scratch_on_both_sides_and_keep_the_alignment() -> None:
    machine, driver = ready()
    buffer = driver.create_buffer(PAGE_SIZE)
    binding = driver.ggtt.bind(buffer, mappable=True, alignment=64 * KIB, guard=PAGE_SIZE)
    assert binding.address % (64 * KIB) == 0 and binding.guard == 64 * KIB
    scratch = driver.ggtt.scratch.address | 1
    values = [access.value for access in machine.regs.accesses if access.op is Op.GGTT_WRITE]
    assert values == [scratch] * 16 + [buffer.address | 1] + [scratch] * 16
    assert machine.regs.accesses[-1] == INVALIDATE


def test_unbinding_writes_nothing_and_frees_the_place() -> None:
    machine, driver = ready()
    binding = driver.ggtt.bind(driver.create_buffer(PAGE_SIZE))
    machine.regs.accesses.clear()
    driver.ggtt.unbind(binding)
    assert machine.regs.accesses == []
    with pytest.raises(DriverError, match="is not bound"):
        driver.ggtt.unbind(binding)
    assert driver.ggtt.bind(driver.create_buffer(PAGE_SIZE)).address == binding.address


def test_nothing_is_ever_bound_outside_the_two_slices() -> None:
    machine, driver = ready(mappable=(64 * MIB, 64 * MIB), nonmappable=(1 * GIB, 16 * MIB))
    for _ in range(5):
        driver.ggtt.bind(driver.create_buffer(300 * PAGE_SIZE))
        driver.ggtt.bind(driver.create_buffer(300 * PAGE_SIZE), mappable=True)
    owned = (*range(64 * MIB, 128 * MIB, PAGE_SIZE), *range(1 * GIB, 1 * GIB + 16 * MIB, PAGE_SIZE))
    assert {page * PAGE_SIZE for page in machine.regs.table} <= set(owned)


def test_a_full_slice_refuses_the_next_binding() -> None:
    _, driver = ready(mappable=(0, 1 * MIB), nonmappable=(256 * MIB, 1 * MIB))
    with pytest.raises(DriverError, match="no room for 2 MiB of buffer"):
        driver.ggtt.bind(driver.create_buffer(512 * PAGE_SIZE))
    with pytest.raises(DriverError, match="no room for 1 MiB of buffer"):
        driver.ggtt.bind(driver.create_buffer(256 * PAGE_SIZE), mappable=True)


def test_error_capture_moves_to_the_lowest_free_pages_when_page_0_is_not_ours() -> None:
    machine = FakeMachine(pv_page(mappable=(128 * MIB, 64 * MIB)))
    driver = GuestDriver(machine)
    driver.probe()
    assert driver.ggtt.error_capture is not None
    assert driver.ggtt.error_capture.start == 128 * MIB
    entries = [access for access in machine.regs.accesses if access.op is Op.GGTT_WRITE]
    assert [entry.offset for entry in entries[:2]] == [0x40000, 0x40008]


def test_without_a_mappable_slice_there_is_no_error_capture_and_the_driver_lives() -> None:
    machine = FakeMachine(pv_page(mappable=(0, 0)))
    driver = GuestDriver(machine)
    driver.probe()
    assert driver.ggtt.error_capture is None
    assert min(machine.regs.table) * PAGE_SIZE >= 256 * MIB


def test_resuming_writes_every_binding_again_in_order_with_error_capture_last() -> None:
    machine, driver = ready()
    ggtt: Ggtt = driver.ggtt
    buffers = [driver.create_buffer(PAGE_SIZE), driver.create_buffer(2 * PAGE_SIZE)]
    bindings = [ggtt.bind(buffers[0]), ggtt.bind(buffers[1], mappable=True)]
    machine.regs.accesses.clear()
    ggtt.resume()
    scratch = ggtt.scratch.address | 1
    assert machine.regs.accesses == [
        Access(Op.GGTT_WRITE, 8, bindings[0].address // 512, buffers[0].address | 1), INVALIDATE,
        Access(Op.GGTT_WRITE, 8, bindings[1].address // 512, buffers[1].pages[0] | 1),
        Access(Op.GGTT_WRITE, 8, bindings[1].address // 512 + 8, buffers[1].pages[1] | 1), INVALIDATE,
        Access(Op.GGTT_WRITE, 8, 0, scratch), Access(Op.GGTT_WRITE, 8, 8, scratch), INVALIDATE,
    ]  # fmt: skip


def test_an_aperture_larger_than_the_table_covers_is_cut_with_a_complaint() -> None:
    machine = FakeMachine(pv_page(nonmappable=(1 * GIB, 0)), aperture=2 * GIB, gmch=0x40)
    driver = GuestDriver(machine)
    driver.probe()
    assert driver.ggtt.mappable_end == driver.ggtt.total == 1 * GIB
    assert [line.rule for line in driver.log.complaints()] == ["aperture-past-ggtt", "gt-wedged"]
