"""The guest's global translation table: ownership, halves of entries, and what the hardware's table holds meanwhile."""

from __future__ import annotations

import random

import pytest
from support.golden import made_host

from host_model.host import Host, PluggedVgpu
from host_model.mediator.failsafe import FailsafeReason
from host_model.device.mmio.window import GTT_OFFSET
from host_model.memory import WINDOW_SHIFT
from host_model.mediator.resources import ResourcePool
from pvinfo.units import GraphicsAddress, MIB

RAM = 16 * MIB
FRAME = ((1 << 46) - 1) & ~0xFFF


@pytest.fixture
def plugged() -> PluggedVgpu:
    return made_host().plug(ram_size=RAM)


def place(address: int) -> int:
    """Offset in BAR0 of the entry of a graphics address."""
    return GTT_OFFSET + (address >> 12) * 8


def hardware(plugged: PluggedVgpu, address: int) -> int:
    return plugged.vgpu.gpu.ggtt.entries[address >> 12]


def write(plugged: PluggedVgpu, address: int, entry: int, size: int = 8) -> None:
    plugged.vgpu.mmio.write(place(address), size, entry)


def read(plugged: PluggedVgpu, address: int, size: int = 8) -> int:
    return plugged.vgpu.mmio.read(place(address), size)


def bus_of(plugged: PluggedVgpu, guest_address: int) -> int:
    """Where the GPU reaches a page of the guest's RAM: found out by writing there, not by asking the port."""
    marker = random.Random(guest_address).randbytes(16)
    plugged.machine.memory.write(guest_address & ~0xFFF, marker)  # type: ignore[arg-type]
    memory = plugged.vgpu.mediator.memory
    for window in range(1, 256):
        page = memory.page(window << WINDOW_SHIFT | guest_address & ~0xFFF)  # type: ignore[arg-type]
        if page is not None and bytes(page[:16]) == marker:
            return window << WINDOW_SHIFT | guest_address & ~0xFFF
    raise AssertionError(f"no window shows guest page {guest_address:#x}")


def rules(plugged: PluggedVgpu) -> list[str]:
    return [finding.rule for finding in plugged.vgpu.findings]


# ---- whole entries ----


