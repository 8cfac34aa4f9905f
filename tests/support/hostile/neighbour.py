"""The honest guest beside a hostile one: it works on, piece by piece, and keeps what came of each."""

from __future__ import annotations

from typing import Final, final

from pvinfo.context_image import context_image
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters
from pvinfo.registers.interrupt import INTERRUPT_GROUPS
from pvinfo.units import PAGE_SIZE, GuestAddress

from .honest import HonestWork
from .stage import WatchedVgpu, digest_of

__all__ = ("Neighbour", "Wronged")

_MASTER: Final = 0x44200
_WORK: Final = range(0x10_0000, 0x25_0000)
_IMAGES: Final = range(0x5B_8000, 0x60_0000)
"""Of render contexts."""
_PATIENCE: Final = 3000
"""Instants that a piece of work may take."""


class Wronged(AssertionError):
    """What the honest guest finds is not what it would have found alone."""


@final
class Neighbour:
    """Its driver has been set up. Each piece of work goes to the next engine, and to each context in its turn."""

    def __init__(self, device: WatchedVgpu) -> None:
        self.device = device
        self.results: list[str] = []
        """What came of each piece of work."""
        self._pieces = 0
        self._work: HonestWork | None = None
        self._ring_ends: dict[tuple[Engine, int], int] = {}
        self._interrupts = 0

    @property
    def busy(self) -> bool:
        """A piece of work is under way."""
        return self._work is not None

    def go_on(self, *, patiently: bool = False) -> None:
        """Hand over the next piece of work, or see whether the last one is done; ``patiently``: wait until it is. Raises: Wronged."""
        if self._work is None:
            self._begin()
            return
        for _ in range(_PATIENCE if patiently else 1):
            if self._is_done(self._work):
                self._collect(self._work)
                self._work = None
                return
            if patiently:
                self.device.step()
        if patiently:
            newest = self._newest(self._work.engine)
            raise Wronged(f"{self._work.engine.value} does not finish: {self._work.seen(newest)}, and should be {self._work.expected(newest)}")

    def finish(self) -> None:
        """Wait for what is under way. Raises: Wronged."""
        if self.busy:
            self.go_on(patiently=True)

    def _begin(self) -> None:
        engines = self.device.ground.platform.engines
        engine, context = engines[self._pieces % len(engines)], self._pieces // len(engines) % 2
        self._work = HonestWork(self.device.ground, engine, self._pieces, context, self._ring_ends.get((engine, context), 0))
        self._ring_ends[engine, context] = self._work.ring_end
        self._pieces += 1
        self._interrupts = self.device.vgpu.interrupts_sent
        self._work.submit(self.device.vgpu.mmio.write)

    def _newest(self, engine: Engine) -> int:
        return self.device.vgpu.mmio.read(ENGINES[engine].base + EngineRegisters.context_status_ptr.offset, 4) & 7

    def _is_done(self, work: HonestWork) -> bool:
        newest = self._newest(work.engine)
        return work.seen(newest) == work.expected(newest)

    def _collect(self, work: HonestWork) -> None:
        """Look at everything that can be seen, but for what tells the time or where the mediator keeps things."""
        device = self.device
        mmio, base = device.vgpu.mmio, ENGINES[work.engine].base
        registers = [mmio.read(base + offset, 4) for offset in (0x30, 0x34, 0x38, 0x3C, 0xB0, 0xB4, 0xB8, 0xA8, 0x234, 0x238, 0x3A0)]
        master = mmio.read(_MASTER, 4)
        pending = [mmio.read(group + 8, 4) for group in INTERRUPT_GROUPS.values()]
        for group, bits in zip(INTERRUPT_GROUPS.values(), pending, strict=True):
            mmio.write(group + 8, 4, bits)
        told = repr((registers, master, pending, device.vgpu.interrupts_sent - self._interrupts, len(device.vgpu.findings)))
        self.results.append(digest_of(told.encode(), self.memory()))

    def memory(self) -> bytes:
        """What it works with, without time stamps. The rest of its memory must not change at all, which others look after."""
        ground, ram = self.device.ground, self.device.ram
        seen = bytearray(ram.read(GuestAddress(_WORK.start), len(_WORK)))
        images = bytearray(ram.read(GuestAddress(_IMAGES.start), len(_IMAGES)))
        for engine in ground.platform.engines:
            timestamp = context_image(ground.platform.graphics_version, engine).value_dword("ctx_timestamp")
            for context in range(2):
                at = ground.image(engine, context).bus + PAGE_SIZE + 4 * timestamp
                part, at = (seen, at - _WORK.start) if at in _WORK else (images, at - _IMAGES.start)
                part[at : at + 4] = bytes(4)
        return bytes(seen + images)
