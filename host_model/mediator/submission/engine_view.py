"""What a client sees of an engine that has worked for it: where that was, and what it stopped at.

Source: linux:drivers/gpu/drm/i915/gvt/scheduler.c (save_ring_hw_state)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineError, EngineInterrupt, EngineRegisters

if TYPE_CHECKING:
    from ..client import Client

__all__ = ("forget_errors", "show_error", "show_position")

_POSITION: Final = (EngineRegisters.instdone.offset, EngineRegisters.acthd.offset, EngineRegisters.acthd_udw.offset)
"""Where the engine was."""
_PARSER: Final = (EngineRegisters.ipeir.offset, EngineRegisters.ipehr.offset)
"""What it was doing there."""


def _copy(client: Client, engine: Engine, offsets: tuple[int, ...]) -> None:
    for offset in offsets:
        place = ENGINES[engine].base + offset
        client.registers.write32(place, client.gpu.mmio.read32(place))


def show_position(client: Client, engine: Engine) -> None:
    """Where its work has brought the engine."""
    _copy(client, engine, _POSITION)


def show_error(client: Client, engine: Engine, error: EngineError) -> None:
    """The engine stands at a command of this client's that it does not know."""
    registers = EngineRegisters(client.registers, ENGINES[engine].base)
    told = error & ~registers.emr
    _copy(client, engine, _POSITION + _PARSER)
    if told:
        registers.esr = EngineError(registers.esr | told)
        registers.eir = EngineError(registers.eir | told)
        bit = EngineInterrupt.master_error.mask << ENGINES[engine].interrupt_shift
        if not registers.imr & bit:
            client.interrupts.raise_bits(f"GT{ENGINES[engine].interrupt_group}", bit)


def forget_errors(client: Client, engine: Engine) -> None:
    """As a reset of the engine does."""
    registers = EngineRegisters(client.registers, ENGINES[engine].base)
    registers.eir = registers.esr = EngineError(0)
