"""A trace as lines to read: registers by name, values in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from .gtt_entry import GgttEntry
from .page import PVINFO_BASE, PVINFO_SIZE
from .pci import CONFIG_HEADER
from .platform import ENGINES
from .register_index import describe_access, name_of
from .registers.engine import ContextStatus
from .registers.fence import FENCE_BASE, FENCE_COUNT
from .trace import Op, TraceRow
from .units import PAGE_SHIFT

__all__ = ("describe_row", "is_paravirtual", "rows_between", "show_rows")

_GGTT_ENTRY_SIZE: Final = 8
_ENGINES: Final = {specification.base: engine.name for engine, specification in ENGINES.items()}
_WORDS: Final = {
    Op.READ: "read",
    Op.WRITE: "write",
    Op.GGTT_READ: "ggtt read",
    Op.GGTT_WRITE: "ggtt write",
    Op.APERTURE_READ: "aper. read",
    Op.APERTURE_WRITE: "aper. write",
    Op.CONFIG_READ: "config read",
    Op.CONFIG_WRITE: "config write",
    Op.STATUS_EVENT: "event",
    Op.BREADCRUMB: "breadcrumb",
}


def is_paravirtual(row: TraceRow) -> bool:
    """The row belongs to what a guest does because it is one: PVINFO page, fences, GGTT entries."""
    if row.op in (Op.GGTT_READ, Op.GGTT_WRITE):
        return True
    if row.op not in (Op.READ, Op.WRITE):
        return False
    return PVINFO_BASE <= row.offset < PVINFO_BASE + PVINFO_SIZE or FENCE_BASE <= row.offset < FENCE_BASE + 8 * FENCE_COUNT


def rows_between(rows: Iterable[TraceRow], low: int, high: int) -> Iterator[TraceRow]:
    """The register accesses that touch a byte from ``low`` to ``high``, both included."""
    return (row for row in rows if row.op in (Op.READ, Op.WRITE) and row.offset <= high and row.offset + max(row.size, 1) > low)


def describe_row(row: TraceRow) -> tuple[str, str]:
    """Name of the place, and the value in words; each may be empty."""
    if row.op in (Op.READ, Op.WRITE):
        return name_of(row.offset), describe_access(row.offset, row.value, write=row.op is Op.WRITE)
    if row.op in (Op.GGTT_READ, Op.GGTT_WRITE):
        page = row.offset // _GGTT_ENTRY_SIZE
        meaning = f"bus address {GgttEntry(row.value).address:#x}" if row.size != 4 and GgttEntry(row.value).present else ""
        return f"entry of graphics address {page << PAGE_SHIFT:#x}", meaning or ("not present" if row.size != 4 else "")
    if row.op in (Op.CONFIG_READ, Op.CONFIG_WRITE):
        field = CONFIG_HEADER.field_at(row.offset)
        return (field.path if field is not None else ""), ""
    low, high = row.value & 0xFFFFFFFF, row.value >> 32
    if row.op is Op.STATUS_EVENT:
        return name_of(row.offset), f"context {high:#x}: {ContextStatus(low).describe()}"
    if row.op is Op.BREADCRUMB:
        return _ENGINES.get(row.offset, ""), f"{low} left at {high:#x}"
    return "", ""


def _line(row: TraceRow) -> str:
    name, meaning = describe_row(row)
    size = str(row.size) if row.size else "-"
    repeat = f"x{row.repeat}" if row.repeat > 1 else ""
    text = f"{row.ms:>7} ms  {_WORDS[row.op]:<12} {size:>2}  {row.offset:#09x}  {row.value:#012x} {repeat:>7}  {name}"
    return f"{text:<86}  {meaning}".rstrip() if meaning else text.rstrip()


def show_rows(rows: Iterable[TraceRow], *, limit: int | None = None) -> Iterator[str]:
    """A line per row; after ``limit`` of them, one that says how many are left."""
    rest = iter(rows)
    yield from (_line(row) for row in islice(rest, limit))
    left = sum(1 for _ in rest)
    if left:
        yield f"... {left} more rows"
