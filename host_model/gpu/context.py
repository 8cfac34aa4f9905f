"""Context switches: registers loaded from a context image, and saved to it.

The ring's registers and the page-table roots are always taken from the image, the engine's own only where
``context_control`` does not inhibit it. What software alone decides, ring start, length and tail, is never written back:
a driver moves the tail in the image of a context that runs. The saved image is one that can be loaded: its bit that
inhibits the restore is cleared, and registers whose upper half enables the write have all of it enabled.
"""

from __future__ import annotations

from array import array
from functools import cache
from typing import Final, NamedTuple, final

from pvinfo.context_image import RING_CONTEXT_DWORDS, context_image
from pvinfo.platform import ENGINES, Engine, Platform
from pvinfo.registers.engine import (
    BatchState,
    ContextControl,
    IndirectContext,
    PerContextBatch,
    RingControl,
    RingHead,
    RingTail,
)
from pvinfo.units import PAGE_SIZE

from .buffers import BatchPosition
from .context_layout import MASKED_NAMES, Slot, Slots, Words, further_state, render_registers

__all__ = ("RegisterState", "RestoredContext", "SavedContext")

UNIT_STATE: Final = 0x300
"""Dword behind the end of the commands, from which state stands that no register shows. The place is ours: no driver looks there."""
_UNIT_STATE_TAG: Final = 0xB17

_VALID: Final = 1
"""Bit of the batch addresses in the image: the context was left inside the batch. Source: prm:skl:vol2c"""
_INHIBIT: Final = ContextControl.restore_inhibit.mask
_SAVE_INHIBIT: Final = ContextControl.save_inhibit.mask
_PPGTT: Final = BatchState.ppgtt.mask
_KEPT_BY_SOFTWARE: Final = frozenset({
    "tail", "start", "control", "bb_per_ctx_ptr", "indirect_ctx", "indirect_ctx_offset", "r_pwr_clk_state", "timestamp",
})  # fmt: skip
"""Not saved: what software decides, and the time."""
_POSITION: Final = frozenset({"context_control", "head", "bbaddr_udw", "bbaddr", "bbstate", "sbbaddr_udw", "sbbaddr", "sbbstate", "ctx_timestamp"})
"""Not taken from registers: where the context was left, and how much time it has had."""


class RestoredContext(NamedTuple):
    """What an image says of where to go on."""

    enabled: bool
    """The ring has anything to execute."""
    start: int
    size: int
    head: int
    wraps: int
    tail: int
    batch: BatchPosition | None
    second: BatchPosition | None
    indirect: tuple[int, int] | None
    """Address and bytes of the work-around batch that runs in the middle of the restore."""
    per_context: int | None
    """Address of the one that runs at its end."""
    runtime: int


class SavedContext(NamedTuple):
    """Where a context is left."""

    head: int
    """As the head register has it, with the wrap count."""
    batch: BatchPosition | None
    second: BatchPosition | None
    runtime: int


@final
class _Arrangement:
    """What the register state of an engine has where: the same for all GPUs of a generation."""

    def __init__(self, engine: Engine, graphics_version: int) -> None:
        image = context_image(graphics_version, engine)
        base = ENGINES[engine].base
        self.dword = {register.name: register.value_dword for register in image.registers}
        slots = {
            register.name: Slot(register.value_dword, base + register.offset >> 2, register.name in MASKED_NAMES)
            for register in image.registers
        }  # fmt: skip
        saved = [slot for name, slot in slots.items() if name not in _KEPT_BY_SOFTWARE and name not in _POSITION]
        self.ring = Slots([slot for slot in slots.values() if slot.dword < RING_CONTEXT_DWORDS])
        self.ring_saved = Slots([slot for slot in saved if slot.dword < RING_CONTEXT_DWORDS])
        self.own = Slots([slot for slot in saved if slot.dword >= RING_CONTEXT_DWORDS])
        self.layout = Words(image.layout(base))
        further = further_state(image.end, render_registers(graphics_version) if engine is Engine.RCS0 else ())
        self.further_header = further.header
        self.further_layout = Words(further.words)
        self.further = Slots(further.slots)


_arrangement: Final = cache(_Arrangement)