def test_a_fresh_slice_shows_the_gpu_a_scratch_page_and_the_guest_zeros(plugged: PluggedVgpu) -> None:
    vgpu = plugged.vgpu
    for owned in (vgpu.resources.low, vgpu.resources.high):
        for address in (owned.start, owned.start + len(owned) // 2, owned.stop - 4096):
            assert read(plugged, address) == 0
            assert hardware(plugged, address) == vgpu.scratch_page | 1
    page = vgpu.mediator.memory.page(vgpu.scratch_page)
    assert page is not None and bytes(page) == bytes(4096)


def test_an_entry_is_translated_for_the_hardware_and_read_back_as_written(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    write(plugged, low, 0x123007)
    assert read(plugged, low) == 0x123007
    assert hardware(plugged, low) == bus_of(plugged, 0x123000) | 7
    assert plugged.vgpu.ggtt.entry_writes == 1
    assert rules(plugged) == []


def test_bits_around_the_frame_pass_through(plugged: PluggedVgpu) -> None:
    high = plugged.vgpu.resources.high.stop - 4096
    write(plugged, high, 0xFFFF_C000_0000_0FFF | 0x5000)
    assert hardware(plugged, high) == 0xFFFF_C000_0000_0FFF | bus_of(plugged, 0x5000)
    assert read(plugged, high) == 0xFFFF_C000_0000_5FFF


def test_the_halves_read_apart_are_those_of_the_guests_entry(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    write(plugged, low, 0x8000_0001_0012_3003)
    assert (plugged.vgpu.mmio.read32(place(low)), plugged.vgpu.mmio.read32(place(low) + 4)) == (0x0012_3003, 0x8000_0001)
    assert plugged.vgpu.mmio.read(place(low) + 4, 8) == 0x8000_0001, "the upper half, and the lower one of the next entry"


def test_an_entry_that_is_not_present_shows_the_gpu_nothing_of_it(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    write(plugged, low, 0xFFFF_C000_0012_3FFE)
    assert read(plugged, low) == 0xFFFF_C000_0012_3FFE
    assert hardware(plugged, low) == plugged.vgpu.scratch_page
    assert plugged.vgpu.port.mapped_pages == 0


@pytest.mark.parametrize("address", [RAM, RAM + 4096, 1 << 39, FRAME])
def test_an_entry_that_points_beyond_the_guests_memory_shows_the_scratch_page(plugged: PluggedVgpu, address: int) -> None:
    low = plugged.vgpu.resources.low.start
    write(plugged, low, address | 3)
    assert read(plugged, low) == address | 3
    assert hardware(plugged, low) == plugged.vgpu.scratch_page | 3
    (finding,) = plugged.vgpu.findings
    assert (finding.rule, finding.where, finding.value) == ("ggtt-not-memory", f"GGTT entry of {low:#x}", address | 3)


def test_the_last_page_of_the_guests_memory_is_still_memory(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    write(plugged, low, RAM - 4096 | 1)
    assert hardware(plugged, low) == bus_of(plugged, RAM - 4096) | 1


# ---- ownership ----


def test_the_entries_at_each_edge_of_each_slice(plugged: PluggedVgpu) -> None:
    vgpu = plugged.vgpu
    before = bytes(vgpu.gpu.ggtt.entries)
    for owned in (vgpu.resources.low, vgpu.resources.high):
        for inside in (owned.start, owned.stop - 4096):
            write(plugged, inside, 0x1001)
            assert read(plugged, inside) == 0x1001
            write(plugged, inside, 0)
        for outside in (owned.start - 4096, owned.stop):
            if place(outside) < 2 * GTT_OFFSET:
                write(plugged, outside, 0x1001)
                write(plugged, outside, 0x1001, 4)
                assert read(plugged, outside) == 0
    assert {finding.where for finding in vgpu.findings.of_rule("ggtt-outside-slice")} == {
        f"GGTT entry of {address:#x}"
        for address in (vgpu.resources.low.start - 4096, vgpu.resources.low.stop, vgpu.resources.high.start - 4096)
    }
    for index, (old, new) in enumerate(zip(memoryview(before).cast("Q"), vgpu.gpu.ggtt.entries, strict=True)):
        if old != new:
            assert index << 12 in vgpu.resources.low or index << 12 in vgpu.resources.high


def test_a_write_outside_is_told_what_would_have_been_accepted(plugged: PluggedVgpu) -> None:
    resources = plugged.vgpu.resources
    write(plugged, 0, 0x1001)
    (finding,) = plugged.vgpu.findings
    assert finding.nearest == f"[{resources.low.start:#x}, {resources.low.stop:#x}) or [{resources.high.start:#x}, {resources.high.stop:#x})"
    assert (finding.value, finding.text) == (0x1001, "a write to an entry outside the vGPU's slices; it is dropped and reads back 0")


def test_a_guest_never_changes_or_sees_another_vgpus_entries() -> None:
    host = made_host()
    first, second = host.plug(ram_size=RAM), host.plug(ram_size=RAM)
    low = second.vgpu.resources.low.start
    write(second, low, 0x7001)
    untouched = hardware(second, low)
    for size in (4, 8):
        write(first, low, 0x1001, size)
    first.vgpu.mmio.write32(place(low) + 4, 0)
    assert read(first, low) == 0
    assert hardware(second, low) == untouched
    assert read(second, low) == 0x7001
    assert second.vgpu.scratch_page != first.vgpu.scratch_page


@pytest.mark.parametrize(
    ("what", "from_low", "size", "owned"),
    [
        ("the first byte", 0, 1, True), ("an address alone", 0, 0, True), ("the whole slice", 0, 64 * MIB, True),
        ("the last byte", 64 * MIB - 1, 1, True), ("one byte before", -1, 1, False), ("one byte after", 64 * MIB, 1, False),
        ("across the end", 64 * MIB - 1, 2, False), ("across the start", -1, 2, False), ("more than the slice", 0, 64 * MIB + 1, False),
    ],
)  # fmt: skip
def test_a_range_is_owned_when_all_of_it_lies_in_one_slice(
    plugged: PluggedVgpu, what: str, from_low: int, size: int, owned: bool
) -> None:
    assert plugged.vgpu.ggtt.owns(plugged.vgpu.resources.low.start + from_low, size) is owned, what


def test_adjacent_slices_are_still_two() -> None:
    host = made_host()
    host.pool = ResourcePool(host.gpu.aperture_size, host.gpu.ggtt_size, host_high=0)
    plugged = host.plug(low_at=192 * MIB, high_at=256 * MIB, ram_size=RAM)
    owns = plugged.vgpu.ggtt.owns
    assert owns(256 * MIB - 1, 1) and owns(256 * MIB, 1)
    assert not owns(256 * MIB - 1, 2)


def test_an_address_is_translated_through_the_guests_present_entry(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    write(plugged, low, 0x9003)
    write(plugged, low + 4096, 0xA002)
    translate = plugged.vgpu.ggtt.translate
    assert translate(GraphicsAddress(low + 0x123)) == 0x9123
    assert translate(GraphicsAddress(low + 4096)) is None, "not present"
    assert translate(GraphicsAddress(low + 8192)) is None, "never written"
    assert translate(GraphicsAddress(0)) is None, "not owned"


# ---- halves ----


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_entry_written_in_halves_works_once_both_are_there(plugged: PluggedVgpu, order: tuple[int, int]) -> None:
    high = plugged.vgpu.resources.high.start
    entry = 0x8000_0000_0034_5003
    write(plugged, high, 0x1001)
    for half in order:
        assert plugged.vgpu.ggtt.entry_writes == 1
        plugged.vgpu.mmio.write32(place(high) + 4 * half, entry >> 32 * half & 0xFFFFFFFF)
        if half == order[0]:
            assert read(plugged, high) == entry & 0xFFFFFFFF << 32 * half, "the other half reads 0 meanwhile"
            assert hardware(plugged, high) == plugged.vgpu.scratch_page, "and the GPU is shown nothing"
            assert plugged.vgpu.port.mapped_pages == 0
    assert read(plugged, high) == entry
    assert hardware(plugged, high) == bus_of(plugged, 0x345000) | 0x8000_0000_0000_0003
    assert plugged.vgpu.ggtt.entry_writes == 2


def test_the_same_half_twice_is_still_only_half(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    plugged.vgpu.mmio.write32(place(low), 0x1001)
    plugged.vgpu.mmio.write32(place(low), 0x2001)
    assert (read(plugged, low), hardware(plugged, low)) == (0x2001, plugged.vgpu.scratch_page)
    plugged.vgpu.mmio.write32(place(low) + 4, 0)
    assert hardware(plugged, low) == bus_of(plugged, 0x2000) | 1


def test_halves_of_different_entries_do_not_meet(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    plugged.vgpu.mmio.write32(place(low), 0x1001)
    plugged.vgpu.mmio.write32(place(low + 4096) + 4, 0)
    assert [hardware(plugged, low + page) for page in (0, 4096)] == [plugged.vgpu.scratch_page] * 2
    assert plugged.vgpu.ggtt.entry_writes == 0


def test_a_whole_write_ends_a_half_written_entry(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    plugged.vgpu.mmio.write32(place(low), 0x1001)
    write(plugged, low, 0x2001)
    plugged.vgpu.mmio.write32(place(low) + 4, 0)
    assert (read(plugged, low), hardware(plugged, low)) == (0, plugged.vgpu.scratch_page), "a new first half"


def test_eight_bytes_across_two_entries_are_a_half_of_each(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    plugged.vgpu.mmio.write32(place(low), 0x1001)
    plugged.vgpu.mmio.write32(place(low + 4096) + 4, 0)
    plugged.vgpu.mmio.write(place(low) + 4, 8, 0x2003 << 32)
    assert (read(plugged, low), read(plugged, low + 4096)) == (0x1001, 0x2003)
    assert hardware(plugged, low + 4096) == bus_of(plugged, 0x2000) | 3
    assert rules(plugged) == []


# ---- other widths, and the window's ends ----


@pytest.mark.parametrize(("shift", "size"), [(0, 1), (3, 1), (0, 2), (2, 2), (1, 4), (2, 4), (3, 8), (0, 3), (7, 2), (5, 8)])
def test_odd_accesses_read_their_bytes_and_write_nothing(plugged: PluggedVgpu, shift: int, size: int) -> None:
    low = plugged.vgpu.resources.low.start
    write(plugged, low, 0x8877_6655_4433_2211)
    write(plugged, low + 4096, 0xFFEE_DDCC_BBAA_0099)
    shown, translated = read(plugged, low), hardware(plugged, low)
    both = shown | read(plugged, low + 4096) << 64
    assert plugged.vgpu.mmio.read(place(low) + shift, size) == both >> 8 * shift & (1 << 8 * size) - 1
    plugged.vgpu.mmio.write(place(low) + shift, size, 0)
    assert (read(plugged, low), hardware(plugged, low)) == (shown, translated)
    finding = plugged.vgpu.findings.of_rule("ggtt-access-size")[0]
    assert finding.where == f"GGTT window +{place(low) - GTT_OFFSET + shift:#x}"
    assert (finding.nearest, finding.occurrences) == ("4 or 8 bytes, aligned", 2)


def test_the_window_ends_with_the_last_entry(plugged: PluggedVgpu) -> None:
    mmio, end = plugged.vgpu.mmio, GTT_OFFSET + 8 * MIB
    write(plugged, plugged.vgpu.resources.high.stop - 4096, 0x3001)
    assert mmio.read(end - 8, 8) == 0x3001
    assert mmio.read(end - 1, 1) == 0
    for offset, size in ((end, 4), (end, 8), (end - 4, 8), (end - 1, 2), (GTT_OFFSET - 4, 8), (GTT_OFFSET - 4, 4)):
        assert mmio.read(offset, size) == (1 << 8 * size) - 1
        mmio.write(offset, size, 0)
    assert mmio.read(end - 8, 8) == 0x3001
    assert {finding.where for finding in plugged.vgpu.findings.of_rule("mmio-outside-window")} == {
        "BAR0+0x1000000", "BAR0+0xfffffc", "BAR0+0xffffff", "BAR0+0x7ffffc",
    }  # fmt: skip


def test_a_smaller_table_has_a_smaller_window() -> None:
    plugged = Host(ggtt_size=2048 * MIB).plug(ram_size=RAM)
    assert plugged.vgpu.ggtt.window_size == 4 * MIB
    assert plugged.vgpu.mmio.read32(GTT_OFFSET + 4 * MIB - 4) == 0
    assert plugged.vgpu.mmio.read32(GTT_OFFSET + 4 * MIB) == 0xFFFFFFFF


# ---- pins and the end ----


def test_a_page_is_pinned_as_long_as_an_entry_points_at_it(plugged: PluggedVgpu) -> None:
    low, port = plugged.vgpu.resources.low.start, plugged.vgpu.port
    pinned = []
    for address, entry in ((0, 0x1001), (4096, 0x1003), (8192, 0x2001), (0, 0x2001), (4096, 0), (0, 0), (8192, 0x9002)):
        write(plugged, low + address, entry)
        pinned.append(port.mapped_pages)
    assert pinned == [1, 1, 2, 2, 1, 1, 0]


def test_a_reset_forgets_entries_halves_and_pins(plugged: PluggedVgpu) -> None:
    low, high = plugged.vgpu.resources.low.start, plugged.vgpu.resources.high.start
    write(plugged, low, 0x1001)
    write(plugged, high, RAM | 1)
    plugged.vgpu.mmio.write32(place(low + 4096), 0x2001)
    plugged.machine.gpu.reset()
    assert plugged.vgpu.port.mapped_pages == 0
    for address in (low, high, low + 4096):
        assert (read(plugged, address), hardware(plugged, address)) == (0, plugged.vgpu.scratch_page | 1)
    plugged.vgpu.mmio.write32(place(low + 4096) + 4, 0)
    assert plugged.vgpu.ggtt.entry_writes == 2, "the half from before the reset completes nothing"


def test_in_failsafe_mode_entries_are_kept_for_the_guest_and_never_reach_the_hardware(plugged: PluggedVgpu) -> None:
    low = plugged.vgpu.resources.low.start
    write(plugged, low, 0x1001)
    before = hardware(plugged, low)
    plugged.vgpu.failsafe.enter(FailsafeReason.UNSUPPORTED_GUEST, "a test")
    write(plugged, low, 0x2003)
    write(plugged, low + 4096, 0x3003)
    plugged.vgpu.mmio.write32(place(low + 8192) + 4, 0x55)
    plugged.vgpu.mmio.write(place(low + 8192) + 1, 2, 0x1234)
    write(plugged, 0, 0x3003)
    assert [read(plugged, address) for address in (low, low + 4096, low + 8192, 0)] == [0x2003, 0x3003, 0x55_0012_3400, 0]
    assert hardware(plugged, low) == before
    assert hardware(plugged, low + 4096) == plugged.vgpu.scratch_page | 1
    assert plugged.vgpu.port.mapped_pages == 1
    assert plugged.vgpu.ggtt.entry_writes == 1
    assert rules(plugged) == ["failsafe"]
    plugged.machine.gpu.reset()
    assert (read(plugged, low), hardware(plugged, low)) == (0, plugged.vgpu.scratch_page | 1)
    write(plugged, low, 0x2001)
    assert hardware(plugged, low) == bus_of(plugged, 0x2000) | 1


@pytest.mark.parametrize("seed", range(5))
def test_after_any_writes_each_hardware_entry_shows_the_guests_page_or_the_scratch_page(seed: int) -> None:
    plugged = made_host().plug(ram_size=RAM)
    rng = random.Random(seed)
    vgpu = plugged.vgpu
    window = bus_of(plugged, 0) >> WINDOW_SHIFT
    pages = [owned.start + 4096 * rng.randrange(16) for owned in (vgpu.resources.low, vgpu.resources.high) for _ in range(12)]
    for _ in range(2000):
        address = rng.choice(pages)
        frame = rng.choice((rng.randrange(0, 2 * RAM, 4096), rng.getrandbits(46) & FRAME))
        entry = frame | rng.getrandbits(12) | rng.getrandbits(18) << 46
        size = rng.choice((4, 8))
        vgpu.mmio.write(place(address) + rng.choice((0, 4)), size, entry >> rng.choice((0, 32)) & (1 << 8 * size) - 1)
    pinned = set()
    for address in set(pages):
        bus = hardware(plugged, address) & FRAME
        assert bus == vgpu.scratch_page or (bus >> WINDOW_SHIFT == window and bus & (1 << WINDOW_SHIFT) - 1 < RAM)
        if bus != vgpu.scratch_page:
            pinned.add(bus)
    assert vgpu.port.mapped_pages == len(pinned)
