"""What the server says about the device: as a whole, its regions, its interrupts, its features."""

from __future__ import annotations

import errno

import pytest

from pvinfo.units import MIB
from pvinfo.vfio_user import (
    DEVICE_FEATURE,
    DEVICE_INFO,
    IRQ_INFO,
    MIGRATION_DATA,
    REGION_INFO,
    REGION_IO_FDS,
    Command,
    DeviceFeature,
    DeviceFlags,
    DeviceInfo,
    FeatureFlags,
    IrqFlags,
    IrqInfo,
    MigrationData,
    RegionFlags,
    RegionInfo,
    RegionIoFds,
)
from support.plain_device import MSI_AT, PlainDevice
from support.vfio_wire import INVALID, Peer, message, refusal, reply


def device_info(argsz: int = 16) -> bytes:
    return message(Command.DEVICE_GET_INFO, DEVICE_INFO.pack(DeviceInfo(argsz, DeviceFlags(0), 0, 0)))


def region_info(region: int, argsz: int = 32) -> bytes:
    return message(Command.DEVICE_GET_REGION_INFO, REGION_INFO.pack(RegionInfo(argsz, RegionFlags(0), region, 0, 0, 0)))


def irq_info(irq: int) -> bytes:
    return message(Command.DEVICE_GET_IRQ_INFO, IRQ_INFO.pack(IrqInfo(16, IrqFlags(0), irq, 0)))


@pytest.mark.parametrize("argsz", [16, 17, 4096, 0xFFFF_FFFF])
def test_the_device_is_a_pci_function_with_reset_nine_regions_and_five_kinds_of_interrupt(argsz: int) -> None:
    expected = DeviceInfo(16, DeviceFlags.of(reset=True, pci=True), 9, 5)
    assert Peer().ask(device_info(argsz)) == reply(Command.DEVICE_GET_INFO, DEVICE_INFO.pack(expected))


@pytest.mark.parametrize(
    ("region", "size"), [(0, 64 * 1024), (1, 0), (2, MIB), (3, 0), (4, 0), (5, 0), (6, 0), (7, 4096), (8, 0)]
)
def test_regions_have_their_windows_size_and_nothing_can_be_mapped(region: int, size: int) -> None:
    flags = RegionFlags.of(read=True, write=True) if size else RegionFlags(0)
    expected = RegionInfo(32, flags, region, 0, size, 0)
    assert Peer().ask(region_info(region)) == reply(Command.DEVICE_GET_REGION_INFO, REGION_INFO.pack(expected))
    assert Peer().ask(region_info(region, argsz=80)) == reply(Command.DEVICE_GET_REGION_INFO, REGION_INFO.pack(expected))


@pytest.mark.parametrize("region", [9, 10, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_a_region_that_no_pci_function_has_is_refused(region: int) -> None:
    peer = Peer()
    assert peer.ask(region_info(region)) == refusal(Command.DEVICE_GET_REGION_INFO, INVALID)
    assert peer.errors[0].rule == f"region {region}: regions are 0 to 8"


@pytest.mark.parametrize(
    ("irq", "flags", "count"),
    [
        (0, IrqFlags.of(eventfd=True, maskable=True, automasked=True), 1),
        (1, IrqFlags.of(eventfd=True, noresize=True), 1),
        (2, IrqFlags.of(eventfd=True, noresize=True), 0),
        (3, IrqFlags.of(eventfd=True), 1),
        (4, IrqFlags.of(eventfd=True), 1),
    ],
)
def test_interrupts_are_counted_by_kind(irq: int, flags: IrqFlags, count: int) -> None:
    assert Peer().ask(irq_info(irq)) == reply(Command.DEVICE_GET_IRQ_INFO, IRQ_INFO.pack(IrqInfo(16, flags, irq, count)))


@pytest.mark.parametrize("irq", [5, 6, 0xFFFF_FFFF])
def test_a_kind_of_interrupt_that_no_pci_function_has_is_refused(irq: int) -> None:
    assert Peer().ask(irq_info(irq)) == refusal(Command.DEVICE_GET_IRQ_INFO, INVALID)


def test_a_device_without_interrupt_pin_has_no_intx() -> None:
    peer = Peer(PlainDevice(pin=0))
    expected = IrqInfo(16, IrqFlags.of(eventfd=True, maskable=True, automasked=True), 0, 0)
    assert peer.ask(irq_info(0)) == reply(Command.DEVICE_GET_IRQ_INFO, IRQ_INFO.pack(expected))


@pytest.mark.parametrize(("log2", "vectors"), [(0, 1), (2, 4), (5, 32), (7, 32)])
def test_message_interrupts_are_as_many_as_the_capability_asks_for(log2: int, vectors: int) -> None:
    device = PlainDevice()
    device.config.bytes[MSI_AT + 2] = log2 << 1
    expected = IrqInfo(16, IrqFlags.of(eventfd=True, noresize=True), 1, vectors)
    assert Peer(device).ask(irq_info(1)) == reply(Command.DEVICE_GET_IRQ_INFO, IRQ_INFO.pack(expected))


@pytest.mark.parametrize("start", [0x00, 0x10, 0xD0])
def test_a_device_without_a_message_capability_or_with_a_loop_of_capabilities_has_no_message_interrupts(start: int) -> None:
    device = PlainDevice()
    device.config.bytes[0x34] = start
    device.config.bytes[0xD1] = 0xD0
    expected = IrqInfo(16, IrqFlags.of(eventfd=True, noresize=True), 1, 0)
    assert Peer(device).ask(irq_info(1)) == reply(Command.DEVICE_GET_IRQ_INFO, IRQ_INFO.pack(expected))


def test_no_access_goes_around_the_client() -> None:
    peer = Peer()
    ask = REGION_IO_FDS.pack(RegionIoFds(16, 0, 0, 0))
    assert peer.ask(message(Command.DEVICE_GET_REGION_IO_FDS, ask)) == reply(Command.DEVICE_GET_REGION_IO_FDS, ask)


@pytest.mark.parametrize("wrong", [RegionIoFds(16, 1, 0, 0), RegionIoFds(16, 0, 0, 1), RegionIoFds(16, 0, 1, 0), RegionIoFds(16, 0, 9, 0)])
def test_region_descriptors_are_refused_for_a_missing_region_or_with_flags(wrong: RegionIoFds) -> None:
    answer = Peer().ask(message(Command.DEVICE_GET_REGION_IO_FDS, REGION_IO_FDS.pack(wrong)))
    assert answer == refusal(Command.DEVICE_GET_REGION_IO_FDS, INVALID)


@pytest.mark.parametrize("feature", [0, 1, 2, 6, 8, 0xFFFF])
def test_every_feature_is_answered_like_the_kernel_answers_one_it_does_not_know(feature: int) -> None:
    peer = Peer()
    for flags in (FeatureFlags.of(feature=feature, get=True), FeatureFlags.of(feature=feature, set=True, probe=True)):
        asked = message(Command.DEVICE_FEATURE, DEVICE_FEATURE.pack(DeviceFeature(16, flags)) + bytes(8))
        assert peer.ask(asked) == refusal(Command.DEVICE_FEATURE, errno.ENOTTY)


def test_migration_data_is_refused() -> None:
    peer = Peer()
    for command in (Command.MIG_DATA_READ, Command.MIG_DATA_WRITE):
        assert peer.ask(message(command, MIGRATION_DATA.pack(MigrationData(4104, 4096)))) == refusal(command, INVALID)
