"""BAR2: graphics memory through the translation table, and nothing but the vGPU's own slice of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.golden import made_host

from host_model.host import PluggedVgpu
from host_model.device.mmio.window import GTT_OFFSET
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.trace import Op, TraceRow, read_trace
from pvinfo.units import MIB, GuestAddress

RAM = 4 * MIB


@pytest.fixture
def plugged() -> PluggedVgpu:
    return made_host().plug(ram_size=RAM)


def map_page(plugged: PluggedVgpu, address: int, guest_address: int) -> None:
    """Point the table entry of a graphics address at a page of the guest's RAM."""
    plugged.vgpu.mmio.write(GTT_OFFSET + (address >> 12) * 8, 8, guest_address | 1)


def ram(plugged: PluggedVgpu, address: int, size: int) -> bytes:
    return plugged.machine.memory.read(GuestAddress(address), size)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_the_window_shows_the_mapped_page_of_the_guests_own_memory(plugged: PluggedVgpu, size: int) -> None:
    low, value = plugged.vgpu.resources.low.start, 0x8877_6655_4433_2211 & (1 << 8 * size) - 1
    map_page(plugged, low, 0x5000)
    plugged.vgpu.aperture.write(low + 0x128, size, value)
    assert ram(plugged, 0x5128, size) == value.to_bytes(size, "little")
    assert ram(plugged, 0x5128 + size, 8) == bytes(8)
    assert plugged.vgpu.aperture.read(low + 0x128, size) == value


def test_the_dword_path_is_the_same(plugged: PluggedVgpu) -> None:
    low, aperture = plugged.vgpu.resources.low.start, plugged.vgpu.aperture
    map_page(plugged, low, 0x5000)
    aperture.write32(low + 4, 0x1_1234_5678)
    assert aperture.read32(low + 4) == 0x1234_5678
    assert ram(plugged, 0x5004, 4) == bytes.fromhex("78563412")


