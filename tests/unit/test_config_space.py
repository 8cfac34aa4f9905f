"""The vGPU's PCI configuration space: what it begins with, and what a guest's writes change."""

from __future__ import annotations

import random
from itertools import product

import pytest
from support.golden import CONFIG, MSI, POWER, made_host

from host_model.bare_metal import bare_machine
from host_model.device.config_space import ConfigurationSpace
from host_model.mediator.vgpu import Vgpu
from pvinfo.units import MIB


def vgpu(aperture_mib: int = 256) -> Vgpu:
    return made_host(aperture_mib=aperture_mib).plug().vgpu


@pytest.fixture
def config() -> ConfigurationSpace:
    return vgpu().config


def faults(device: Vgpu) -> list[tuple[str, str]]:
    return [(finding.rule, finding.where) for finding in device.findings]


# ---- the initial image ----


@pytest.mark.parametrize(
    ("what", "offset", "value"),
    [
        ("ids are the physical ones", 0x00, 0x1912_8086),
        ("nothing is enabled, the capability list stays", 0x04, 0x0010_0000),
        ("class and revision are the physical ones", 0x08, 0x0300_0006),
        ("BAR0 has its type and no address", 0x10, 0x0000_0004),
        ("BAR1, its upper half, is 0", 0x14, 0),
        ("BAR2 has its type and no address", 0x18, 0x0000_000C),
        ("BAR3 is 0", 0x1C, 0),
        ("there is no I/O window", 0x20, 0),
        ("nor anything in BAR5", 0x24, 0),
        ("subsystem ids are the physical ones", 0x2C, 0x2212_8086),
        ("there is no ROM", 0x30, 0),
        ("the first capability is where it was", 0x34, 0x40),
        ("the interrupt line is what the host's firmware left", 0x3C, 0x010B),
        ("GMCH_CTL has no stolen memory", 0x50, 0x00C1),
        ("stolen memory has no base", 0x5C, 0),
        ("the OpRegion is not there", 0xFC, 0),
        ("MSI is off", MSI, 0x0000_D005),
        ("and has no address", MSI + 4, 0),
        ("the device is awake", POWER + 4, 0),
    ],
)
def test_a_guest_first_finds(config: ConfigurationSpace, what: str, offset: int, value: int) -> None:
    assert config.read(offset, 4) == value, what


def test_everything_without_a_rule_is_a_copy_of_the_physical_gpus(config: ConfigurationSpace) -> None:
    special = {0x04, 0x10, 0x14, 0x18, 0x20, 0x30, 0x50, 0x5C, 0xFC, MSI, MSI + 4, MSI + 8}
    for offset in range(0, 4096, 4):
        if offset not in special:
            assert config.read(offset, 4) == CONFIG.get(offset, 0), hex(offset)


# ---- base address registers ----


@pytest.mark.parametrize(("aperture_mib", "bar2_low"), [(256, 0xF000_000C), (512, 0xE000_000C), (1024, 0xC000_000C), (2048, 0x8000_000C)])
def test_sizing_shows_the_physical_windows_lengths(aperture_mib: int, bar2_low: int) -> None:
    config = vgpu(aperture_mib).config
    for bar in range(0x10, 0x28, 4):
        config.write(bar, 4, 0xFFFFFFFF)
    assert [config.read(bar, 4) for bar in range(0x10, 0x28, 4)] == [0xFF00_0004, 0xFFFF_FFFF, bar2_low, 0xFFFF_FFFF, 0, 0]


def test_an_address_is_kept_down_to_the_windows_length_with_the_type_bits(config: ConfigurationSpace) -> None:
    config.write(0x10, 4, 0xFD12_3456)
    config.write(0x14, 4, 0x0000_0012)
    config.write(0x18, 4, 0xE123_4567)
    config.write(0x1C, 4, 0x0000_0034)
    assert [config.read(bar, 4) for bar in range(0x10, 0x20, 4)] == [0xFD00_0004, 0x12, 0xE000_000C, 0x34]
    assert (config.bar_address(0), config.bar_address(2)) == (0x12_FD00_0000, 0x34_E000_0000)


def test_sizing_leaves_no_trace_once_the_address_is_back(config: ConfigurationSpace) -> None:
    config.write(0x10, 8, 0x4_FD00_0004)
    before = config.read(0x10, 8)
    config.write(0x10, 4, 0xFFFFFFFF)
    config.write(0x14, 4, 0xFFFFFFFF)
    assert config.read(0x10, 8) == 0xFFFF_FFFF_FF00_0004
    config.write(0x10, 8, before)
    assert config.read(0x10, 8) == 0x4_FD00_0004


