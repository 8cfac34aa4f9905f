"""Recovery: what is done about an engine that hangs, and to whom.

The engine alone is reset first. What it was at fails and is not executed again; its context goes on with what comes
after it, unless it has done this before; every other request is handed over anew as if nothing had been. When the engine
cannot be reset alone the whole GT is, and when that cannot be either, it is given up.
Source: linux:drivers/gpu/drm/i915/gt/intel_reset.c
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final, NamedTuple

from pvinfo.platform import Engine
from pvinfo.registers import EngineRegisters, MiMode

from .context import BANNED
from .engine_resume import resume_engine
from .request import Request
from .reset import reset_engine, stop_engine

if TYPE_CHECKING:
    from .streamer import Streamer

__all__ = ("EngineState", "begin_anew", "blame", "capture", "finish_reset", "prepare_reset", "recover_engine", "restart")

_FAST_HANG_NS: Final = 120_000_000_000
_FORGIVEN_HANGS: Final = 2
"""A context that hangs the engine more often than this within two minutes is banned.
Source: linux:drivers/gpu/drm/i915/gem/i915_gem_context_types.h"""


class EngineState(NamedTuple):
    """What an engine's registers said when it was found hung."""

    engine: Engine
    time_ns: int
    reason: str
    start: int
    head: int
    tail: int
    acthd: int
    ipehr: int
    instdone: int
    eir: int
    execlist_status: int
    context_id: int


def capture(streamer: Streamer, reason: str) -> EngineState:
    """Read what tells where the engine is (``i915_capture_error_state``)."""
    uncore, name = streamer.uncore, streamer.engine.name

    def read(register: str) -> int:
        return int(uncore.regs.read32(getattr(EngineRegisters, register).at(name)))

    return EngineState(
        streamer.engine, uncore.clock.now_ns(), reason,
        read("start"), read("head"), read("tail"), read("acthd_udw") << 32 | read("acthd"), read("ipehr"), read("instdone"), read("eir"),
        read("execlist_status_lo"), read("execlist_status_hi"),
    )  # fmt: skip


def blame(request: Request) -> None:
    """``request`` is what the engine hung in: it fails, and its context has one more hang (``__i915_request_reset``)."""
    streamer, context = request.streamer, request.context
    request.fail(f"{request.engine.value} hung while it was executed")
    request.skip()
    if context is streamer.kernel_context:
        return
    now = streamer.uncore.clock.now_ns()
    context.hangs_ns = [when for when in context.hangs_ns if now - when < _FAST_HANG_NS]
    context.hangs_ns.append(now)
    streamer.log.info("context-reset", f"the {context.name} is reset: it has hung the engine")
    if len(context.hangs_ns) > _FORGIVEN_HANGS or context.closed:
        context.banned = True
        streamer.log.info("context-banned", f"the {context.name} is banned: it has hung the engine too often")


def _unfinished(request: Request) -> list[Request]:
    """What of its context is not done up to ``request``, newest first (``active_request``)."""
    requests = request.context.timeline.requests
    return list(takewhile(lambda other: not other.complete, reversed(requests[: requests.index(request) + 1])))


def restart(stopped: Request, *, hung: bool) -> None:
    """The engine was stopped while it had ``stopped``, the last of a port: have the context begin again with the first that is
    not done. If the engine ``hung``, it was in that one, if it has begun (``execlists_reset_active``)."""
    context, head = stopped.context, stopped.tail
    if not stopped.complete:
        oldest = _unfinished(stopped)[-1]
        head = oldest.head
        if hung and oldest.started:
            blame(oldest)
    context.restart(context.ring.wrapped(head))


def begin_anew(request: Request) -> None:
    """Nothing up to ``request`` is to be executed, and nothing of what its context was at may go on (``reset_active``)."""
    context, head = request.context, request.tail
    if not request.complete:
        for other in _unfinished(request):
            other.fail(BANNED)
            other.skip()
            head = other.head
    context.restart(context.ring.wrapped(head), scrub=True)


def prepare_reset(streamer: Streamer) -> None:
    """Follow no more events and stop the engine, which must not sleep from here on (``reset_prepare_engine``)."""
    if streamer.uncore.domains is not None:
        streamer.uncore.domains.hold(streamer.uncore.domains.all)
    streamer.execlists.disable()
    streamer.pause(True)
    stop_engine(streamer.uncore, streamer.engine)
    streamer.execlists.reset_ccid = int(streamer.uncore.read(EngineRegisters.execlist_status_hi, streamer.engine.name))


def finish_reset(streamer: Streamer) -> None:
    """Go on (``reset_finish_engine``)."""
    streamer.execlists.enable()
    streamer.execlists.kick()
    if streamer.uncore.domains is not None:
        streamer.uncore.domains.let_go(streamer.uncore.domains.all)
    streamer.breadcrumbs.interrupted()


def recover_engine(streamer: Streamer, reason: str) -> bool:
    """Reset one engine and have it go on; False when it cannot be reset (``__intel_engine_reset_bh``)."""
    if not streamer.awake:
        return True
    prepare_reset(streamer)
    streamer.log.info("engine-reset", f"{streamer.engine.value} is reset: {reason}")
    streamer.resets += 1
    done = reset_engine(streamer.uncore, streamer.engine)
    if done:
        streamer.execlists.rewind(hung=True)
        streamer.state_lost()
        resume_engine(streamer)
    streamer.uncore.write_masked(EngineRegisters.mi_mode, MiMode.stop_ring.mask, False, streamer.engine.name)
    finish_reset(streamer)
    streamer.work.run_tasklets()
    return done
