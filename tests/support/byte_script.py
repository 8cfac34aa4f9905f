"""Any bytes are a program: what a guest does, one act for every twelve bytes.

So a random number generator, a saved crash and a fuzzer's mutation all speak to one interpreter, and cutting bytes out of a
program gives another program, which is what lets a failure be made small (:mod:`support.shrink`). An act picks its place
from lists of offsets at which something happens, each list with a weight: what a byte string means follows from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ("ACT_BYTES", "Act", "Kind", "Layout", "acts_of", "describe", "places_of")

ACT_BYTES = 12


class Kind(Enum):
    """What a guest, or the world around it, does."""

    CONFIG_READ = "config read"
    CONFIG_WRITE = "config write"
    READ = "read"
    WRITE = "write"
    APERTURE_READ = "aperture read"
    APERTURE_WRITE = "aperture write"
    RESET = "device reset"
    WAIT = "wait"
    EVENT = "event"
    """The host lets an interrupt event happen."""
    CABLE = "cable"
    """The host plugs in a monitor, or pulls the cable."""
    LIGHT_UP = "light up"
    """A display driver's steps in one: it talks to a monitor, switches a pipe on, or flips."""
    SET_UP = "set up"
    """A driver's first steps in one: it looks for the page, opens the way for interrupts, maps pages and sets a fence."""


class Act(NamedTuple):
    """One act of guest ``guest`` (0 or 1)."""

    guest: int
    kind: Kind
    offset: int
    """Nanoseconds for a wait, number for an event or a cable."""
    size: int
    value: int


class Layout(NamedTuple):
    """Where the slices are, so that programs can aim at their edges."""

    platform: str
    slices: tuple[range, range, range, range]
    """Low and high slice of the first guest, then of the second."""
    aperture: int
    ggtt_pages: int
    ram_size: int
    msi: int
    """Offset of the MSI capability."""


ENGINE_OFFSETS = (
    0x28, 0x30, 0x34, 0x38, 0x3C, 0x50, 0x5C, 0x64, 0x68, 0x6C, 0x74, 0x80, 0x88, 0x90, 0x94, 0x98, 0x9C, 0xA0, 0xA8, 0xB0, 0xB4,
    0xC0, 0xD0, 0xD4, 0xE4, 0x110, 0x120, 0x134, 0x178, 0x230, 0x234, 0x238, 0x244, 0x270, 0x274, 0x278, 0x29C, 0x29C, 0x29C,
    0x340, 0x358, 0x35C, 0x370, 0x374, 0x39C, 0x3A0, 0x3A4, 0x4D0, 0x4D4, 0x4FC, 0x580, 0x600,
)  # fmt: skip
INTERRUPT_BASES = (0x44300, 0x44310, 0x44320, 0x44330, 0x44400, 0x44410, 0x44420, 0x44440, 0x44460, 0x444E0, 0xC4000)
PVINFO_OFFSETS = (
    0x0, 0x4, 0x8, 0xA, 0xC, 0x10, 0x14, 0x3C, 0x40, 0x44, 0x48, 0x4C, 0x50, 0x54, 0x7FC, 0x800, 0x804, 0x804, 0x814, 0x818,
    0x818, 0x818, 0x81C, 0x82C, 0x830, 0x834, 0x838, 0x83C, 0x850, 0x854, 0x858, 0x85C, 0x860, 0xFFC,
)  # fmt: skip
GT_OFFSETS = (
    0x4080, 0x4094, 0x40E0, 0x4260, 0x4264, 0x4268, 0x426C, 0x4270, 0x4DF4, 0x4DFC, 0x7000, 0x7010, 0x7100, 0x7300, 0x907C, 0x941C,
    0x941C, 0x941C, 0x941C, 0x9430, 0xA188, 0xA26C, 0xA270, 0xA278, 0xC000, 0xC050, 0xC314, 0xD84, 0xD88, 0x130044, 0x138124, 0x138128, 0x13812C,
    0x101008, 0x13805C, 0x138060,
)  # fmt: skip
CONFIG_OFFSETS = (
    0x0, 0x2, 0x4, 0x4, 0x5, 0x6, 0x7, 0x8, 0xC, 0x10, 0x10, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x2C, 0x30, 0x33, 0x34, 0x3C, 0x3D, 0x40,
    0x50, 0x5C, 0xD0, 0xD4, 0xE0, 0xE8, 0xFC, 0x100, 0xFFC, 0xFFF, 0x1000,
)  # fmt: skip
REGION_EDGES = (0x1FFFFC, 0x1FFFFE, 0x200000, 0x200004, 0x400000, 0x7FFFFC, 0x7FFFFF, 0xFFFFFC, 0x1000000, 0x1000004)

