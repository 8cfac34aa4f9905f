"""One access of a guest, as its side of the bus shows it, and traces made of them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from pvinfo.page import PVINFO_BASE, PVINFO_SIZE
from pvinfo.trace import Op, TraceWriter

__all__ = ("Access", "AccessKind", "count_by_kind", "trace_text")


class AccessKind(Enum):
    """What happened on the bus between a guest and its GPU."""

    CONFIG_READ = "configuration read"
    CONFIG_WRITE = "configuration write"
    REGISTER_READ = "register read"
    REGISTER_WRITE = "register write"
    GGTT_READ = "table entry read"
    GGTT_WRITE = "table entry write"
    APERTURE_READ = "aperture read"
    APERTURE_WRITE = "aperture write"
    INTERRUPT = "interrupt"
    """A message from the device."""
    RESET = "reset"
    """Function-level reset, asked for by the guest's machine."""

    @property
    def op(self) -> Op | None:
        """The same in a trace; None for what no trace holds."""
        return _OPS.get(self)


_OPS = {
    AccessKind.CONFIG_READ: Op.CONFIG_READ,
    AccessKind.CONFIG_WRITE: Op.CONFIG_WRITE,
    AccessKind.REGISTER_READ: Op.READ,
    AccessKind.REGISTER_WRITE: Op.WRITE,
    AccessKind.GGTT_READ: Op.GGTT_READ,
    AccessKind.GGTT_WRITE: Op.GGTT_WRITE,
    AccessKind.APERTURE_READ: Op.APERTURE_READ,
    AccessKind.APERTURE_WRITE: Op.APERTURE_WRITE,
}


class Access(NamedTuple):
    """One access, in order of arrival."""

    time_ns: int
    """On the guest's clock, from the start of its scenario."""
    kind: AccessKind
    size: int
    """Bytes; 0 for interrupts and resets."""
    offset: int
    """Inside BAR0 for registers; inside the entries' window, the aperture or configuration space for the others."""
    value: int

    @property
    def in_page(self) -> bool:
        """It touches the PVINFO page."""
        registers = self.kind is AccessKind.REGISTER_READ or self.kind is AccessKind.REGISTER_WRITE
        return registers and PVINFO_BASE <= self.offset < PVINFO_BASE + PVINFO_SIZE


def count_by_kind(accesses: Iterable[Access]) -> dict[str, int]:
    """How many of each kind, in the kinds' order; kinds that never occur are left out."""
    counted = Counter(access.kind for access in accesses)
    return {kind.value: counted[kind] for kind in AccessKind if counted[kind]}


def trace_text(accesses: Iterable[Access], comment: str = "") -> str:
    """The accesses as a trace that ``pvinfo trace`` reads. Interrupts and resets are not part of one."""
    text = io.StringIO()
    writer = TraceWriter(text, comment)
    for access in accesses:
        if access.kind.op is not None:
            writer.add(access.time_ns // 1_000_000, access.kind.op, access.size, access.offset, access.value)
    writer.flush()
    return text.getvalue()
