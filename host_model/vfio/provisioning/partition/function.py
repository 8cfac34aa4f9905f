"""The bounds in which the GPU keeps engines that work for a partition.

Nobody looks through a partition's commands, whose rings run with privilege. What they may do to registers is therefore for the engine
to see to: they load and read those that are whose turn it is, which go with the turn or which contexts keep, and those that hardware
lets every batch write. A load of another is dropped and a read gives 0: as it is with the host's workarounds for all, which a driver
cannot know to be the host's, with a note, else with a fault. Of what may be loaded, two kinds are not loaded at once:

* tables of cache control (MOCS) go to the partition's register page, from where they reach the hardware with its next work;
* bits that stay the host's, by which an engine is stopped or taken out of the host's hands, stay as they are.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.context_image import context_image
from pvinfo.platform import ENGINES, Engine, platform_named
from pvinfo.registers.engine import EngineRegisters, MiMode
from pvinfo.units import PAGE_MASK

from ....gpu.context_layout import render_registers
from ....gpu.privilege import unprivileged_registers
from ....mediator.audit.register_loads import keep, root
from ....mediator.audit.registers import register_rules
from ....mediator.hardware.register_switch import registers_with
from ....mediator.hardware.switched_registers import switched_registers

if TYPE_CHECKING:
    from .device import PartitionDevice

__all__ = ("PartitionFunction",)

_STOPPING: Final = MiMode.stop_ring.mask | MiMode.idle.mask


class _Bounds(NamedTuple):
    """What commands of one engine may do to registers."""

    loaded: frozenset[int]
    tables: frozenset[int]
    """Those of them that are loaded from the register page."""
    read: frozenset[int]
    common: frozenset[int]
    """Such as are the host's, for all, though every driver of a GPU of its own loads them."""
    kept: dict[int, int]
    """Bits that stay the host's, of registers whose upper half enables the write of the lower."""


@cache
def _bounds(engine: Engine, platform_name: str) -> _Bounds:
    platform = platform_named(platform_name)
    version, base = platform.graphics_version, ENGINES[engine].base
    rules = register_rules(engine, platform_name, alone=True)
    own = {base + register.offset for register in context_image(version, engine).registers}
    own |= registers_with(platform, engine) | unprivileged_registers(engine, version)
    if engine is Engine.RCS0:
        own.update(offset for offset, _ in render_registers(version))
    loaded = frozenset(offset for offset, rule in rules.loads.items() if offset in own and rule in (None, keep, root))
    kept = {row.offset: row.kept for row in switched_registers(version) if row.masked and row.kept}
    kept[base + EngineRegisters.mi_mode.offset] = _STOPPING
    tables = frozenset(offset for offset in loaded if rules.loads[offset] is keep)
    return _Bounds(loaded, tables, loaded | rules.memory | rules.copied, frozenset(rules.loads) - own, kept)


@final
class PartitionFunction:
    """One partition; a :class:`~host_model.gpu.function.Function`."""

    def __init__(self, device: PartitionDevice) -> None:
        self._device = device
        self.base = device.port.base
        self.parts = device.ggtt.parts
        self._bounds = {engine: _bounds(engine, device.platform.name) for engine in device.platform.engines}

    def status_page(self, engine: Engine, /) -> int:
        """See :class:`~host_model.gpu.function.Function`."""
        return EngineRegisters(self._device.registers, ENGINES[engine].base).hws_pga & ~PAGE_MASK

    def loads(self, engine: Engine, offset: int, value: int, /) -> int | None:
        """See :class:`~host_model.gpu.function.Function`."""
        bounds = self._bounds[engine]
        if offset not in bounds.loaded:
            self._outside("load", engine, offset, value)
            return None
        if offset in bounds.tables:
            self._device.registers.write32(offset, value)
            return None
        return value & ~(bounds.kept.get(offset, 0) << 16)

    def reads(self, engine: Engine, offset: int, /) -> bool:
        """See :class:`~host_model.gpu.function.Function`."""
        if offset in self._bounds[engine].read:
            return True
        self._outside("read", engine, offset, None)
        return False

    def _outside(self, what: str, engine: Engine, offset: int, value: int | None) -> None:
        bounds, where = self._bounds[engine], f"{engine.value}, register {offset:#x}"
        if offset in bounds.common:
            self._device.findings.note("function-common-register", where, f"a {what} by a command of a register that is the host's, for all: loads are dropped, reads give 0", value=value)
            return
        nearest = min(bounds.loaded, key=lambda known: abs(known - offset))
        self._device.findings.fault(
            "function-register", where, f"a {what} by a command of a register that is none of a function's: loads are dropped, reads give 0",
            value=value, nearest=f"{nearest:#x}",
        )  # fmt: skip
