"""How often things have happened to a vGPU. Reports want them; nothing else does."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from pvinfo.wire import Codec, u32, u64

from .cursor import Cursor
from .section import Apply, Section, Shape

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("COUNTERS",)


class SavedCounters(NamedTuple):
    """All counts but those that stand with what they count. Registers that are not modelled follow."""

    register_reads: Annotated[int, u64("reads of registers and table entries")]
    register_writes: Annotated[int, u64("writes of them")]
    aperture_reads: Annotated[int, u64("reads through the aperture")]
    aperture_writes: Annotated[int, u64("writes through it")]
    device_resets: Annotated[int, u32("resets of the device")]
    full_resets: Annotated[int, u32("resets of the whole GT")]
    engine_resets: Annotated[int, u32("resets of engines")]
    spent_ns: Annotated[int, u64("time that the mediator has taken, as it was charged", unit="ns")]
    owed_ns: Annotated[int, u64("and is still to take", unit="ns")]
    unmodelled: Annotated[int, u32("registers that are not modelled, but were accessed")]


class SavedAccesses(NamedTuple):
    """Accesses of a register that is not modelled."""

    offset: Annotated[int, u32("where it is; all ones: all further ones")]
    times: Annotated[int, u32("how many")]


SAVED_COUNTERS: Final = Codec(SavedCounters, doc="counts", size=64)
SAVED_ACCESSES: Final = Codec(SavedAccesses, doc="accesses of a register that is not modelled", size=8)
_OTHERS: Final = 0xFFFFFFFF
_MOST: Final = 0xFFFFFFFF


def _save(vgpu: Vgpu) -> bytes:
    mmio, aperture, resets = vgpu.mmio, vgpu.aperture, vgpu.resets
    head = SavedCounters(
        mmio.reads, mmio.writes, aperture.reads, aperture.writes, resets["device"], resets["full"], resets["engine"],
        vgpu.time.spent_ns, vgpu.time.owed_ns, len(mmio.unmodelled),
    )  # fmt: skip
    return SAVED_COUNTERS.pack(head) + b"".join(
        SAVED_ACCESSES.pack(SavedAccesses(offset & _OTHERS, min(count, _MOST))) for offset, count in mmio.unmodelled.items()
    )


def _load(cursor: Cursor, shape: Shape) -> Apply:
    head = cursor.record(SAVED_COUNTERS)
    accesses = cursor.records(SAVED_ACCESSES, head.unmodelled)

    def apply(vgpu: Vgpu) -> None:
        mmio, aperture = vgpu.mmio, vgpu.aperture
        mmio.reads, mmio.writes = head.register_reads, head.register_writes
        aperture.reads, aperture.writes = head.aperture_reads, head.aperture_writes
        vgpu.resets = +Counter(device=head.device_resets, full=head.full_resets, engine=head.engine_resets)
        vgpu.time.take_over(head.spent_ns, head.owed_ns)
        mmio.unmodelled = Counter({-1 if offset == _OTHERS else offset: count for offset, count in accesses})

    return apply


COUNTERS: Final = Section("counters", 1, False, _save, _load)
