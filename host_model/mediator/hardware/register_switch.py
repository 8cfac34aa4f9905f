"""The registers of the physical GPU that each vGPU has for itself: saved to its register page, loaded from it.

On gen9, registers that contexts keep are left to them, and to what is put in front of a context that has no state yet
(:mod:`.preamble`); on gen8 they are loaded like the others. Tables of cache control (MOCS) are loaded and never saved:
commands that change them change the vGPU's page as well. Those of the host's own driver, which nobody looks at, are saved.

Where this differs from the kernel's mediator, on purpose: what a guest writes while it has the GPU reaches the hardware
with its next work and is not lost when its turn ends (the kernel writes the hardware's older value over it); the render
engine's cache control and that of the L3 cache are loaded here as well (the kernel leaves them to contexts alone); a few
bits stay the host's whatever a guest wrote, or it could take the GPU out of the host's hands.

Source: linux:drivers/gpu/drm/i915/gvt/mmio_context.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.platform import Engine, Platform
from pvinfo.registers.mocs import L3CacheControl, Mocs

from ...gpu.context_layout import render_registers
from .switched_registers import SwitchedRegister, switched_registers

if TYPE_CHECKING:
    from ...device.mmio.registers import RegisterPage
    from ...device.mmio.window import MmioWindow

__all__ = ("RegisterSwitch", "registers_with")

_LOW: Final = 0xFFFF
_ENABLE_ALL: Final = 0xFFFF0000
_ALL: Final = 0xFFFFFFFF


class _Table(NamedTuple):
    """Registers that follow each other."""

    first: int
    end: int


def _tables(platform: Platform, engine: Engine) -> tuple[_Table, ...]:
    """Cache control that goes with ``engine``."""
    if platform.graphics_version < 9:
        return ()
    first = Mocs.entry.at(engine.name)
    own = _Table(first, first + 4 * Mocs.entry.count)
    if engine is not Engine.RCS0:
        return (own,)
    common = L3CacheControl.entry.at()
    return own, _Table(common, common + 4 * L3CacheControl.entry.count)


def registers_with(platform: Platform, engine: Engine) -> frozenset[int]:
    """Registers that are those of whoever has ``engine``: that go with its turn, or that its contexts keep outside of its own block."""
    found = {register.offset for register in switched_registers(platform.graphics_version) if register.engine == engine.name}
    for table in _tables(platform, engine):
        found.update(range(table.first, table.end, 4))
    if engine is Engine.RCS0:
        found.update(offset for offset, _ in render_registers(platform.graphics_version))
    return frozenset(found)


@final
class RegisterSwitch:
    """The registers that go with the turn on one engine."""

    def __init__(self, mmio: MmioWindow, platform: Platform, engine: Engine) -> None:
        self._mmio = mmio
        self._registers: tuple[SwitchedRegister, ...] = tuple(
            register
            for register in switched_registers(platform.graphics_version)
            if register.engine == engine.name and not (register.in_context and platform.graphics_version >= 9)
        )
        self._places = [register.offset >> 2 for register in self._registers]
        self._own = [(_LOW if register.masked else _ALL) & ~register.kept for register in self._registers]
        """Which bits of each go with the turn."""
        self._tables = _tables(platform, engine)
        self._loaded: list[int] | None = None
        """What the page of the vGPU at its turn held when it was loaded; None: the hardware holds nothing of it."""
        self._found: list[int] | None = None
        """What the hardware held at the end of a turn, until the next begins."""
        self._held: list[bytes | None] = [None] * len(self._tables)
        """What the hardware's tables hold, where that is known."""

    def _shown(self, page: RegisterPage) -> list[int]:
        """What ``page`` holds."""
        dwords = page.dwords
        return [dwords[place] for place in self._places]

    def _read_all(self) -> list[int]:
        """What the hardware holds."""
        read = self._mmio.read32
        return [read(register.offset) for register in self._registers]

    def capture(self, page: RegisterPage) -> None:
        """Put what the hardware holds now into ``page``, tables too: it counts as loaded from there."""
        for register, value in zip(self._registers, self._read_all(), strict=True):
            page.write32(register.offset, value & _LOW if register.masked else value)
        for index, table in enumerate(self._tables):
            page.bytes[table.first : table.end] = self._held[index] = self._read_table(table)
        self._loaded = self._shown(page)

    def _read_table(self, table: _Table) -> bytes:
        read = self._mmio.read32
        return b"".join(read(offset).to_bytes(4, "little") for offset in range(table.first, table.end, 4))

    def forget(self) -> None:
        """What was loaded does not stand in the hardware any more, or is not to be saved."""
        self._loaded = self._found = None
        self._held = [None] * len(self._tables)

    def save(self, page: RegisterPage) -> None:
        """The turn of the vGPU with ``page`` ends. What its guest has written there since it was loaded stays."""
        loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        self._found = self._read_all()
        for index, (was, now, held) in enumerate(zip(loaded, self._shown(page), self._found, strict=True)):
            value = held & self._own[index] | was & self._registers[index].kept
            if was == now != value:
                page.dwords[self._places[index]] = value

    def save_tables(self, page: RegisterPage) -> None:
        """The turn ends of somebody whose commands nobody has looked at: they may have changed tables. What was written to ``page``
        since they were loaded stays."""
        for index, (table, loaded) in enumerate(zip(self._tables, self._held, strict=True)):
            held = self._held[index] = self._read_table(table)
            if bytes(page.bytes[table.first : table.end]) == loaded:
                page.bytes[table.first : table.end] = held

    def load(self, page: RegisterPage) -> None:
        """A turn begins, or goes on: bring the hardware to what ``page`` holds, all of it, or what has changed since it was loaded."""
        before, now = self._loaded, self._shown(page)
        if now != before:
            found = self._found or self._read_all()
            for index, (value, held) in enumerate(zip(now, found, strict=True)):
                if (value ^ held) & self._own[index] and (before is None or before[index] != value):
                    self._write(self._registers[index], value, held)
            self._loaded = now
        self._found = None
        for index, table in enumerate(self._tables):
            wanted = bytes(page.bytes[table.first : table.end])
            stands = self._held[index]
            if wanted != stands:
                self._write_table(table, wanted, stands)
                self._held[index] = wanted

    def _write(self, register: SwitchedRegister, value: int, held: int) -> None:
        value = value & ~register.kept | held & register.kept
        self._mmio.write32(register.offset, _ENABLE_ALL | value & _LOW if register.masked else value)

    def _write_table(self, table: _Table, wanted: bytes, held: bytes | None) -> None:
        for at in range(0, len(wanted), 4):
            if held is None or held[at : at + 4] != wanted[at : at + 4]:
                self._mmio.write32(table.first + at, int.from_bytes(wanted[at : at + 4], "little"))