def test_a_rom_cannot_be_sized_because_there_is_none(config: ConfigurationSpace) -> None:
    for pattern in (0xFFFF_F800, 0xFFFF_FFFF, 0x000C_0001):
        config.write(0x30, 4, pattern)
        assert config.read(0x30, 4) == 0


@pytest.mark.parametrize("bar", range(0x10, 0x28, 4))
def test_a_base_address_register_written_byte_by_byte_is_the_same(bar: int) -> None:
    whole, pieces = vgpu().config, vgpu().config
    for value in (0xFFFFFFFF, 0xFD34_5678, 0):
        whole.write(bar, 4, value)
        for lane in range(4):
            pieces.write(bar + lane, 1, value >> 8 * lane)
        assert pieces.read(bar, 4) == whole.read(bar, 4)


def test_the_guest_cannot_move_type_bits_in(config: ConfigurationSpace) -> None:
    config.write(0x10, 1, 0xFF)
    config.write(0x18, 2, 0xFFFF)
    assert (config.read(0x10, 4), config.read(0x18, 4)) == (0x4, 0xC)


# ---- command and status ----


def test_the_bits_of_command_that_a_guest_may_set(config: ConfigurationSpace) -> None:
    config.write(0x04, 2, 0xFFFF)
    assert config.read(0x04, 2) == 0x07FF
    assert (config.memory_enabled, config.master_enabled) == (True, True)
    config.write(0x04, 1, 0x04)
    assert config.read(0x04, 2) == 0x0704
    assert (config.memory_enabled, config.master_enabled) == (False, True)


def test_error_bits_of_status_are_cleared_by_writing_ones(config: ConfigurationSpace) -> None:
    config.bytes[0x07] = 0xF9
    config.write(0x04, 2, 0xFFFF)
    assert config.read(0x06, 2) == 0xF910, "a write of command alone leaves them"
    config.write(0x06, 2, 0x3000)
    assert config.read(0x06, 2) == 0xC910
    config.write(0x04, 4, 0xFFFF_0000)
    assert config.read(0x04, 4) == 0x0010_0000, "the rest of status is read-only"
    config.write(0x07, 1, 0xFF)
    assert config.read(0x06, 2) == 0x0010


# ---- capabilities and the device's own registers ----


@pytest.mark.parametrize(
    ("what", "offset", "writable"),
    [
        ("ids", 0x00, 0),
        ("class and revision", 0x08, 0),
        ("cache line size", 0x0C, 0xFF),
        ("subsystem ids", 0x2C, 0),
        ("capability pointer", 0x34, 0),
        ("interrupt line, not the pin", 0x3C, 0xFF),
        ("GMCH_CTL", 0x50, 0),
        ("MSI: enable only", MSI, 0x0001_0000),
        ("MSI address: a dword", MSI + 4, 0xFFFF_FFFC),
        ("MSI data", MSI + 8, 0xFFFF),
        ("power management capabilities", POWER, 0),
        ("power state", POWER + 4, 3),
        ("OpRegion address", 0xFC, 0xFFFF_FFFF),
        ("the device's own space", 0x60, 0xFFFF_FFFF),
        ("extended space", 0xFFC, 0xFFFF_FFFF),
    ],
)
def test_which_bits_a_guest_can_change(config: ConfigurationSpace, what: str, offset: int, writable: int) -> None:
    first = config.read(offset, 4)
    config.write(offset, 4, 0xFFFFFFFF)
    assert config.read(offset, 4) == first | writable, what
    config.write(offset, 4, 0)
    assert config.read(offset, 4) == first & ~writable, what


def test_msi_is_on_once_enabled_and_not_by_any_other_bit(config: ConfigurationSpace) -> None:
    assert config.msi_capability == MSI
    enabled = []
    for control in (0xFFFE, 0x0001, 0xFFFF, 0x0000):
        config.write(MSI + 2, 2, control)
        enabled.append((config.msi_enabled, config.read(MSI + 2, 2)))
    assert enabled == [(False, 0), (True, 1), (True, 1), (False, 0)]


def test_only_d3_is_asleep(config: ConfigurationSpace) -> None:
    asleep = []
    for state in (0, 1, 2, 3, 0):
        config.write(POWER + 4, 2, state)
        asleep.append(config.in_d3)
    assert asleep == [False, False, False, True, False]