OPERATIONS = (
    *[Kind.READ] * 82, *[Kind.CABLE] * 3, *[Kind.WRITE] * 105, *[Kind.LIGHT_UP] * 8, *[Kind.APERTURE_READ] * 8,
    *[Kind.APERTURE_WRITE] * 8, *[Kind.CONFIG_READ] * 8, *[Kind.CONFIG_WRITE] * 12, *[Kind.EVENT] * 9, *[Kind.WAIT] * 4, *[Kind.SET_UP] * 4, *[Kind.RESET] * 5,
)  # fmt: skip
"""By the first byte of an act."""
SIZES = (4, 4, 4, 4, 4, 4, 4, 4, 8, 8, 2, 2, 1, 1, 3, 8)
SHIFTS = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, -4, -1)


class _Places(NamedTuple):
    """Offsets worth an act, in lists: an act picks a list, then one of it."""

    mmio: tuple[tuple[int, ...], ...]
    aperture: tuple[int, ...]
    config: tuple[int, ...]


@cache
def places_of(layout: Layout) -> _Places:
    """The offsets at which something happens, for one platform and placement of slices."""
    handled: set[int] = set()
    masked: set[int] = set()
    tracked: set[int] = set()
    for line in files("pvinfo.registers").joinpath("tracked.tsv").read_text("ascii").splitlines():
        if line.startswith("0x"):
            start, size, platforms, flags, read_only, read, write, _ = line.split("\t")
            if platforms == "ALL" or layout.platform.upper() in platforms.split(","):
                ends = (int(start, 16), int(start, 16) + int(size, 16) - 4)
                special = masked if int(read_only, 16) or "MODE_MASK" in flags else tracked
                (handled if "E" in (read, write) else special).update(ends)
    edges = [address for owned in layout.slices for address in (owned.start, owned.stop)]
    entries = [0x800000 + 8 * (address // 4096 + page) for address in edges for page in (-2, -1, 0, 1, 2)]
    entries = [entry for entry in entries if entry < 0x800000 + 8 * layout.ggtt_pages]
    own = [0x800000 + 8 * (owned.start // 4096 + page) for owned in layout.slices for page in range(8)]
    engines = [base + offset for base in (0x2000, 0x12000, 0x1A000, 0x22000) for offset in ENGINE_OFFSETS]
    interrupts = [base + offset for base in INTERRUPT_BASES for offset in (0, 4, 8, 12)] + [0x44200] * 12
    fences = [0x100000 + 4 * number for number in range(68)] + [0x100000 + 4 * number for number in range(8)] * 40
    mmio = (
        *[tuple(own)] * 5, tuple(entries), tuple(0x78000 + offset for offset in PVINFO_OFFSETS), *[tuple(engines)] * 2,
        tuple(interrupts), tuple(fences), GT_OFFSETS, *[tuple(sorted(handled))] * 3, tuple(sorted(masked)), tuple(sorted(tracked)),
        REGION_EDGES,
    )  # fmt: skip
    aperture = [
        address + step for owned in layout.slices[::2] for address in (owned.start, owned.stop)
        for step in (-4096, -4, -1, 0, 4, 4092, 4095, 4096)
    ]  # fmt: skip
    config = (*CONFIG_OFFSETS, *(layout.msi + offset for offset in (0, 2, 2, 2, 4, 8)))
    return _Places(mmio, (*aperture, layout.aperture - 4, layout.aperture, 0), config)


def _value(style: int, raw: bytes, layout: Layout) -> int:
    """Eight bytes of value, in one of the ways that registers and table entries take notice of."""
    number = int.from_bytes(raw, "little")
    if style < 3:
        return number
    if style < 5:
        return number & 0x7
    if style < 6:
        return 0
    if style < 7:
        return 0xFFFFFFFF_FFFFFFFF
    if style < 10:  # a masked write that sets the bits it names
        return (number & 0xFFFF) << 16 | number & 0xFFFF
    if style < 12:  # pages of graphics memory, or of what comes after: two for a fence, one for anything narrower
        owned = layout.slices[raw[0] % 4]
        first, last = sorted(owned.start + (raw[part] & 0x1F) * 0x1000 for part in (1, 2))
        return last << 32 | first | raw[3] & 1
    if style < 15:  # an entry that points into the guest's memory, or just past it
        frame = (number >> 8) % (layout.ram_size // 4096 + 2)
        return frame << 12 | raw[0] & 0x7 | (number >> 56 & 0x3) << 62 | 1
    return 1 << (number & 0x3F)


def acts_of(script: bytes, layout: Layout) -> Iterator[Act]:
    """The acts of a program; a last act that is cut off is filled up with zeros."""
    places = places_of(layout)
    for at in range(0, len(script), ACT_BYTES):
        code = script[at : at + ACT_BYTES].ljust(ACT_BYTES, b"\0")
        kind = OPERATIONS[code[0]]
        where = code[1] | code[2] << 8
        style, shape = code[3] >> 4, code[3] & 0xF
        guest = 1 if where & 0xF000 == 0xF000 else 0
        size = SIZES[shape]
        shift = SHIFTS[code[11] >> 4]
        value = _value(style, code[4:12], layout)
        if kind in (Kind.CONFIG_READ, Kind.CONFIG_WRITE):
            offset = places.config[where % len(places.config)] + max(shift, 0)
        elif kind in (Kind.APERTURE_READ, Kind.APERTURE_WRITE):
            offset = places.aperture[where % len(places.aperture)] + shift
        elif kind in (Kind.READ, Kind.WRITE):
            chosen = places.mmio[where % len(places.mmio)]
            offset = chosen[(where // len(places.mmio)) % len(chosen)] + shift
        elif kind is Kind.WAIT:
            offset = value & 0xFFFFFF
        else:
            offset = where
        if kind is Kind.SET_UP:
            yield from _set_up(guest, layout)
            continue
        if kind is Kind.LIGHT_UP:
            yield from _light_up(guest, layout, where, int.from_bytes(code[4:12], "little"))
            continue
        yield Act(guest, kind, max(offset, 0), size, value & (1 << 8 * size) - 1)


def _set_up(guest: int, layout: Layout) -> Iterator[Act]:
    yield Act(guest, Kind.READ, 0x78000, 8, 0)
    yield Act(guest, Kind.CONFIG_WRITE, 0x04, 2, 0x0006)
    yield Act(guest, Kind.CONFIG_WRITE, layout.msi + 2, 2, 1)
    for base in INTERRUPT_BASES:
        yield Act(guest, Kind.WRITE, base + 4, 4, 0x0000F000)
        yield Act(guest, Kind.WRITE, base + 12, 4, 0x0FFFFFFF)
    yield Act(guest, Kind.WRITE, 0x44200, 4, 0x80000000)
    low = layout.slices[2 * guest].start
    for page in range(4):
        yield Act(guest, Kind.WRITE, 0x800000 + 8 * (low // 4096 + page), 8, 0x1000 * (page + 1) | 1)
    yield Act(guest, Kind.WRITE, 0x100004, 4, low + 0x3000)
    yield Act(guest, Kind.WRITE, 0x100000, 4, low | 1)


def _light_up(guest: int, layout: Layout, where: int, value: int) -> Iterator[Act]:
    base, what = 0x1000 * (where >> 2 & 0xFF) % 0x3000, where & 3
    if what == 0:
        yield from _aux_messages(guest, layout, where >> 4, value)
    elif what == 1:
        yield from _i2c_transfer(guest, layout, where >> 4, value)
    elif what == 2:
        yield from _transcoder(guest, layout, base, value)
    else:
        yield from _flip(guest, base, value)


def _write(guest: int, offset: int, value: int) -> Act:
    return Act(guest, Kind.WRITE, offset, 4, value & 0xFFFFFFFF)


def _connectors(platform: str) -> int:
    """How many ports a monitor can be plugged into: first each for DisplayPort, then all but the first for HDMI."""
    return 3 if platform in ("bdw", "bxt") else 4


def _aux_messages(guest: int, layout: Layout, where: int, value: int) -> Iterator[Act]:
    """Messages to a DisplayPort monitor, each of which is read back."""
    port = where & 3 if where & 0x10 else 1
    if where & 0x20:
        yield Act(guest, Kind.CABLE, port % _connectors(layout.platform), 4, 0)
    channel = 0x64010 + 0x100 * port
    if layout.platform == "bdw" and port:
        channel += 0x80000
    if value & 7 == 7:  # the link is trained, perhaps with another number of lanes or pattern than a monitor knows
        lanes, pattern, last = (1, 2, 4, 4, 4, 4, 3, 8)[value >> 3 & 7], (1, 1, 1, 2)[value >> 6 & 3], (0, 2, 3, 3)[value >> 8 & 3]
        course = [(0x80010002, 0x06000100 | lanes << 16 | pattern << 8), (0x80010200, last << 24), (0x80010200, 0), (0x80060000, (value >> 10 & 3) << 24)]
        for header, body in course[: 1 + (value >> 12 & 3)]:
            yield _write(guest, channel + 4, header)
            yield _write(guest, channel + 8, body)
            yield _write(guest, channel, 0x80000000 | 5 + (header & 0xF) << 20)
        yield _write(guest, channel + 4, 0x90020205)
        yield _write(guest, channel, 0x80400000)
        for step in range(0, 12, 4):
            yield Act(guest, Kind.READ, channel + step, 4, 0)
        return
    for _ in range(3):
        request = (0x8, 0x9, 0x4, 0x5, 0x0, 0x1, 0x2, 0x6)[value & 7]
        address = (0x50, 0x50, 0x50, 0x30)[value >> 3 & 3] if request < 8 else (0x100, 0x100, 0x101, 0x102, 0x102, 0x202, 0x0, 0x600)[value >> 3 & 7]
        length = value >> 6 & 0xF
        size = 3 if request < 8 and value >> 10 & 3 == 0 else 4 if request & 1 else 5 + length
        yield _write(guest, channel + 4, request << 28 | address << 8 | length)
        yield _write(guest, channel + 8, (0x06040100, 0x14840201, 0x02010303, value >> 12)[value >> 12 & 3])
        yield _write(guest, channel, 0xC0000000 | (value >> 14 & 1) << 29 | size << 20)
        for step in range(0, 24, 4):
            yield Act(guest, Kind.READ, channel + step, 4, 0)
        value >>= 15


def _i2c_transfer(guest: int, layout: Layout, where: int, value: int) -> Iterator[Act]:
    """What the I2C controller can be told."""
    if where & 1:  # HDMI at port B
        yield Act(guest, Kind.CABLE, _connectors(layout.platform), 4, 0)
    pins = 1 if layout.platform in ("bxt", "cfl") else 5
    yield _write(guest, 0xC5110, value >> 40)
    yield _write(guest, 0xC5120, (value >> 25 & 7 == 0) << 31 | value >> 48)
    yield _write(guest, 0xC5100, (pins if where & 6 else value & 7) | value >> 3 & 0x40)
    yield _write(guest, 0xC510C, value >> 32)
    target = (0xA0, 0xA0, 0xA0, 0x60)[value >> 10 & 3] | value >> 7 & 1
    yield _write(guest, 0xC5104, 0x40000000 | (value >> 4 & 7) << 25 | (value >> 12 & 0x1F) << 16 | (value >> 18 & 0xFF) << 8 | target)
    for offset in (0xC5108, 0xC510C, 0xC5108, 0xC510C):
        yield Act(guest, Kind.READ, offset, 4, 0)
    if value >> 8 & 3 == 1:
        yield _write(guest, 0xC510C, value >> 20)
    if value >> 8 & 3 == 2:
        yield _write(guest, 0xC5104, 0x48000000)
    if value >> 8 & 3 == 3:
        yield _write(guest, 0xC5108, 0x8000)


def _transcoder(guest: int, layout: Layout, base: int, value: int) -> Iterator[Act]:
    """A transcoder goes on with a clock that makes sense, or off."""
    yield _write(guest, 0x60000 + base, 0x053F03FF)
    yield _write(guest, 0x6000C + base, 0x400 + (value & 0xFF) << 16 | 0x2FF)
    if layout.platform == "bdw":
        yield _write(guest, 0x46104, (value >> 32 & 7) << 29)
        yield _write(guest, 0x46020, 0x80000000 | value << 10 & 0x0C000000)
    elif layout.platform == "bxt":
        yield _write(guest, 0x46078, 0xC0000000)
        for offset, word in ((0x6C100, 0x20), (0x6C104, 0x100), (0x6C108, value >> 20), (0x6C10C, (value & 1) << 16), (0x6C034, 0x4200)):
            yield _write(guest, offset, word)
    else:
        yield _write(guest, 0x6C05C, 0x0249 | (value >> 8 & 3) * 0x492)
        yield _write(guest, 0x6C058, value >> 10 & 0x3FFFFF)
        for loop in range(3):
            yield _write(guest, 0x6C040 + 8 * loop, 0x80400173)
            yield _write(guest, 0x6C044 + 8 * loop, 0x3A5)
    for loop in (0x46010, 0x46014, 0x46040, 0x46060):
        yield _write(guest, loop, 0x90211414)
    yield _write(guest, 0x60040 + base, 0x20000 + (value >> 16 & 0xFFFF))
    yield _write(guest, 0x60044 + base, 0x80000)
    yield _write(guest, 0x60400 + base, 0x90000000 | (value >> 35 & 3) << 24)
    yield _write(guest, 0x70008 + base, (value >> 40 & 7 != 0) << 31 | (value >> 43 & 7 == 0) * 0x600000)


def _flip(guest: int, base: int, value: int) -> Iterator[Act]:
    """A pipe is to tell of its frames and flips, and a surface is to be shown; a while later it is."""
    pipe = base >> 12
    yield _write(guest, 0x44404 + 0x10 * pipe, 0 if value & 1 else value >> 8)
    yield _write(guest, 0x4440C + 0x10 * pipe, 0xFFFFFFFF)
    yield _write(guest, (0x7019C, 0x7019C, 0x7029C, 0x70084)[value >> 1 & 3] + base, value >> 20)
    yield Act(guest, Kind.READ, 0x701AC + base, 4, 0)
    after = value >> 4 & 7
    if after == 0:  # nobody waits for the frame: the pipe goes off
        yield _write(guest, 0x70008 + base, 0)
    elif after == 1:  # or the device goes to sleep, or wakes up
        yield Act(guest, Kind.CONFIG_WRITE, 0xD4, 2, 3 * (value >> 7 & 1))
    yield Act(guest, Kind.WAIT, 20_000_000 if value >> 3 & 1 else 1_000_000, 4, 0)
    for offset in (0x70000, 0x70040, 0x70044, 0x70048, 0x7004C, 0x701AC, 0x700AC):
        yield Act(guest, Kind.READ, offset + base, 4, 0)


def describe(acts: Iterator[Act] | list[Act]) -> str:
    """A program in words, one act a line."""
    lines = []
    for act in acts:
        what = f"guest {act.guest}: {act.kind.value}"
        if act.kind in (Kind.WAIT, Kind.EVENT, Kind.CABLE):
            what += f" {act.offset}"
        elif act.kind is not Kind.RESET:
            what += f" {act.size} at {act.offset:#x}"
            if act.kind in (Kind.WRITE, Kind.CONFIG_WRITE, Kind.APERTURE_WRITE):
                what += f" := {act.value:#x}"
        lines.append(what)
    return "\n".join(lines)
