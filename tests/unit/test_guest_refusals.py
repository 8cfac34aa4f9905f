"""Detection, and every reason for which the driver gives a host up."""

from __future__ import annotations

from typing import Any

import pytest
from support.guest_machine import Access, FakeMachine, pv_page

from guest_driver import REFUSAL_DOC, DriverState, GuestDriver, Refusal
from pvinfo.errors import DriverError, HostRefused, NotVirtualized, StateError, WaitTimeout
from pvinfo.page import VGT_MAGIC
from pvinfo.trace import Op
from pvinfo.units import KIB, MIB


def test_detection_reads_a_quadword_a_word_and_a_dword() -> None:
    machine = FakeMachine(pv_page())
    GuestDriver(machine).probe()
    assert machine.regs.accesses[:3] == [
        Access(Op.READ, 8, 0x78000, VGT_MAGIC), Access(Op.READ, 2, 0x78008, 1), Access(Op.READ, 4, 0x78010, 0x1C),
    ]  # fmt: skip


def test_without_the_magic_a_driver_for_vgpus_reads_nothing_else_and_stops_as_native() -> None:
    machine = FakeMachine()
    driver = GuestDriver(machine, vgpu_required=True)
    with pytest.raises(NotVirtualized, match="no PVINFO page at 0x78000 of BAR0: this is a bare Skylake GPU"):
        driver.probe()
    assert driver.state is DriverState.NATIVE
    assert not driver.virtual
    assert machine.regs.accesses == [Access(Op.READ, 8, 0x78000, 0)]
    assert driver.platform.name == "skl"
    driver.unload()
    assert driver.states.history[-1] is DriverState.UNBOUND


def test_a_magic_with_one_wrong_bit_is_none() -> None:
    driver = GuestDriver(FakeMachine(pv_page(magic=VGT_MAGIC ^ 1 << 63)), vgpu_required=True)
    with pytest.raises(NotVirtualized):
        driver.probe()


def test_version_0_is_refused_before_the_capabilities_are_read() -> None:
    machine = FakeMachine(pv_page(version=0))
    driver = GuestDriver(machine)
    with pytest.raises(HostRefused, match="version 0 at 0x78008") as caught:
        driver.probe()
    assert caught.value.rule == "version"
    assert [access.offset for access in machine.regs.accesses] == [0x78000, 0x78008]


def test_a_later_version_is_welcome() -> None:
    driver = GuestDriver(FakeMachine(pv_page(version=7)))
    driver.probe()
    assert driver.interface.version_major == 7


@pytest.mark.parametrize(
    ("offer", "machine", "rule"),
    [
        ({"version": 0}, {}, Refusal.VERSION),
        ({"capabilities": 0x18}, {}, Refusal.NO_FULL_PPGTT),
        ({"capabilities": 0x14}, {}, Refusal.NO_HWSP_EMULATION),
        ({"capabilities": 0}, {}, Refusal.NO_FULL_PPGTT),
        ({"mappable": (224 * MIB, 64 * MIB)}, {}, Refusal.MAPPABLE_PAST_APERTURE),
        ({"nonmappable": (128 * MIB, 384 * MIB)}, {}, Refusal.NONMAPPABLE_IN_APERTURE),
        ({"nonmappable": (0xF000_0000, 384 * MIB)}, {}, Refusal.NONMAPPABLE_PAST_GGTT),
        ({}, {"gmch": 0x40}, Refusal.NONMAPPABLE_PAST_GGTT),
        ({"nonmappable": (256 * MIB, 384 * MIB + 1)}, {}, Refusal.UNALIGNED_SLICE),
        ({"fences": 33}, {}, Refusal.TOO_MANY_FENCES),
        ({}, {"gmch": 0}, Refusal.NO_GGTT),
        ({}, {"bars": (0,)}, Refusal.NO_APERTURE),
        ({}, {"bars": (2,)}, Refusal.NO_REGISTERS),
        ({}, {"device_id": 0x1234}, Refusal.UNKNOWN_DEVICE),
    ],
)
def test_each_refusal_has_its_rule_and_leaves_nothing_behind(offer: dict[str, Any], machine: dict[str, Any], rule: Refusal) -> None:
    if rule is Refusal.NONMAPPABLE_PAST_GGTT and "gmch" in machine:
        offer = {"nonmappable": (640 * MIB, 512 * MIB)}
    plugged = FakeMachine(pv_page(**offer), **machine)
    driver = GuestDriver(plugged)
    with pytest.raises(HostRefused) as caught:
        driver.probe()
    assert caught.value.rule == rule.value
    assert REFUSAL_DOC[rule] in str(caught.value)
    assert driver.state is DriverState.REFUSED
    assert [line.rule for line in driver.log.complaints()] == [rule.value]
    assert plugged.gpu.handler is None
    assert driver.parts == {}
    driver.unload()
    assert driver.states.history[-1] is DriverState.UNBOUND