def test_an_access_across_two_pages_reaches_both(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    map_page(plugged, low, 0x9000)
    map_page(plugged, low + 4096, 0x3000)
    plugged.vgpu.aperture.write(low + 4093, 8, 0x0807_0605_0403_0201)
    assert ram(plugged, 0x9FFD, 3) == bytes((1, 2, 3))
    assert ram(plugged, 0x3000, 5) == bytes((4, 5, 6, 7, 8))
    assert plugged.vgpu.aperture.read(low + 4093, 8) == 0x0807_0605_0403_0201


def test_where_the_guest_has_mapped_nothing_there_is_a_page_of_the_vgpus_own(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    assert plugged.vgpu.aperture.read32(low) == 0
    plugged.vgpu.aperture.write32(low, 7)
    assert plugged.vgpu.aperture.read32(low + 4096) == 7, "the same scratch page everywhere"
    assert list(plugged.vgpu.findings) == []


def test_what_one_guest_leaves_in_its_scratch_page_no_other_sees() -> None:
    host = made_host()
    first, second = host.plug(ram_size=RAM), host.plug(ram_size=RAM)
    first.vgpu.aperture.write32(first.vgpu.resources.low.start, 0x5EC4E7)
    assert second.vgpu.aperture.read32(second.vgpu.resources.low.start) == 0


@pytest.mark.parametrize(
    ("what", "offset", "size"),
    [
        ("the host's part", 0, 4), ("just before the slice", 128 * MIB - 4, 4), ("just after the slice", 192 * MIB, 8),
        ("the end of the window", 256 * MIB - 1, 1), ("past the window", 256 * MIB, 4), ("far past the window", 1 << 40, 8),
    ],
)  # fmt: skip
def test_outside_the_slice_reads_are_ones_and_writes_are_dropped(plugged: PluggedVgpu, what: str, offset: int, size: int) -> None:
    aperture = plugged.vgpu.aperture
    assert aperture.read(offset, size) == (1 << 8 * size) - 1
    aperture.write(offset, size, 0)
    (finding,) = plugged.vgpu.findings
    assert (finding.rule, finding.where, finding.occurrences) == ("aperture-outside-slice", f"BAR2+{offset & ~0xFFF:#x}", 2), what
    assert finding.nearest == "[0x8000000, 0xc000000) (64 MiB)"


def test_an_access_across_the_slices_edge_is_half_answered(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low
    map_page(plugged, low.start, 0x1000)
    plugged.vgpu.aperture.write(low.start - 2, 4, 0xAABB_CCDD)
    assert ram(plugged, 0x1000, 4) == bytes((0xBB, 0xAA, 0, 0))
    assert plugged.vgpu.aperture.read(low.start - 2, 4) == 0xAABB_FFFF


def test_a_neighbours_slice_cannot_be_read_or_written_through_the_window() -> None:
    host = made_host()
    first, second = host.plug(ram_size=RAM), host.plug(ram_size=RAM)
    theirs = second.vgpu.resources.low.start
    map_page(second, theirs, 0x2000)
    second.vgpu.aperture.write32(theirs, 0x1234)
    assert first.vgpu.aperture.read32(theirs) == 0xFFFF_FFFF
    first.vgpu.aperture.write32(theirs, 0)
    assert second.vgpu.aperture.read32(theirs) == 0x1234
    assert ram(first, 0x2000, 4) == bytes(4)


def test_a_page_that_was_reached_is_reached_no_more_once_its_entry_leads_elsewhere(plugged: PluggedVgpu) -> None:
    low, aperture = plugged.vgpu.resources.low.start, plugged.vgpu.aperture
    for address, value in ((0x5000, 1), (0x7000, 2)):
        map_page(plugged, low, address)
        aperture.write32(low, value)
        aperture.write32(low, value + 16)
    assert (ram(plugged, 0x5000, 1), ram(plugged, 0x7000, 1)) == (b"\x11", b"\x12")
    plugged.vgpu.reset()
    aperture.write32(low, 3)
    assert (ram(plugged, 0x5000, 1), ram(plugged, 0x7000, 1)) == (b"\x11", b"\x12")


def test_a_page_that_was_reached_is_reached_another_way_once_a_fence_covers_it(plugged: PluggedVgpu) -> None:
    """An X tile is 8 rows of 512 bytes: with a pitch of two tiles, byte 512 of row 0 is the second tile's first."""
    low, aperture = plugged.vgpu.resources.low.start, plugged.vgpu.aperture
    map_page(plugged, low, 0x5000)
    map_page(plugged, low + 4096, 0x6000)
    for value in (1, 2):
        aperture.write32(low + 512, value)
    fence = FENCE_BASE
    plugged.vgpu.mmio.write(fence, 8, (low + 4096) << 32 | (1024 // 128 - 1) << 32 | low | 1)
    aperture.write32(low + 512, 3)
    assert (ram(plugged, 0x5200, 1), ram(plugged, 0x6000, 1)) == (b"\x02", b"\x03")
    plugged.vgpu.mmio.write(fence, 8, 0)
    aperture.write32(low + 512, 4)
    assert (ram(plugged, 0x5200, 1), ram(plugged, 0x6000, 1)) == (b"\x04", b"\x03")


def test_the_window_has_the_physical_length() -> None:
    assert made_host(aperture_mib=512).plug(ram_size=RAM).vgpu.aperture.size == 512 * MIB


@pytest.mark.parametrize("seed", range(3))
def test_random_accesses_equal_the_same_accesses_to_the_guests_memory(seed: int) -> None:
    plugged = made_host().plug(ram_size=RAM)
    rng = random.Random(seed)
    low = plugged.vgpu.resources.low.start
    frames = rng.sample(range(1, RAM >> 12), 8)
    for page, frame in enumerate(frames):
        map_page(plugged, low + 4096 * page, frame << 12)
    shown = bytearray(8 * 4096)
    for _ in range(500):
        size = rng.choice((1, 2, 4, 8))
        offset = rng.randrange(8 * 4096 - size)
        if rng.random() < 0.5:
            value = rng.getrandbits(8 * size)
            plugged.vgpu.aperture.write(low + offset, size, value)
            shown[offset : offset + size] = value.to_bytes(size, "little")
        assert plugged.vgpu.aperture.read(low + offset, size) == int.from_bytes(shown[offset : offset + size], "little")
    assert b"".join(ram(plugged, frame << 12, 4096) for frame in frames) == shown


def test_accesses_are_counted_and_traced(plugged: PluggedVgpu, tmp_path: Path) -> None:
    path = tmp_path / "aperture.tsv"
    low = plugged.vgpu.resources.low.start
    plugged.vgpu.trace_to(path)
    plugged.vgpu.aperture.write(low, 2, 0x11234)
    plugged.vgpu.aperture.read32(low)
    plugged.vgpu.end_trace()
    plugged.vgpu.aperture.read32(low)
    assert (plugged.vgpu.aperture.reads, plugged.vgpu.aperture.writes) == (2, 1)
    assert read_trace(path) == [TraceRow(0, Op.APERTURE_WRITE, 2, low, 0x1234, 1), TraceRow(0, Op.APERTURE_READ, 4, low, 0x1234, 1)]
