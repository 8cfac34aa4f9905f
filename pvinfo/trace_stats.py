"""A trace in numbers: what was accessed how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from .notify import Notification
from .page import PVINFO_BASE, PVINFO_SIZE, PvInfo
from .register_index import name_of, register_at
from .trace import Op, TraceRow

__all__ = ("AccessCount", "TraceStats", "format_stats", "trace_stats")

_GGTT_ENTRY_SIZE: Final = 8


class AccessCount(NamedTuple):
    """Accesses to one place."""

    reads: int
    writes: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.reads + self.writes


class TraceStats(NamedTuple):
    """What a trace holds. Registers and blocks come most accessed first."""

    rows: int
    milliseconds: int
    """From the first access to the last."""
    accesses: dict[Op, int]
    blocks: dict[str, AccessCount]
    """By block of declared registers; PVINFO page as ``PvInfo``, everything undeclared as ``(undeclared)``."""
    registers: dict[int, AccessCount]
    """By dword offset."""
    undeclared: dict[int, AccessCount]
    """Those that no block declares."""
    pvinfo: AccessCount
    notifications: dict[Notification | int, int]
    """Writes of g2v_notify; what is no notification stands as a number."""
    ggtt_entries: int
    """Entries written; halves count half."""


def _most_first(counts: dict[int, list[int]]) -> dict[int, AccessCount]:
    ordered = sorted(counts.items(), key=lambda entry: (-sum(entry[1]), entry[0]))
    return {key: AccessCount(*both) for key, both in ordered}


def _notification(value: int) -> Notification | int:
    try:
        return Notification(value)
    except ValueError:
        return value


def trace_stats(rows: Iterable[TraceRow]) -> TraceStats:
    """Count what ``rows`` hold; a row counts as often as it repeats."""
    accesses: Counter[Op] = Counter()
    registers: dict[int, list[int]] = {}
    notifications: Counter[Notification | int] = Counter()
    ggtt_bytes = 0
    first = last = count = 0
    for row in rows:
        first = row.ms if not count else first
        last = row.ms
        count += 1
        accesses[row.op] += row.repeat
        if row.op in (Op.READ, Op.WRITE):
            registers.setdefault(row.offset & ~3, [0, 0])[row.op is Op.WRITE] += row.repeat
            if row.op is Op.WRITE and row.offset == PvInfo.g2v_notify.at():
                notifications[_notification(row.value)] += row.repeat
        elif row.op is Op.GGTT_WRITE:
            ggtt_bytes += (row.size or _GGTT_ENTRY_SIZE) * row.repeat
    blocks: dict[str, list[int]] = {}
    pvinfo = [0, 0]
    undeclared: dict[int, list[int]] = {}
    for offset, both in registers.items():
        place = register_at(offset)
        if PVINFO_BASE <= offset < PVINFO_BASE + PVINFO_SIZE:
            block = PvInfo.__name__
            pvinfo = [pvinfo[0] + both[0], pvinfo[1] + both[1]]
        elif place is not None:
            block = place.register.block.__name__
        else:
            block = "(undeclared)"
            undeclared[offset] = both
        total = blocks.setdefault(block, [0, 0])
        total[0] += both[0]
        total[1] += both[1]
    ordered = sorted(blocks.items(), key=lambda entry: (-sum(entry[1]), entry[0]))
    return TraceStats(
        rows=count,
        milliseconds=last - first,
        accesses={op: accesses[op] for op in Op if accesses[op]},
        blocks={name: AccessCount(*both) for name, both in ordered},
        registers=_most_first(registers),
        undeclared=_most_first(undeclared),
        pvinfo=AccessCount(*pvinfo),
        notifications=dict(notifications),
        ggtt_entries=ggtt_bytes // _GGTT_ENTRY_SIZE,
    )


def _counted(title: str, counts: Iterable[tuple[str, AccessCount]]) -> Iterator[str]:
    lines = list(counts)
    if not lines:
        return
    yield ""
    yield f"{'reads':>8} {'writes':>8}  {title}"
    yield from (f"{count.reads:>8} {count.writes:>8}  {name}" for name, count in lines)


def _named(offset: int) -> str:
    return f"{offset:#08x}  {name_of(offset)}".rstrip()


def format_stats(stats: TraceStats, *, top: int = 20) -> Iterator[str]:
    """The numbers as lines; of long lists the first ``top``."""
    yield f"{sum(stats.accesses.values())} accesses in {stats.rows} rows over {stats.milliseconds} ms: " + ", ".join(
        f"{count} {op.value}" for op, count in stats.accesses.items()
    )
    yield f"PVINFO page: {stats.pvinfo.reads} reads, {stats.pvinfo.writes} writes; GGTT entries written: {stats.ggtt_entries}"
    for notification, count in sorted(stats.notifications.items()):
        name = notification.name if isinstance(notification, Notification) else f"unknown notification {notification:#x}"
        yield f"  {name}: {count}"
    yield from _counted("block", stats.blocks.items())
    registers = list(stats.registers.items())
    yield from _counted(f"register (first {top} of {len(registers)})" if len(registers) > top else "register", ((_named(o), c) for o, c in registers[:top]))
    bare = list(stats.undeclared.items())
    yield from _counted(f"undeclared (first {top} of {len(bare)})" if len(bare) > top else "undeclared", ((_named(o), c) for o, c in bare[:top]))