def test_every_rule_is_documented() -> None:
    assert set(REFUSAL_DOC) == set(Refusal)


def test_a_refused_host_is_told_nothing_about_the_display_or_page_tables() -> None:
    machine = FakeMachine(pv_page(mappable=(224 * MIB, 64 * MIB)))
    driver = GuestDriver(machine)
    with pytest.raises(HostRefused):
        driver.probe()
    written = {access.offset for access in machine.regs.accesses if access.op is Op.WRITE}
    assert not written & set(range(0x78000, 0x79000, 4))
    assert machine.regs.table == {}
    assert 0x44200 in written, "interrupts were opened before the balloons, and are closed again"
    assert machine.regs.peek(0x44200) == 0


def test_a_missing_capability_is_noticed_before_the_fences_are_touched() -> None:
    machine = FakeMachine(pv_page(capabilities=0x18))
    with pytest.raises(HostRefused):
        GuestDriver(machine).probe()
    assert not [access for access in machine.regs.accesses if access.offset in (0x78050, 0x100000)]


def test_without_large_pages_the_driver_still_comes_up_with_4_kib_pages_only() -> None:
    machine = FakeMachine(pv_page(capabilities=0x0C))
    driver = GuestDriver(machine)
    driver.probe()
    assert driver.state is DriverState.READY
    assert not driver.gt.large_pages
    assert not [access for access in machine.regs.accesses if access.offset == 0x4080]


def test_a_device_that_reads_all_ones_is_dead_after_two_seconds() -> None:
    machine = FakeMachine(pv_page(), registers={0xA188: 0xFFFF_FFFF})
    driver = GuestDriver(machine)
    with pytest.raises(WaitTimeout, match="the device does not answer"):
        driver.probe()
    assert driver.state is DriverState.FAILED
    assert 2_000_000_000 <= machine.clock.now < 2_100_000_000


def test_a_device_that_wakes_up_late_is_waited_for() -> None:
    machine = FakeMachine(pv_page())
    machine.regs.read_rules[0xA188] = lambda: 0xFFFF_FFFF if machine.clock.now < 1_500_000_000 else 0
    driver = GuestDriver(machine)
    driver.probe()
    assert driver.state is DriverState.READY


def test_a_machine_with_too_little_ram_fails_and_is_cleaned_up() -> None:
    machine = FakeMachine(pv_page(), memory=1 * MIB + 64 * KIB)
    driver = GuestDriver(machine)
    with pytest.raises(DriverError, match="guest memory: no room"):
        driver.probe()
    assert driver.state is DriverState.FAILED
    assert machine.gpu.handler is None


def test_slices_too_small_for_the_engines_objects_fail_the_probe_and_everything_is_taken_back() -> None:
    machine = FakeMachine(pv_page(mappable=(0, 64 * KIB), nonmappable=(256 * MIB, 64 * KIB)))
    driver = GuestDriver(machine)
    with pytest.raises(DriverError, match="graphics memory: no room for 88 KiB of image of kernel context of rcs0"):
        driver.probe()
    assert driver.state is DriverState.FAILED
    assert machine.gpu.handler is None
    assert machine.regs.peek(0x44200) == 0
    told = [access.value for access in machine.regs.accesses if access.offset == 0x78818]
    assert told == [4, 5], "the kernel's page table was announced, and is taken back"
    assert 0x78804 not in machine.regs.stored or machine.regs.peek(0x78804) == 0


def test_a_failed_driver_must_be_unloaded_before_it_is_loaded_again() -> None:
    machine = FakeMachine(pv_page(capabilities=0x18))
    driver = GuestDriver(machine)
    with pytest.raises(HostRefused):
        driver.probe()
    with pytest.raises(StateError, match="place needs state unbound, but the state is refused"):
        driver.probe()
    driver.unload()
    machine.regs.stored[0x78010] = 0x1C
    driver.probe()
    assert driver.state is DriverState.READY


def test_parts_cannot_be_asked_for_before_they_exist_nor_after_the_unload() -> None:
    driver = GuestDriver(FakeMachine(pv_page()))
    with pytest.raises(StateError, match="use of ggtt needs state sized or later, but the state is unbound"):
        _ = driver.ggtt
    for act in (driver.unload, lambda: driver.open_client("x"), lambda: driver.create_buffer(1)):
        with pytest.raises(StateError):
            act()
    driver.probe()
    assert driver.ggtt.total == 4096 * MIB
    driver.unload()
    with pytest.raises(StateError, match="use of ggtt"):
        _ = driver.ggtt
