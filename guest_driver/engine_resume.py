"""Bringing one engine to life after a reset: work-arounds, cache control, execlists, errors.

Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c, linux:drivers/gpu/drm/i915/gt/intel_engine_cs.c
"""

from __future__ import annotations

from typing import Final

from pvinfo.platform import ENGINES
from pvinfo.registers import EngineError, EngineInterrupt, EngineMode, EngineRegisters, MiMode

from .engine_setup import EngineSetup
from .mocs import init_engine_mocs
from .uncore import Uncore
from .workarounds import apply_engine_workarounds, apply_whitelist

__all__ = ("resume_engine",)

_ALL: Final = 0xFFFF_FFFF
_ALWAYS_HEARD: Final = EngineInterrupt.of(master_error=1, context_switch=1, wait_semaphore=1)
"""Events that are let through whether or not somebody waits for a request."""


def resume_engine(uncore: Uncore, setup: EngineSetup) -> None:
    """Make ``setup``'s engine take submissions (``intel_engine_resume``, ``execlists_resume``)."""
    engine = setup.engine
    name = engine.name
    apply_engine_workarounds(uncore, engine)
    apply_whitelist(uncore, engine)
    init_engine_mocs(uncore, engine)
    heard = _ALWAYS_HEARD << ENGINES[engine].interrupt_shift
    uncore.write(EngineRegisters.imr, ~heard & _ALL, name)
    uncore.write(EngineRegisters.hwstam, _ALL, name)
    uncore.write_masked(EngineRegisters.mode, EngineMode.run_list_enable.mask, True, name)
    uncore.write_masked(EngineRegisters.mi_mode, MiMode.stop_ring.mask, False, name)
    uncore.write(EngineRegisters.hws_pga, setup.status_page.address, name)
    uncore.read(EngineRegisters.hws_pga, name)
    _enable_error_interrupt(uncore, name)


def _enable_error_interrupt(uncore: Uncore, name: str) -> None:
    """Only an unknown instruction is worth an interrupt; the hardware itself deals with the others."""
    uncore.write(EngineRegisters.emr, _ALL, name)
    uncore.write(EngineRegisters.eir, _ALL, name)
    present = uncore.read(EngineRegisters.esr, name)
    if present:
        uncore.log.error("resumed-in-error", f"{EngineRegisters.esr.title} of {name} reads {int(present):#x} after the errors were cleared")
    uncore.write(EngineRegisters.emr, ~EngineError.instruction.mask & _ALL, name)
