"""Fences as the guest writes them."""

from __future__ import annotations

import pytest
from support.guest_machine import Access, FakeMachine, pv_page

from guest_driver import GuestDriver
from guest_driver.fence import fence_value
from pvinfo.errors import DriverError, UsageError
from pvinfo.registers import FenceTiling
from pvinfo.trace import Op
from pvinfo.units import PAGE_SIZE


def ready(fences: int = 4) -> tuple[FakeMachine, GuestDriver]:
    machine = FakeMachine(pv_page(fences=fences))
    driver = GuestDriver(machine)
    driver.probe()
    machine.regs.accesses.clear()
    return machine, driver


def written(number: int, low: int, high: int) -> list[Access]:
    """The five accesses that put a value into a fence."""
    at = 0x100000 + 8 * number
    return [
        Access(Op.WRITE, 4, at, 0), Access(Op.READ, 4, at, 0), Access(Op.WRITE, 4, at + 4, high),
        Access(Op.WRITE, 4, at, low), Access(Op.READ, 4, at, low),
    ]  # fmt: skip


@pytest.mark.parametrize("fences", [0, 1, 4, 32])
def test_the_page_says_how_many_there_are_and_all_are_cleared_before_the_slices_are_read(fences: int) -> None:
    machine = FakeMachine(pv_page(fences=fences))
    driver = GuestDriver(machine)
    driver.probe()
    accesses = machine.vgpu_accesses()
    start = accesses.index(Access(Op.READ, 4, 0x78050, fences)) + 1
    cleared = [access for number in range(fences) for access in written(number, 0, 0)]
    assert accesses[start : start + len(cleared) + 1] == [*cleared, Access(Op.READ, 4, 0x78040, 0)]
    assert len(driver.fences) == driver.resources.fences == fences


def test_a_fence_is_switched_off_then_filled_from_above_and_read_back_twice() -> None:
    machine, driver = ready()
    binding = driver.ggtt.bind(driver.create_buffer(32 * PAGE_SIZE), mappable=True)
    machine.regs.accesses.clear()
    fence = driver.fences.set_up(binding, FenceTiling.Y, 4096)
    assert machine.regs.accesses == written(0, 0x2003, 0x2101F)
    assert (fence.low.start_page, fence.low.tiling, fence.high.last_page, fence.high.pitch) == (2, FenceTiling.Y, 33, 31)


@pytest.mark.parametrize("pitch", [0, -128, 100, 256 * 1024 + 128])
def test_a_pitch_that_no_fence_can_hold_is_refused(pitch: int) -> None:
    _, driver = ready()
    binding = driver.ggtt.bind(driver.create_buffer(PAGE_SIZE), mappable=True)
    with pytest.raises(UsageError, match="a multiple of 128 up to 262144"):
        driver.fences.set_up(binding, FenceTiling.X, pitch)
    assert fence_value(binding, FenceTiling.X, 256 * 1024)[1].pitch == 2047


def test_only_what_the_aperture_reaches_can_have_a_fence() -> None:
    _, driver = ready()
    with pytest.raises(DriverError, match="is not mappable"):
        driver.fences.set_up(driver.ggtt.bind(driver.create_buffer(PAGE_SIZE)), FenceTiling.X, 512)


def test_a_host_that_gave_no_fences_gives_none() -> None:
    _, driver = ready(fences=0)
    with pytest.raises(DriverError, match="has given this vGPU no fences"):
        driver.fences.set_up(driver.ggtt.bind(driver.create_buffer(PAGE_SIZE), mappable=True), FenceTiling.X, 512)


def test_the_least_recently_used_fence_is_taken_when_all_are_in_use() -> None:
    _, driver = ready(fences=2)
    bindings = [driver.ggtt.bind(driver.create_buffer(PAGE_SIZE), mappable=True) for _ in range(3)]
    first = driver.fences.set_up(bindings[0], FenceTiling.X, 512)
    second = driver.fences.set_up(bindings[1], FenceTiling.X, 512)
    assert (first.number, second.number) == (0, 1)
    assert driver.fences.set_up(bindings[0], FenceTiling.Y, 512) is first, "a binding keeps its fence"
    assert driver.fences.set_up(bindings[2], FenceTiling.X, 512) is second
    driver.fences.release(first)
    assert driver.fences.set_up(bindings[1], FenceTiling.X, 512) is first


def test_restoring_writes_every_fence_as_it_should_be() -> None:
    machine, driver = ready(fences=2)
    binding = driver.ggtt.bind(driver.create_buffer(PAGE_SIZE), mappable=True)
    driver.fences.set_up(binding, FenceTiling.X, 512)
    machine.regs.stored[0x100000] = machine.regs.stored[0x100004] = 0
    machine.regs.accesses.clear()
    driver.fences.restore()
    assert machine.regs.accesses == written(0, 0x2001, 0x2003) + written(1, 0, 0)
