"""What firmware and the PCI core do before the driver proper."""

from __future__ import annotations

import pytest
from support.guest_machine import MSI_AT, FakeMachine, pv_page

from guest_driver import DriverLog, GuestDriver, PciFunction, Refusal
from pvinfo.errors import HostRefused
from pvinfo.pci import CapabilityId, Command, MsiControl
from pvinfo.trace import Op
from pvinfo.units import GIB, MIB


def function(machine: FakeMachine) -> PciFunction:
    return PciFunction(machine, DriverLog(machine.clock))


def test_base_address_registers_are_sized_by_all_ones_and_placed_on_multiples_of_their_size() -> None:
    machine = FakeMachine()
    pci = function(machine)
    pci.place()
    assert {number: (bar.size, bar.wide, bar.prefetchable) for number, bar in pci.bars.items()} == {
        0: (16 * MIB, True, False), 2: (256 * MIB, True, True),
    }  # fmt: skip
    for bar in pci.bars.values():
        assert bar.address and bar.address % bar.size == 0
        assert machine.gpu.config.read(0x10 + 4 * bar.number, 4) & ~0xF == bar.address & 0xFFFF_FFFF
    assert pci.header.class_code.base_class == 3


def test_sizing_writes_all_ones_to_both_halves_with_decoding_off() -> None:
    machine = FakeMachine()
    machine.gpu.config.write(4, 2, 0x7)
    function(machine).place()
    writes = [(access.offset, access.value) for access in machine.gpu.config.accesses if access.op is Op.CONFIG_WRITE]
    assert writes[1] == (4, 0x4)
    for offset in (0x10, 0x14, 0x18, 0x1C, 0x20, 0x24):
        assert (offset, 0xFFFF_FFFF) in writes


@pytest.mark.parametrize("aperture", [64 * MIB, 512 * MIB, 1 * GIB, 4 * GIB])
def test_an_aperture_of_any_size_is_placed_above_4_gib_when_it_does_not_fit_below(aperture: int) -> None:
    machine = FakeMachine(aperture=aperture)
    pci = function(machine)
    pci.place()
    bar = pci.bars[2]
    assert bar.size == aperture and bar.address % aperture == 0
    assert (bar.address >= 4 * GIB) == (aperture >= 1 * GIB)
    assert machine.gpu.config.read(0x1C, 4) == bar.address >> 32


@pytest.mark.parametrize("size", [0xE000_0000, 8 * GIB])
def test_nothing_is_placed_over_ram(size: int) -> None:
    machine = FakeMachine()
    machine.memory.size = size
    pci = function(machine)
    pci.place()
    assert all(bar.address >= size for bar in pci.bars.values())
    assert pci.bars[0].address + pci.bars[0].size <= pci.bars[2].address or pci.bars[2].address + pci.bars[2].size <= pci.bars[0].address


def test_the_platform_is_known_by_any_of_its_ids() -> None:
    assert function(FakeMachine(platform="bdw")).identify().name == "bdw"
    assert function(FakeMachine(platform="kbl", device_id=0x5916)).identify().name == "kbl"


@pytest.mark.parametrize("device_id", [0x0166, 0x9A49, 0xFFFF])
def test_a_device_of_another_kind_is_refused(device_id: int) -> None:
    with pytest.raises(HostRefused, match=f"device 8086:{device_id:04x} of class 030000") as caught:
        function(FakeMachine(device_id=device_id)).identify()
    assert caught.value.rule == Refusal.UNKNOWN_DEVICE


def test_an_intel_device_that_is_no_display_controller_is_refused() -> None:
    machine = FakeMachine()
    machine.gpu.config.bytes[0x0B] = 0x06
    with pytest.raises(HostRefused, match="of class 060000"):
        function(machine).identify()


def test_messages_are_set_up_in_the_kernels_order_with_the_pin_off() -> None:
    machine = FakeMachine()
    pci = function(machine)
    pci.place()
    machine.gpu.config.accesses.clear()
    pci.set_master()
    assert pci.enable_msi()
    writes = [(access.size, access.offset, access.value) for access in machine.gpu.config.accesses if access.op is Op.CONFIG_WRITE]
    assert writes == [
        (2, 4, 0x4), (1, 0x0D, 0x40),
        (2, MSI_AT + 2, 0), (4, MSI_AT + 4, 0xFEE0_0000), (2, MSI_AT + 8, 0x25), (2, 4, 0x404), (2, MSI_AT + 2, 1),
    ]  # fmt: skip
    pci.disable_msi()
    assert not MsiControl(machine.gpu.config.read(MSI_AT + 2, 2)).enable
    assert not Command(machine.gpu.config.read(4, 2)).interrupt_disable


def test_the_long_form_of_the_message_capability_has_its_data_behind_the_upper_address() -> None:
    machine = FakeMachine()
    config = machine.gpu.config
    config.bytes[MSI_AT + 2 : MSI_AT + 4] = int(MsiControl.of(address_64=1)).to_bytes(2, "little")
    config.mask[MSI_AT + 2 : MSI_AT + 14] = b"\x71\x00" + b"\xff" * 10
    pci = function(machine)
    pci.place()
    assert pci.enable_msi()
    assert config.read(MSI_AT + 8, 4) == 0
    assert config.read(MSI_AT + 12, 2) == 0x25


def test_a_function_without_capabilities_has_no_messages_and_the_driver_complains() -> None:
    machine = FakeMachine(pv_page())
    machine.gpu.config.bytes[0x06] = 0
    driver = GuestDriver(machine)
    driver.probe()
    assert not driver.pci.msi_enabled
    assert [line.rule for line in driver.log.complaints()] == ["no-msi", "gt-wedged"]


def test_a_capability_list_that_runs_in_a_circle_is_left() -> None:
    machine = FakeMachine()
    machine.gpu.config.bytes[MSI_AT + 1] = MSI_AT
    log = DriverLog(machine.clock)
    pci = PciFunction(machine, log)
    pci.place()
    assert pci.capabilities == {CapabilityId.MSI: MSI_AT}
    assert [line.rule for line in log.complaints()] == ["capability-list"]
