"""Bringing one engine to life after a reset: work-arounds, cache control, execlists, errors.

Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c, linux:drivers/gpu/drm/i915/gt/intel_engine_cs.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers import EngineError, EngineMode, EngineRegisters, MiMode

from .mocs import init_engine_mocs
from .reset import reset_engine
from .workarounds import apply_engine_workarounds, apply_whitelist

if TYPE_CHECKING:
    from .streamer import Streamer

__all__ = ("resume_engine",)

_ALL: Final = 0xFFFF_FFFF


def resume_engine(streamer: Streamer) -> None:
    """Make the engine take submissions (``intel_engine_resume``, ``execlists_resume``)."""
    uncore, engine = streamer.uncore, streamer.engine
    name = engine.name
    apply_engine_workarounds(uncore, engine)
    apply_whitelist(uncore, engine)
    init_engine_mocs(uncore, engine)
    streamer.breadcrumbs.reset()
    uncore.write(EngineRegisters.hwstam, _ALL, name)
    uncore.write_masked(EngineRegisters.mode, EngineMode.run_list_enable.mask, True, name)
    uncore.write_masked(EngineRegisters.mi_mode, MiMode.stop_ring.mask, False, name)
    uncore.write(EngineRegisters.hws_pga, streamer.status_page.address, name)
    uncore.read(EngineRegisters.hws_pga, name)
    _enable_error_interrupt(streamer)


def _enable_error_interrupt(streamer: Streamer) -> None:
    """Only an unknown instruction is worth an interrupt; the hardware itself deals with the others."""
    uncore, name = streamer.uncore, streamer.engine.name
    streamer.execlists.forget_errors()
    uncore.write(EngineRegisters.emr, _ALL, name)
    uncore.write(EngineRegisters.eir, _ALL, name)
    present = uncore.read(EngineRegisters.esr, name)
    if present:
        uncore.log.error("resumed-in-error", f"{EngineRegisters.esr.title} of {name} reads {int(present):#x} after the errors were cleared")
        reset_engine(uncore, streamer.engine)
    uncore.write(EngineRegisters.emr, ~EngineError.instruction.mask & _ALL, name)
