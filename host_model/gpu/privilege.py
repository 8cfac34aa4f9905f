"""Which registers a batch without privilege may write.

Hardware has a list of its own, of registers that can do no harm; software adds to it by slots of the engine's white
list. A write to another register does nothing.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final, final

from pvinfo.errors import LayoutError
from pvinfo.platform import ENGINES, Engine, Platform
from pvinfo.registers.engine import NONPRIV_SLOTS, EngineRegisters, ForceToNonpriv, NonprivAccess

__all__ = ("NonprivilegedRegisters", "unprivileged_registers")

_ADDRESS: Final = ForceToNonpriv.address.mask
_RANGES: Final = (1, 4, 16, 64)
"""Dwords, by NonprivRange."""
_HAS_RANGES: Final = ("cfl",)
"""Platforms whose slots cover ranges and tell reads from writes.
Source: linux:drivers/gpu/drm/i915/gt/intel_engine_regs.h"""


@cache
def unprivileged_registers(engine: Engine, graphics_version: int) -> frozenset[int]:
    """The registers that hardware itself lets batches without privilege write on ``engine``.

    Raises: LayoutError for a row that is none.
    """
    found: set[int] = set()
    text = files("host_model.gpu").joinpath("nonprivileged.tsv").read_text("ascii")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("0x"):
            continue
        try:
            first, count, engines, since, relative, _name, _source = line.split("\t")
            if graphics_version < int(since) or (engines != "ALL" and engine.name not in engines.split(",")):
                continue
            offset = int(first, 16) + (ENGINES[engine].base if relative == "engine" else 0)
            found.update(range(offset, offset + 4 * int(count), 4))
        except ValueError:
            raise LayoutError(f"nonprivileged.tsv line {number}: {line!r} is no row of the table") from None
    return frozenset(found)


@final
class NonprivilegedRegisters:
    """What batches without privilege may write on one engine now."""

    def __init__(self, engine: Engine, platform: Platform, registers: memoryview) -> None:
        self._always = unprivileged_registers(engine, platform.graphics_version)
        self._ranges = platform.name in _HAS_RANGES
        first = ENGINES[engine].base + EngineRegisters.force_to_nonpriv.offset >> 2
        self._slots = registers[first : first + NONPRIV_SLOTS]

    def may_write(self, offset: int) -> bool:
        """Whether a write to the register at ``offset`` takes effect."""
        if offset in self._always:
            return True
        if not self._ranges:
            return any(slot & _ADDRESS == offset for slot in self._slots)
        return self._by_range(offset)

    def _by_range(self, offset: int) -> bool:
        allowed = False
        for value in self._slots:
            slot = ForceToNonpriv(value)
            size = 4 * _RANGES[slot.span]
            if (value & _ADDRESS) & -size == offset & -size:
                if slot.deny:
                    return False
                allowed = allowed or slot.access in (NonprivAccess.READ_WRITE, NonprivAccess.WRITE)
        return allowed
