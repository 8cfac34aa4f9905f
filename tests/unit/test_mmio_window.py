"""BAR0's registers: which bits a guest can change in any width, what is counted, and what failsafe mode and traces change."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest
from support.golden import made_host

from host_model.mediator.failsafe import FailsafeReason
from host_model.device.mmio.policy import Attribute
from host_model.mediator.policy import policy_for
from host_model.device.mmio.window import BAR0_SIZE, GTT_OFFSET, MmioWindow, aligned_pieces
from host_model.mediator.vgpu import Vgpu
from pvinfo.platform import PLATFORMS
from pvinfo.registers.tracked import MMIO_SIZE, TrackedAttribute, tracked_offsets, tracked_register_count, tracked_runs
from pvinfo.trace import TraceWriter, read_rows

PLAIN = 0x2030  # RING_TAIL
MASKED = 0x2120  # a chicken register: bits 31:16 enable the write of bits 15:0
READ_ONLY = 0x2234  # execlist status
PARTLY = 0xC4030  # hot-plug: the status bits are read-only
UNTRACKED = 0x3000


def vgpu(registers: dict[int, int] | None = None, platform: str = "skl") -> Vgpu:
    return made_host(registers, platform=platform).plug().vgpu


# ---- the tracked table ----


@pytest.mark.parametrize(("platform", "count"), [("bdw", 1249), ("skl", 2019), ("kbl", 2020), ("bxt", 2262), ("cfl", 2020)])
def test_as_many_registers_are_tracked_as_the_kernel_counts(platform: str, count: int) -> None:
    assert tracked_register_count(platform) == count


@pytest.mark.parametrize(("platform", "blocks", "dwords"), [("bdw", 5, 67328), ("skl", 6, 70400), ("kbl", 6, 70400), ("cfl", 6, 70400)])
def test_the_blocks_of_plain_storage_are_the_kernels(platform: str, blocks: int, dwords: int) -> None:
    runs = [run for run in tracked_runs(platform) if run.is_block]
    assert (len(runs), sum(run.size for run in runs) // 4) == (blocks, dwords)


@pytest.mark.parametrize(("platform", "masked"), [("bdw", 39), ("skl", 47), ("kbl", 47), ("bxt", 47), ("cfl", 47)])
def test_as_many_registers_are_masked_read_only_or_unaligned_as_the_kernel_counts(platform: str, masked: int) -> None:
    words: dict[TrackedAttribute, int] = dict.fromkeys(TrackedAttribute, 0)
    for run in tracked_runs(platform):
        for attribute in TrackedAttribute:
            words[attribute] += (run.size // 4) * bool(run.attributes & attribute)
    assert words[TrackedAttribute.MODE_MASK] == masked
    assert words[TrackedAttribute.READ_ONLY] == 61
    assert words[TrackedAttribute.GRAPHICS_ADDRESS] == 18
    assert words[TrackedAttribute.UNALIGNED] == 6
    assert words[TrackedAttribute.COMMAND_PATCH] == 16


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_tracked_dword_has_an_attribute_and_no_other_has(platform: str) -> None:
    policy = policy_for(platform)
    tracked = {offset for offset, _ in tracked_offsets(platform)}
    handled = set(policy.handlers.reads) | set(policy.handlers.writes)
    mask = int(Attribute.UNTRACKED)
    untracked = {index << 2 for index, attribute in enumerate(policy.attributes) if attribute & mask}
    assert untracked == set(range(0, MMIO_SIZE, 4)) - tracked - handled


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_fast_path_is_only_for_aligned_dwords_of_plain_registers(platform: str) -> None:
    policy = policy_for(platform)
    slow_write = {Attribute.WRITE_HANDLED, Attribute.MODE_MASK, Attribute.READ_ONLY_BITS, Attribute.UNTRACKED}
    rng = random.Random(4)
    for offset in [*range(0x2000, 0x2400), *range(0x78000, 0x78100), *(rng.randrange(MMIO_SIZE) for _ in range(5000))]:
        attribute = Attribute(policy.attributes[offset >> 2])
        aligned = offset % 4 == 0
        assert bool(policy.slow_reads[offset]) is not (aligned and not attribute & (Attribute.READ_HANDLED | Attribute.UNTRACKED))
        assert bool(policy.slow_writes[offset]) is not (aligned and not any(attribute & slow for slow in slow_write))


def test_every_handler_stands_on_whole_dwords_inside_the_registers() -> None:
    for platform in PLATFORMS:
        handlers = policy_for(platform).handlers
        for offset in {*handlers.reads, *handlers.writes}:
            assert offset % 4 == 0 and 0 <= offset < MMIO_SIZE


# ---- which bits a write changes ----


def test_a_plain_register_keeps_what_is_written() -> None:
    mmio = vgpu({PLAIN: 0x1234_5678}).mmio
    assert mmio.read32(PLAIN) == 0x1234_5678
    mmio.write32(PLAIN, 0xFEDC_BA98)
    assert mmio.read32(PLAIN) == 0xFEDC_BA98
    mmio.write32(PLAIN, 0x1_0000_0007)
    assert mmio.read32(PLAIN) == 7, "a value wider than the register is cut"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0x0000_FFFF, 0x0000_0F0F),
        (0xFFFF_0000, 0x0000_0000),
        (0x00FF_00F0, 0x0000_0FF0),
        (0x8001_8000, 0x0000_8F0E),
        (0xFFFF_FFFF, 0x0000_FFFF),
    ],
)
def test_a_masked_register_changes_only_the_enabled_bits_of_its_lower_half(written: int, expected: int) -> None:
    mmio = vgpu({MASKED: 0x0000_0F0F}).mmio
    mmio.write32(MASKED, written)
    assert mmio.read32(MASKED) == expected


def test_a_masked_register_never_keeps_the_mask() -> None:
    mmio = vgpu({MASKED: 0xABCD_0000}).mmio
    mmio.write32(MASKED, 0x0001_0001)
    assert mmio.read32(MASKED) == 0xABCD_0001, "the upper half stays what it was"


def test_a_narrow_write_reaches_a_masked_register_without_its_other_half() -> None:
    mmio = vgpu({MASKED: 0x0000_0003}).mmio
    mmio.write(MASKED, 2, 0xFFFF)
    assert mmio.read32(MASKED) == 3, "without a mask nothing changes"
    mmio.write(MASKED + 2, 2, 0xFFFF)
    assert mmio.read32(MASKED) == 3, "the mask alone writes the lower half over itself"


def test_read_only_registers_and_bits_stay() -> None:
    mmio = vgpu({READ_ONLY: 0x55AA_1234, PARTLY: 0x0301_0203}).mmio
    mmio.write32(READ_ONLY, 0xFFFF_FFFF)
    mmio.write(READ_ONLY + 1, 1, 0)
    assert mmio.read32(READ_ONLY) == 0x55AA_1234
    mmio.write32(PARTLY, 0xFCFE_FDFC)
    assert mmio.read32(PARTLY) == 0xFFFD_FEFF & ~0x0303_0303 | 0x0301_0203


def test_a_wide_write_applies_each_registers_own_rule() -> None:
    """The two dwords of execlist status are read-only, what stands above them is not tracked: one access over both."""
    status, above = READ_ONLY + 4, READ_ONLY + 8
    device = vgpu({READ_ONLY: 0x1111_1111, status: 0x2222_2222, above: 0x3333_3333})
    device.mmio.write(status, 8, 0xAAAA_AAAA_BBBB_BBBB)
    assert device.mmio.read(status, 8) == 0xAAAA_AAAA_2222_2222
    device.mmio.write(READ_ONLY + 2, 8, 0)
    assert device.mmio.read(READ_ONLY, 8) == 0x2222_2222_1111_1111
    assert device.mmio.read32(above) == 0xAAAA_0000


@pytest.mark.parametrize(
    ("offset", "size", "pieces"),
    [
        (0, 4, [(0, 4)]), (0, 8, [(0, 4), (4, 4)]), (4, 8, [(4, 4), (8, 4)]), (2, 4, [(2, 2), (4, 2)]),
        (1, 4, [(1, 1), (2, 2), (4, 1)]), (3, 8, [(3, 1), (4, 4), (8, 2), (10, 1)]), (0, 3, [(0, 2), (2, 1)]),
        (1, 2, [(1, 1), (2, 1)]), (7, 1, [(7, 1)]), (5, 0, []),
    ],
)  # fmt: skip
def test_an_access_is_cut_as_vfio_cuts_it(offset: int, size: int, pieces: list[tuple[int, int]]) -> None:
    assert list(aligned_pieces(offset, size)) == pieces


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_every_width_at_every_byte_reads_the_same_bytes(size: int) -> None:
    rng = random.Random(size)
    image = {offset: rng.getrandbits(32) for offset in range(PLAIN - 16, PLAIN + 32, 4)}
    mmio = vgpu(image).mmio
    for offset in range(PLAIN - 8, PLAIN + 16):
        assert mmio.read(offset, size) == sum(mmio.read(offset + lane, 1) << 8 * lane for lane in range(size))


@pytest.mark.parametrize("seed", range(6))
def test_narrow_and_straddling_writes_of_plain_registers_change_exactly_their_bytes(seed: int) -> None:
    """The bytes of the whole register file, in a plain bytearray beside it."""
    rng = random.Random(seed)
    device = vgpu()
    first, last = 0x140000, 0x140400  # a block of plain storage
    shown = bytearray(last - first)
    for _ in range(500):
        size = rng.choice((1, 2, 3, 4, 8))
        offset = rng.randrange(first, last - size)
        value = rng.getrandbits(8 * size)
        device.mmio.write(offset, size, value)
        shown[offset - first : offset - first + size] = value.to_bytes(size, "little")
    assert bytes(device.registers.bytes[first:last]) == shown
    assert list(device.findings) == []


# ---- where there is nothing ----


EDGES: list[tuple[int, int]] = [
    (MMIO_SIZE - 1, 2), (MMIO_SIZE - 2, 4), (MMIO_SIZE - 4, 8), (MMIO_SIZE - 1, 8), (MMIO_SIZE - 2, 3),
    (MMIO_SIZE, 1), (MMIO_SIZE, 2), (MMIO_SIZE, 4), (MMIO_SIZE, 8), (0x40_0000, 4),
    (GTT_OFFSET - 8, 8), (GTT_OFFSET - 4, 4), (GTT_OFFSET - 1, 1), (GTT_OFFSET - 4, 8), (GTT_OFFSET - 1, 2), (GTT_OFFSET - 2, 3),
    (BAR0_SIZE, 1), (BAR0_SIZE, 4), (BAR0_SIZE, 8), (BAR0_SIZE - 4, 8), (BAR0_SIZE - 1, 2), (1 << 40, 4), ((1 << 64) - 4, 4),
]  # fmt: skip


@pytest.mark.parametrize(("offset", "size"), EDGES)
def test_an_access_that_leaves_the_registers_or_the_table_reads_ones_and_writes_nothing(offset: int, size: int) -> None:
    device = vgpu()
    before = bytes(device.registers.bytes), bytes(device.gpu.ggtt.entries)
    assert device.mmio.read(offset, size) == (1 << 8 * size) - 1
    device.mmio.write(offset, size, 0)
    assert (bytes(device.registers.bytes), bytes(device.gpu.ggtt.entries)) == before
    (finding,) = device.findings
    assert (finding.rule, finding.where, finding.occurrences) == ("mmio-outside-window", f"BAR0+{offset:#x}", 2)
    assert finding.nearest == "[0, 0x200000) or [0x800000, 0x1000000)"


@pytest.mark.parametrize(("offset", "size"), [(0, 1), (0, 8), (MMIO_SIZE - 8, 8), (MMIO_SIZE - 4, 4), (MMIO_SIZE - 2, 2), (MMIO_SIZE - 1, 1)])
def test_the_first_and_last_bytes_of_the_registers_are_there(offset: int, size: int) -> None:
    device = vgpu()
    device.mmio.write(offset, size, (1 << 8 * size) - 1)
    assert device.mmio.read(offset, size) == (1 << 8 * size) - 1
    assert device.registers.bytes[offset : offset + size] == b"\xff" * size
    assert list(device.findings) == []


# ---- what is counted ----


def test_accesses_are_counted_once_each_whatever_their_width() -> None:
    mmio = vgpu().mmio
    mmio.read32(PLAIN)
    mmio.read(PLAIN, 8)
    mmio.read(PLAIN + 1, 2)
    mmio.write32(PLAIN, 1)
    mmio.write(GTT_OFFSET, 8, 0)
    assert (mmio.reads, mmio.writes) == (3, 2)


def test_untracked_registers_are_storage_and_counted_by_dword() -> None:
    device = vgpu({UNTRACKED: 5})
    assert device.mmio.read32(UNTRACKED) == 5
    device.mmio.write(UNTRACKED + 4, 8, 0x1_0000_0002)
    device.mmio.read(UNTRACKED + 5, 1)
    device.mmio.read32(PLAIN)
    assert dict(device.mmio.unmodelled) == {UNTRACKED: 1, UNTRACKED + 4: 2, UNTRACKED + 8: 1}
    assert device.mmio.read(UNTRACKED + 4, 8) == 0x1_0000_0002
    assert list(device.findings) == []


def test_a_guest_that_touches_everything_is_counted_in_bounded_memory() -> None:
    mmio = vgpu().mmio
    offsets = [offset for offset in range(0x180000, 0x190000, 4) if policy_for("skl").attributes[offset >> 2] & Attribute.UNTRACKED]
    for offset in offsets:
        mmio.read32(offset)
    assert len(offsets) == 0x4000
    assert len(mmio.unmodelled) == 4097
    assert mmio.unmodelled[-1] == len(offsets) - 4096


# ---- failsafe mode ----


def test_in_failsafe_mode_every_register_is_plain_storage_until_the_device_is_reset() -> None:
    device = vgpu({MASKED: 0x0F0F, READ_ONLY: 0x1234})
    device.failsafe.enter(FailsafeReason.GUEST_ERROR, "a test")
    for offset in (MASKED, READ_ONLY, 0x78000, UNTRACKED):
        device.mmio.write32(offset, 0xDEAD_BEEF)
        assert device.mmio.read32(offset) == 0xDEAD_BEEF
        device.mmio.write(offset + 1, 2, 0x1234)
        assert device.mmio.read32(offset) == 0xDE12_34EF
    assert not device.mmio.unmodelled
    device.reset()
    assert (device.mmio.read32(MASKED), device.mmio.read32(READ_ONLY)) == (0x0F0F, 0x1234)
    device.mmio.write32(READ_ONLY, 0)
    device.mmio.write32(MASKED, 0xFFFF_0000)
    assert (device.mmio.read32(MASKED), device.mmio.read32(READ_ONLY)) == (0, 0x1234)


# ---- traces ----


def accesses(mmio: MmioWindow) -> Iterator[int]:
    """A few accesses of every kind, with what was read."""
    yield mmio.read32(PLAIN)
    mmio.write32(PLAIN, 0x55)
    yield mmio.read(PLAIN, 2)
    yield mmio.read(0x78000, 8)
    mmio.write(MASKED, 4, 0x0001_0001)
    yield mmio.read32(MASKED)
    mmio.write(GTT_OFFSET + 0x40000, 8, 0x1001)
    yield mmio.read(GTT_OFFSET + 0x40000, 8)
    yield mmio.read32(MMIO_SIZE)
    mmio.write(MMIO_SIZE, 2, 7)


def test_a_trace_shows_every_access_and_changes_none() -> None:
    plain, traced = vgpu(), vgpu()
    file = io.StringIO()
    writer = TraceWriter(file)
    traced.mmio.trace_to(writer)
    assert list(accesses(traced.mmio)) == list(accesses(plain.mmio))
    assert (traced.mmio.reads, traced.mmio.writes) == (plain.mmio.reads, plain.mmio.writes)
    assert traced.registers.bytes == plain.registers.bytes
    writer.flush()
    low = traced.resources.low.start
    rows = [(row.op.value, row.size, row.offset, row.value) for row in read_rows(file.getvalue().splitlines())]
    assert low == 0x8000000
    assert rows == [
        ("R", 4, PLAIN, 0), ("W", 4, PLAIN, 0x55), ("R", 2, PLAIN, 0x55), ("R", 8, 0x78000, 0x4776544776544776),
        ("W", 4, MASKED, 0x0001_0001), ("R", 4, MASKED, 1), ("GW", 8, 0x40000, 0x1001), ("GR", 8, 0x40000, 0x1001),
        ("R", 4, MMIO_SIZE, 0xFFFFFFFF), ("W", 2, MMIO_SIZE, 7),
    ]  # fmt: skip


def test_a_trace_goes_on_through_failsafe_mode_and_ends_when_told() -> None:
    device = vgpu()
    file = io.StringIO()
    writer = TraceWriter(file)
    device.mmio.trace_to(writer)
    device.failsafe.enter(FailsafeReason.GUEST_ERROR, "a test")
    device.mmio.write32(READ_ONLY, 1)
    device.failsafe.leave()
    device.mmio.read32(PLAIN)
    device.mmio.trace_to(None)
    device.mmio.read32(PLAIN)
    writer.flush()
    assert [(row.op.value, row.offset, row.repeat) for row in read_rows(file.getvalue().splitlines())] == [("W", READ_ONLY, 1), ("R", PLAIN, 1)]