@final
class RegisterState:
    """The register state of one engine's contexts. Pages are given in dwords."""

    def __init__(self, engine: Engine, platform: Platform, registers: memoryview) -> None:
        self._registers = registers
        known = _arrangement(engine, platform.graphics_version)
        self._dword = known.dword
        self._ring, self._ring_saved, self._own, self._layout = known.ring, known.ring_saved, known.own, known.layout
        self._further_header, self._further_layout, self._further = known.further_header, known.further_layout, known.further

    def tail(self, page: memoryview) -> int:
        """Where the ring of an image ends now."""
        return page[self._dword["tail"]] & RingTail.address.mask

    def restore(self, page: memoryview) -> RestoredContext:
        """Load the registers from the register state in ``page``."""
        dword, registers = self._dword, self._registers
        self._ring.load(page, registers)
        control = page[dword["context_control"]]
        if not control & control >> 16 & _INHIBIT:
            self._own.load(page, registers)
            # What stands behind the fixed layout is there only once hardware has saved the image.
            index, header = self._further_header
            if page[index] == header:
                self._further.load(page, registers)
        ring = RingControl(page[dword["control"]])
        head = page[dword["head"]]
        return RestoredContext(
            enabled=ring.enabled,
            start=page[dword["start"]] & ~(PAGE_SIZE - 1),
            size=(ring.length_pages + 1) * PAGE_SIZE,
            head=head & RingHead.address.mask,
            wraps=head >> RingHead.wrap_count.low,
            tail=self.tail(page),
            batch=self._batch(page, "bbaddr", "bbaddr_udw", "bbstate"),
            second=self._batch(page, "sbbaddr", "sbbaddr_udw", "sbbstate"),
            indirect=self._indirect(page),
            per_context=self._per_context(page),
            runtime=page[dword["ctx_timestamp"]],
        )

    def save(self, page: memoryview, context: SavedContext) -> None:
        """Store the registers to the register state in ``page``."""
        dword, registers = self._dword, self._registers
        control = page[dword["context_control"]]
        self._layout.write(page)
        page[dword["context_control"]] = control & ~_INHIBIT
        page[dword["head"]] = context.head
        page[dword["ctx_timestamp"]] = context.runtime
        self._save_batch(page, context.batch, "bbaddr", "bbaddr_udw", "bbstate")
        self._save_batch(page, context.second, "sbbaddr", "sbbaddr_udw", "sbbstate")
        self._ring_saved.store(page, registers)
        if not control & control >> 16 & _SAVE_INHIBIT:
            self._own.store(page, registers)
            self._further_layout.write(page)
            self._further.store(page, registers)

    # ---- what stands behind the commands, for the hardware alone ----

    def unit_state(self, page: memoryview, count: int) -> tuple[int, ...]:
        """The ``count`` dwords of :meth:`save_unit_state`; none where the context has not been saved, or is not to be restored."""
        control = page[self._dword["context_control"]]
        if control & control >> 16 & _INHIBIT or page[UNIT_STATE] != _UNIT_STATE_TAG << 16 | count:
            return ()
        return tuple(page[UNIT_STATE + 1 : UNIT_STATE + 1 + count])

    def save_unit_state(self, page: memoryview, dwords: tuple[int, ...]) -> None:
        """Keep the state of a unit that no register shows, unless the save is inhibited."""
        control = page[self._dword["context_control"]]
        if not control & control >> 16 & _SAVE_INHIBIT:
            page[UNIT_STATE] = _UNIT_STATE_TAG << 16 | len(dwords)
            page[UNIT_STATE + 1 : UNIT_STATE + 1 + len(dwords)] = array("I", dwords)

    # ---- batches in the image ----

    def _batch(self, page: memoryview, low: str, high: str, state: str) -> BatchPosition | None:
        dword = self._dword
        address = page[dword[low]]
        if not address & _VALID:
            return None
        return BatchPosition(address & ~3 | (page[dword[high]] & 0xFFFF) << 32, bool(page[dword[state]] & _PPGTT))

    def _save_batch(self, page: memoryview, batch: BatchPosition | None, low: str, high: str, state: str) -> None:
        dword = self._dword
        page[dword[low]] = batch.address & 0xFFFFFFFF | _VALID if batch is not None else 0
        page[dword[high]] = batch.address >> 32 if batch is not None else 0
        page[dword[state]] = _PPGTT if batch is not None and batch.ppgtt else 0

    def _indirect(self, page: memoryview) -> tuple[int, int] | None:
        if "indirect_ctx" not in self._dword:
            return None
        register = IndirectContext(page[self._dword["indirect_ctx"]])
        return (register & IndirectContext.address.mask, 64 * register.length) if register.length else None

    def _per_context(self, page: memoryview) -> int | None:
        if "bb_per_ctx_ptr" not in self._dword:
            return None
        register = PerContextBatch(page[self._dword["bb_per_ctx_ptr"]])
        return register & PerContextBatch.address.mask if register.valid else None
