"""The state of each engine after a reset, recorded once, from which every later context starts.

A fresh context runs on each engine: it takes the engine's state as a reset has left it, sets the registers that
belong to a context, on the render engine puts the pipelines in order, and saves all that when the engine switches away.
Source: linux:drivers/gpu/drm/i915/gt/intel_gt.c (``__engines_record_defaults``)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.platform import Engine

from .context import Context, bind_pages
from .ggtt import Binding, Ggtt
from .memory import GuestPages
from .request import Request
from .workarounds import context_workarounds

if TYPE_CHECKING:
    from .gt import Gt
    from .uncore import Uncore

__all__ = ("DefaultState",)

_MOMENT_NS: Final = 20_000
"""What the processor takes to start one engine, while those started before are at work."""
_IDLE_TIMEOUT_NS: Final = 200_000_000
"""For the first requests of all engines together."""


@final
class DefaultState:
    """The recording, and what it leaves to be given back."""

    def __init__(self, uncore: Uncore, ggtt: Ggtt, pages: GuestPages) -> None:
        self._uncore = uncore
        self._ggtt = ggtt
        self._pages = pages
        self._contexts: list[Context] = []
        self.images: dict[Engine, bytes] = {}
        """Images of contexts, engine by engine."""

    def record(self, gt: Gt) -> bool:
        """Run a fresh context on each engine; False when they do not all answer, and then ``gt`` was given up.

        Raises: DriverError when memory or graphics memory is used up.
        """
        requests: list[Request] = []
        render_state: Binding | None = None
        for engine, streamer in gt.engines.items():
            context = streamer.create_context("default", gt.require_kernel_vm())
            self._contexts.append(context)
            if engine is Engine.RCS0:
                render_state = bind_pages(self._ggtt, self._pages, 1, "render state batch")
                render_state.buffer.write_dwords(0, streamer.emission.render_state())
            request = Request(context)
            self._load_registers(request)
            if render_state is not None and engine is Engine.RCS0:
                request.emit(streamer.emission.batch_start(render_state.address, privileged=True))
            request.commit()
            requests.append(request)
            gt.work.wait(_MOMENT_NS)
        answered = gt.wait_for_idle(_IDLE_TIMEOUT_NS) and all(request.error is None for request in requests)
        if answered:
            self.images = {context.engine: context.read_image() for context in self._contexts}
        else:
            gt.set_wedged()
        if render_state is not None:
            self._ggtt.unbind(render_state)
            self._pages.release(render_state.buffer)
        for context in self._contexts:
            context.release_image()
        if not answered:
            self.release_contexts()
        return answered

    def _load_registers(self, request: Request) -> None:
        """Set the registers that belong to a context (``intel_engine_emit_ctx_wa``)."""
        loads = context_workarounds(self._uncore, request.engine)
        if not loads:
            return
        emission = request.streamer.emission
        request.emit(emission.barrier())
        request.emit(emission.load_registers(loads))
        request.emit(emission.barrier())

    def release_contexts(self) -> None:
        """Give rings and timelines back. They outlive the images, whose last users have to go first."""
        for context in self._contexts:
            context.streamer.release_context(context)
        self._contexts = []
