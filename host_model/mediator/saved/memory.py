"""Where a guest's graphics memory lies: its global table, its fences, the address spaces of its processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from pvinfo.gtt_entry import ENTRY_SIZE
from pvinfo.units import PAGE_SHIFT, PAGE_SIZE
from pvinfo.wire import Codec, u8, u32, u64

from ..shadow.ggtt import GgttContents
from ..shadow.ppgtt import MAX_SPACES, ROOTS, KnownSpace
from .cursor import Cursor
from .section import Apply, Section, Shape

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("FENCES", "GGTT", "PPGTT", "SCRATCH")

# ---- what stands where nothing is mapped: a page of the host's, but the guest may have written there ----


def _scratch(vgpu: Vgpu) -> memoryview:
    page = vgpu.mediator.memory.page(vgpu.scratch_page)
    assert page is not None
    return page


def _load_scratch(cursor: Cursor, shape: Shape) -> Apply:
    data = cursor.bytes(PAGE_SIZE)

    def apply(vgpu: Vgpu) -> None:
        _scratch(vgpu)[:] = data

    return apply


SCRATCH: Final = Section("scratch", 1, True, lambda vgpu: bytes(_scratch(vgpu)), _load_scratch)


# ---- the global table ----


class SavedTable(NamedTuple):
    """The table as the guest has written it. There follow the entries of both slices, as they stand, then for each a byte that is
    1 where the hardware is shown nothing; then what the counts say."""

    entry_writes: Annotated[int, u64("entries that the guest has written, whole")]
    half_written: Annotated[int, u32("entries of which one half was written")]
    shown: Annotated[int, u32("entries that the hardware has, where failsafe mode keeps something else")]


class SavedHalf(NamedTuple):
    """An entry of which one half was written."""

    page: Annotated[int, u32("which page of graphics memory it is for")]
    half: Annotated[int, u32("0: the lower half was written, 1: the upper")]
    value: Annotated[int, u32("what was written")]


class SavedShown(NamedTuple):
    """An entry that the hardware has."""

    page: Annotated[int, u32("which page of graphics memory it is for")]
    entry: Annotated[int, u64("as the guest has written it")]


SAVED_TABLE: Final = Codec(SavedTable, doc="the guest's global table", size=16)
SAVED_HALF: Final = Codec(SavedHalf, doc="a table entry half written", size=12)
SAVED_SHOWN: Final = Codec(SavedShown, doc="a table entry in effect", size=12)


def _save_ggtt(vgpu: Vgpu) -> bytes:
    table = vgpu.ggtt.contents()
    return b"".join((
        SAVED_TABLE.pack(SavedTable(table.entry_writes, len(table.half_written), len(table.shown))),
        *table.slices,
        *table.closed,
        *(SAVED_HALF.pack(SavedHalf(page, half, value)) for page, (half, value) in table.half_written.items()),
        *(SAVED_SHOWN.pack(SavedShown(*shown)) for shown in table.shown.items()),
    ))  # fmt: skip


def _load_ggtt(cursor: Cursor, shape: Shape) -> Apply:
    head = cursor.record(SAVED_TABLE)
    slices = [range(part.start >> PAGE_SHIFT, part.stop >> PAGE_SHIFT) for part in (shape.low, shape.high)]
    entries = tuple(cursor.bytes(ENTRY_SIZE * len(part)) for part in slices)
    closed = tuple(cursor.bytes(len(part)) for part in slices)
    halves = cursor.records(SAVED_HALF, head.half_written)
    shown = cursor.records(SAVED_SHOWN, head.shown)
    for page in [half.page for half in halves] + [one.page for one in shown]:
        cursor.require(any(page in part for part in slices), "page", f"{page:#x}", "one of the vGPU's slices")
    for half in halves:
        cursor.require(half.half < 2, "half", half.half, "0 or 1")
    contents = GgttContents(entries, closed, {half.page: (half.half, half.value) for half in halves}, dict(shown), head.entry_writes)
    return lambda vgpu: vgpu.ggtt.take_over(contents)


GGTT: Final = Section("ggtt", 1, True, _save_ggtt, _load_ggtt)


# ---- fences ----


class SavedFence(NamedTuple):
    """A fence as the hardware has it. What the guest has written is among the registers."""

    value: Annotated[int, u64("its value; 0: out of use")]


SAVED_FENCE: Final = Codec(SavedFence, doc="a fence in effect", size=8)


def _save_fences(vgpu: Vgpu) -> bytes:
    return b"".join(SAVED_FENCE.pack(SavedFence(vgpu.gpu.fences[number])) for number in vgpu.resources.fences)


def _load_fences(cursor: Cursor, shape: Shape) -> Apply:
    fences = cursor.records(SAVED_FENCE, shape.fences)

    def apply(vgpu: Vgpu) -> None:
        for number, fence in enumerate(fences):
            vgpu.fences.write(number, fence.value)

    return apply


FENCES: Final = Section("fences", 1, True, _save_fences, _load_fences)


# ---- address spaces ----


class SavedSpace(NamedTuple):
    """An address space that the mediator knows. Its tables are the guest's memory."""

    levels: Annotated[int, u8("levels of its tables, 3 or 4")]
    announced: Annotated[int, u32("announcements by the guest that it has not taken back")]
    rank: Annotated[int, u32("place of its shadow among the shadows, the least recently used first; 0: there was none")]
    root_0: Annotated[int, u64("its top table")]
    root_1: Annotated[int, u64("with three levels the second one")]
    root_2: Annotated[int, u64("the third")]
    root_3: Annotated[int, u64("the fourth")]


SAVED_SPACE: Final = Codec(SavedSpace, doc="an address space", size=41)


def _save_ppgtt(vgpu: Vgpu) -> bytes:
    def saved(space: KnownSpace) -> SavedSpace:
        roots = (*space.roots, 0, 0, 0)
        return SavedSpace(space.levels, space.announced, space.rank, roots[0], roots[1], roots[2], roots[3])

    return b"".join(SAVED_SPACE.pack(saved(space)) for space in vgpu.tables.known())


def _load_ppgtt(cursor: Cursor, shape: Shape) -> Apply:
    saved = cursor.rest(SAVED_SPACE)
    cursor.require(len(saved) <= MAX_SPACES, "number", len(saved), f"{MAX_SPACES} at most")
    for space in saved:
        cursor.require(space.levels in ROOTS, "levels", space.levels, "3 or 4")
        cursor.require(space.announced > 0, "announcements", space.announced, "at least 1, or nobody needs the space")
    spaces = [KnownSpace(space.levels, tuple(space[3 : 3 + ROOTS[space.levels]]), space.announced, space.rank) for space in saved]
    cursor.require(len({space[:2] for space in spaces}) == len(spaces), "roots", "given twice", "different for each space")
    return lambda vgpu: vgpu.tables.take_over(spaces)


PPGTT: Final = Section("ppgtt", 1, True, _save_ppgtt, _load_ppgtt)
