"""Resets: engines are asked to quiesce, then their domains are reset, twice, then the request is taken back.

Source: linux:drivers/gpu/drm/i915/gt/intel_reset.c, linux:drivers/gpu/drm/i915/gt/intel_engine_cs.c,
linux:drivers/gpu/drm/i915/gt/uc/intel_uc.c
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pvinfo.errors import WaitTimeout
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers import (
    EngineRegisters,
    Guc,
    InterruptGroup,
    MiMode,
    ResetControl,
    ResetDomains,
    ResetRegisters,
    RingHead,
    RingTail,
)

from .interrupts import forget_power_events
from .uncore import Uncore

__all__ = ("reset_all_engines", "reset_engine", "reset_guc", "stop_engine")

_READY_TIMEOUT_NS: Final = 700_000
_DOMAIN_TIMEOUT_NS: Final = 2_000_000
_SETTLE_NS: Final = 50_000
_STOP_TIMEOUT_NS: Final = 101_000_000
"""1 ms spinning, then the stop timeout of 100 ms."""
_RESET_ROUNDS: Final = 2
"""Some parts come out of the first reset with their registers still in flux; the second waits for the first."""
_ATTEMPTS: Final = 3
_GUC_TO_HOST: Final = 1 << 31
"""The micro-controller's interrupt to the driver, in group GT2."""


def _prepare_engine(uncore: Uncore, engine: Engine) -> bool:
    """Ask one engine to quiesce (``gen8_engine_reset_prepare``); False when it does not."""
    control = uncore.read(EngineRegisters.reset_ctl, engine.name)
    if control.catastrophic_error:
        request = mask = ResetControl.catastrophic_error.mask
        acknowledge = 0
    elif not control.ready:
        request = ResetControl.request.mask
        mask = acknowledge = ResetControl.ready.mask
    else:
        return True
    uncore.write_masked(EngineRegisters.reset_ctl, request, True, engine.name)
    try:
        uncore.wait_for(EngineRegisters.reset_ctl, mask, acknowledge, _READY_TIMEOUT_NS, engine.name)
    except WaitTimeout as error:
        uncore.log.error("reset-request", f"{engine.value} does not get ready for its reset: {error}")
        return False
    return True


def _reset_domains(uncore: Uncore, domains: int) -> bool:
    """Reset ``domains`` and wait until that is done (``gen6_hw_domain_reset``)."""
    for _ in range(_RESET_ROUNDS):
        uncore.write(ResetRegisters.gdrst, domains)
        try:
            uncore.wait_for(ResetRegisters.gdrst, domains, 0, _DOMAIN_TIMEOUT_NS)
        except WaitTimeout as error:
            uncore.log.error("reset-domain", f"a reset does not end: {error}")
            return False
    uncore.clock.wait_ns(_SETTLE_NS)
    return True


def reset_all_engines(uncore: Uncore) -> bool:
    """Reset the whole GT (``intel_gt_reset_all_engines``); False when it cannot be done in three attempts.

    From the second attempt on, an engine that does not get ready is reset all the same.
    """
    with uncore.held_awake():
        return _reset_all_engines(uncore)


def _reset_all_engines(uncore: Uncore) -> bool:
    engines = uncore.platform.engines
    return any(_attempt(uncore, engines, ResetDomains.full.mask, regardless=attempt > 0) for attempt in range(_ATTEMPTS))


def _attempt(uncore: Uncore, engines: Iterable[Engine], domains: int, *, regardless: bool) -> bool:
    """Try to reset ``engines`` by ``domains``; ``regardless``: of whether they say that they are ready (``gen8_reset_engines``)."""
    done = False
    ready = True
    for engine in engines:
        ready = _prepare_engine(uncore, engine) and ready
        if not ready and not regardless:
            break
    if ready or regardless:
        done = _reset_domains(uncore, domains)
    for engine in engines:
        uncore.write_masked(EngineRegisters.reset_ctl, ResetControl.request.mask, False, engine.name)
    return done


def reset_engine(uncore: Uncore, engine: Engine) -> bool:
    """Reset one engine; False when it does not get ready or its reset does not end (``intel_gt_reset_engine``)."""
    with uncore.held_awake():
        return _attempt(uncore, (engine,), 1 << ENGINES[engine].reset_bit, regardless=False)


def stop_engine(uncore: Uncore, engine: Engine) -> bool:
    """Let an engine finish its command and stop (``intel_engine_stop_cs``); False when it goes on."""
    uncore.write_masked(EngineRegisters.mi_mode, MiMode.stop_ring.mask, True, engine.name)
    try:
        uncore.wait_for(EngineRegisters.mi_mode, MiMode.idle.mask, MiMode.idle.mask, _STOP_TIMEOUT_NS, engine.name)
        stopped = True
    except WaitTimeout as error:
        head = uncore.read(EngineRegisters.head, engine.name)
        tail = uncore.read(EngineRegisters.tail, engine.name)
        # An engine whose ring is empty may forget to say that it is idle.
        stopped = head & RingHead.address.mask == tail & RingTail.address.mask
        uncore.log.warning("stop-ring", f"{engine.value} does not stop: {error}")
    uncore.read(EngineRegisters.mi_mode, engine.name)
    return stopped


def reset_guc(uncore: Uncore) -> None:
    """Put the micro-controller, which gen9 parts have, back into reset and see that it stays there (``__uc_sanitize``)."""
    if uncore.platform.graphics_version < 9:
        return
    uncore.write(InterruptGroup.ier, 0, "GT2")
    forget_power_events(uncore, _GUC_TO_HOST)
    if not _reset_domains(uncore, ResetDomains.guc.mask):
        return
    status = uncore.read(Guc.status)
    if not status.mia_in_reset:
        uncore.log.warning("guc-status", f"{Guc.status.title} reads {int(status):#x} after its reset: the core is not held in reset")
