"""Honest work: every engine stores by way of a ring and a batch, reckons, and the copy engine draws; all of them report it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from pvinfo.context_image import context_image
from pvinfo.execlist import Submission
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import ContextStatus, EngineRegisters

from ..blit_script import SURFACES
from .ground import BATCHES, RING_SIZE, Ground, Place

__all__ = ("HonestWork",)

_SEQNO: Final = 0x5EC0
_DONE: Final = int(ContextStatus.of(context_complete=1, active_to_idle=1))
_SURFACE: Final = 64
"""The page in which :data:`SURFACES` begin."""


@final
class HonestWork:
    """Piece ``number`` of the work, for one context of one engine. Its tables, image and status page are legal ones."""

    def __init__(self, ground: Ground, engine: Engine, number: int, context: int = 0, ring_at: int = 0, surface: int | None = None) -> None:
        """``ring_at``: what of the context's ring has been used. ``surface``: the page of memory to which its tables lead from
        where :data:`SURFACES` begin, if that is another one than they are laid out with."""
        self._ground = ground
        self.engine = engine
        self.seqno = _SEQNO + number
        self._context = context
        self._batch: Place = ground.batches[ground.platform.engines.index(engine)]
        self._batch_at = BATCHES + 0x1000 * ground.platform.engines.index(engine)
        self._status = ground.status_pages[engine]
        self._surface = ground.near(_SURFACE).bus if surface is None else surface
        self._ring_at = ring_at
        self._reckons = engine is Engine.RCS0 or ground.platform.graphics_version >= 9

    @property
    def ring_end(self) -> int:
        """What of the ring has been used after it."""
        return (self._ring_at + 4 * len(self._ring)) % RING_SIZE

    @property
    def _ring(self) -> list[int]:
        return [0x18800101, self._batch_at, 0, 0, 0x10400002, self._status.graphics + 0x200, 0, self.seqno, 0x01000000, 0, 0, 0, 0, 0, 0, 0]

    def _poke(self, bus: int, dwords: list[int]) -> None:
        self._ground.memory.poke(bus, b"".join([dword.to_bytes(4, "little") for dword in dwords]))

    def submit(self, write: Callable[[int, int, int], None]) -> None:
        """Lay it out and hand it over by way of ``write`` (register, size, value)."""
        ground, memory = self._ground, self._ground.memory
        memory.poke(self._surface, bytes(0x1000))
        first = ENGINES[self.engine].base + 0x600
        commands = [0x10000002, SURFACES[0] + 0x40, 0, self.seqno]
        if self._reckons:
            commands += [
                0x11000005, first, self.seqno, first + 8, 0x123, first + 12, 0x77,
                0x0D000003, 0x08008000, 0x08008401, 0x10000000, 0x18000831, 0x12000002, first + 16, SURFACES[0] + 0x48, 0,
            ]  # fmt: skip
        if self.engine is Engine.BCS0:
            commands += [0x54300005, 0x03F0_0100, 0, 4 << 16 | 64, SURFACES[0] + 0x400, 0, 0xFACE0000 | self.seqno]
        self._poke(self._batch.bus, [*commands, 0x05000000])
        self._poke(ground.ring(self.engine, self._context).bus + self._ring_at, self._ring)
        layout = context_image(ground.platform.graphics_version, self.engine)
        self._poke(ground.image(self.engine, self._context).bus + 0x1000 + 4 * layout.value_dword("tail"), [self.ring_end])
        for dword in Submission.loading(ground.descriptor(self.engine, self._context)):
            write(EngineRegisters.elsp.at(self.engine.name), 4, dword)

    def seen(self, newest: int) -> dict[str, bytes]:
        """What has come of it; ``newest`` is the entry of the last event, as the register has it."""
        peek, status = self._ground.memory.peek, self._status.bus
        surface = self._surface
        return {
            "stored from the ring": peek(status + 0x200, 4),
            "stored from the batch": peek(surface + 0x40, 4),
            "reckoned": peek(surface + 0x48, 4),
            "the last event": peek(status + 0x40 + 8 * newest, 8),
            "its number": peek(status + 0x7C, 4),
        } | ({"drawn": _distinct(peek(surface + 0x400, 0x400))} if self.engine is Engine.BCS0 else {})

    def expected(self, newest: int) -> dict[str, bytes]:
        """What must come of it."""
        seqno = self.seqno.to_bytes(4, "little")
        context_id = int(self._ground.descriptor(self.engine, self._context)) >> 32
        return {
            "stored from the ring": seqno,
            "stored from the batch": seqno,
            "reckoned": (self.seqno + 0x123 if self._reckons else 0).to_bytes(4, "little"),
            "the last event": _DONE.to_bytes(4, "little") + context_id.to_bytes(4, "little"),
            "its number": newest.to_bytes(4, "little"),
        } | ({"drawn": (0xFACE0000 | self.seqno).to_bytes(4, "little")} if self.engine is Engine.BCS0 else {})


def _distinct(data: bytes) -> bytes:
    """Each dword that occurs, once."""
    return b"".join(sorted({data[at : at + 4] for at in range(0, len(data), 4)}))