@pytest.mark.parametrize(("offset", "size"), [(0xE8, 4), (0xE8, 2), (0xE4, 8)])
def test_a_software_sci_without_an_opregion_is_noted_and_not_kept(offset: int, size: int) -> None:
    device = vgpu()
    device.config.write(offset, size, (1 << 8 * size) - 1)
    assert device.config.read(0xE8, 4) == 0
    assert faults(device) == [("software-sci", "config+0xe8")]
    assert [finding.value for finding in device.findings] == [0xFFFF]


def test_the_upper_half_of_the_calls_dword_calls_nobody() -> None:
    device = vgpu()
    device.config.write(0xEA, 2, 0xFFFF)
    assert faults(device) == []


def test_on_the_physical_gpu_a_software_sci_finds_no_firmware() -> None:
    gpu = bare_machine().gpu
    gpu.config.write(0xFC, 4, 0x1000)
    gpu.config.write(0xE8, 2, 0x8001)
    assert [(finding.rule, finding.text) for finding in gpu.findings] == [
        ("software-sci", "a software SCI, but no firmware is here to answer it")
    ]


def test_a_gpu_without_capabilities_has_no_msi_and_never_sleeps() -> None:
    device = vgpu()
    image = bytearray(device.config.bytes)
    image[0x06] = 0
    bare = ConfigurationSpace(bytes(image), {0: 16 * MIB, 2: 256 * MIB}, device.findings, device.clock, lambda: None)
    assert (bare.msi_capability, bare.msi_enabled, bare.in_d3) == (None, False, False)
    bare.write(POWER + 4, 2, 3)
    assert not bare.in_d3


def test_a_capability_list_that_bites_its_tail_ends() -> None:
    device = vgpu()
    image = bytearray(device.config.bytes)
    image[POWER + 1] = 0x40
    assert ConfigurationSpace(bytes(image), {}, device.findings, device.clock, lambda: None).msi_capability == MSI


# ---- widths ----


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_every_width_reads_the_same_bytes(config: ConfigurationSpace, size: int) -> None:
    for offset in [*range(0, 0x60), *range(4096 - size - 4, 4096 - size + 1)]:
        bytewise = sum(config.read(offset + lane, 1) << 8 * lane for lane in range(size))
        assert config.read(offset, size) == bytewise


@pytest.mark.parametrize("seed", range(10))
def test_a_write_has_the_same_effect_as_its_bytes_one_after_the_other(seed: int) -> None:
    rng = random.Random(seed)
    whole, pieces = vgpu().config, vgpu().config
    interesting = [0x04, 0x06, 0x0C, 0x10, 0x14, 0x18, 0x1C, 0x20, 0x30, 0x3C, 0x50, 0x5C, MSI, MSI + 4, MSI + 8, POWER + 4, 0xE8, 0xFC]
    for _ in range(400):
        size = rng.choice((1, 2, 3, 4, 8))
        offset = min(max(rng.choice(interesting) + rng.randrange(-4, 5), 0), 4096 - size)
        value = rng.choice((0, (1 << 8 * size) - 1, rng.getrandbits(8 * size)))
        whole.write(offset, size, value)
        for lane in range(size):
            pieces.write(offset + lane, 1, value >> 8 * lane & 0xFF)
        assert pieces.bytes == whole.bytes, (hex(offset), size, hex(value))


@pytest.mark.parametrize(("offset", "size"), [*product((4096, 4100, 1 << 32, -1), (1, 2, 4)), (4095, 2), (4093, 4), (4094, 3), (4089, 8)])
def test_past_the_end_there_is_nothing(offset: int, size: int) -> None:
    device = vgpu()
    before = bytes(device.config.bytes)
    assert device.config.read(offset, size) == (1 << 8 * size) - 1
    device.config.write(offset, size, 0)
    assert device.config.bytes == before
    assert faults(device) == [("config-outside", f"config+{offset:#x}")]
    (finding,) = device.findings
    assert (finding.nearest, finding.occurrences) == ("[0, 0x1000)", 2)


def test_a_value_wider_than_the_access_is_cut(config: ConfigurationSpace) -> None:
    config.write(0x60, 2, 0x1234_5678)
    assert config.read(0x60, 4) == 0x5678


def test_a_reset_brings_the_initial_image_back(config: ConfigurationSpace) -> None:
    before = bytes(config.bytes)
    rng = random.Random(3)
    for offset in range(0, 4096, 4):
        config.write(offset, 4, rng.getrandbits(32))
    assert config.bytes != before
    config.reset()
    assert config.bytes == before
