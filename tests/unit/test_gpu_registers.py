"""The physical GPU as its host left it: register values, configuration space, fences."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from host_model.clock import VirtualClock
from host_model.gpu.device import PhysicalGpu
from host_model.gpu.engine import Engine as GpuEngine
from host_model.memory import HostMemory
from host_model.gpu.reset_values import reset_values
from host_model.mediator.snapshot import take_snapshot
from pvinfo.errors import UsageError
from pvinfo.pci import CONFIG_HEADER, GMCH_CTL, MSI_CAPABILITY, POWER_MANAGEMENT_CAPABILITY, BaseAddressType, CapabilityId, GgttSize, GmchControl
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.registers.tracked import MMIO_SIZE, tracked_offsets
from pvinfo.units import GIB, MIB


def _gpu(platform: str, ggtt_size: int = 4 * GIB) -> PhysicalGpu:
    return PhysicalGpu(PLATFORMS[platform], 256 * MIB, HostMemory(), VirtualClock(), ggtt_size)


def _capabilities(config: bytes) -> dict[int, int]:
    """Capability ids with their offsets, in the order of the list."""
    found = {}
    at = config[0x34]
    while at:
        assert at >= 0x40 and at % 4 == 0 and config[at] not in found
        found[config[at]] = at
        at = config[at + 1]
    return found


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_registers_hold_the_table_of_reset_values_and_nothing_else(platform: str) -> None:
    gpu = _gpu(platform)
    rows = {row.offset: row.value for row in reset_values(platform)}
    assert len(rows) > 50
    assert {offset: gpu.registers.read32(offset) for offset in range(0, MMIO_SIZE, 4) if gpu.registers.read32(offset)} == rows


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_reset_value_says_why_and_after_which_source(platform: str) -> None:
    for row in reset_values(platform):
        assert row.name and row.why and row.source.split(":")[0] in ("linux", "prm"), row
        assert row.offset % 4 == 0 and 0 <= row.offset < MMIO_SIZE and 0 < row.value < 1 << 32, row


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_guest_is_shown_every_reset_value_but_a_few_that_the_kernel_does_not_track(platform: str) -> None:
    """What the kernel's mediator does not track, it does not snapshot either."""
    tracked = {offset for offset, _ in tracked_offsets(platform)}
    unseen = {row.offset for row in reset_values(platform) if row.offset not in tracked}
    assert unseen <= {0x20B4, 0x120B4, 0x1A0B4, 0x220B4, 0xA26C}
    golden = take_snapshot(_gpu(platform)).mmio
    for row in reset_values(platform):
        shown = int.from_bytes(golden[row.offset : row.offset + 4], "little")
        assert shown == (row.value if row.offset in tracked else 0)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_configuration_space_names_the_part(platform: str) -> None:
    config = _gpu(platform).config_image()
    assert len(config) == 4096
    header = CONFIG_HEADER.parse(config[:64])
    spec = PLATFORMS[platform]
    assert (header.vendor_id, header.device_id) == (0x8086, spec.device_id)
    assert header.class_code == 0x030000 << 8 | spec.revision
    assert header.status.capabilities
    assert header.interrupt_pin == 1
    assert (header.header_type.layout, header.header_type.multi_function) == (0, False)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_windows_are_a_register_bar_an_aperture_and_ports(platform: str) -> None:
    header = CONFIG_HEADER.parse(_gpu(platform).config_image()[:64])
    assert (header.bar0.type, header.bar0.prefetchable) == (BaseAddressType.BITS_64, False)
    assert (header.bar2.type, header.bar2.prefetchable) == (BaseAddressType.BITS_64, True)
    assert header.bar4.io
    assert (header.registers_address, header.aperture_address) == (0, 0)


@pytest.mark.parametrize(
    ("platform", "capabilities"),
    [
        ("bdw", {CapabilityId.MSI: 0x90, CapabilityId.POWER_MANAGEMENT: 0xD0}),
        ("skl", {CapabilityId.VENDOR: 0x40, CapabilityId.MSI: 0xAC, CapabilityId.POWER_MANAGEMENT: 0xD0}),
    ],
)
def test_capabilities_stand_where_the_silicon_has_them(platform: str, capabilities: dict[int, int]) -> None:
    assert _capabilities(_gpu(platform).config_image()) == capabilities


@pytest.mark.parametrize("platform", PLATFORMS)
def test_interrupts_are_one_message_at_a_32_bit_address(platform: str) -> None:
    config = _gpu(platform).config_image()
    msi = MSI_CAPABILITY.unpack_from(config, _capabilities(config)[CapabilityId.MSI])
    assert (msi.control.address_64, msi.control.maskable, msi.control.capable_log2, msi.control.enable) == (False, False, 0, False)
    power = POWER_MANAGEMENT_CAPABILITY.unpack_from(config, _capabilities(config)[CapabilityId.POWER_MANAGEMENT])
    assert power.capabilities.version == 2
    assert power.pmcsr == 0


@pytest.mark.parametrize(("size", "code"), [(1 * GIB, GgttSize.MIB_2), (2 * GIB, GgttSize.MIB_4), (4 * GIB, GgttSize.MIB_8)])
def test_graphics_control_tells_the_size_of_the_table(size: int, code: GgttSize) -> None:
    gpu = _gpu("skl", size)
    control = GmchControl(int.from_bytes(gpu.config_image()[GMCH_CTL : GMCH_CTL + 2], "little"))
    assert control.ggms == code
    assert control.ggtt_bytes == gpu.ggtt.window_size == size // 4096 * 8
    assert control.gms != 0
    assert set(gpu.ggtt.entries[:1024].tolist()) == {0}


def test_a_table_size_that_no_gpu_has_is_refused() -> None:
    with pytest.raises(UsageError, match="a GGTT of 3 GiB: it covers 1 GiB, 2 GiB, 4 GiB"):
        _gpu("skl", 3 * GIB)


def test_a_fence_is_its_two_registers() -> None:
    gpu = _gpu("skl")
    gpu.write_fence(31, 0x00FFF007_00100001)
    assert gpu.fences[31] == 0x00FFF007_00100001
    assert (gpu.registers.read32(0x1000F8), gpu.registers.read32(0x1000FC)) == (0x00100001, 0x00FFF007)
    gpu.write_fence(31, 0)
    assert not any(gpu.fences)


@pytest.mark.parametrize("engine", list(Engine))
def test_an_engines_invalidation_register_drops_what_that_engine_remembers_and_no_other(engine: Engine) -> None:
    gpu = _gpu("skl")
    register = ENGINES[engine].tlb_invalidate
    with patch.object(GpuEngine, "invalidate_translations", autospec=True) as drop:
        gpu.mmio.write32(register, 0)
        gpu.mmio.write32(register, 1)
    assert [call.args[0].engine for call in drop.call_args_list] == [engine]
    assert gpu.mmio.read32(register) == 0


def test_a_flush_of_the_global_table_reaches_every_engine() -> None:
    gpu = _gpu("skl")
    with patch.object(GpuEngine, "invalidate_translations", autospec=True) as drop:
        gpu.mmio.write32(0x101008, 1)
    assert {call.args[0].engine for call in drop.call_args_list} == set(Engine)
