"""A client's work for one engine: contexts of its own, run as they are, one after the other, while it is its turn.

The engine restores the client's own images and saves to them; ring, batches and tables are in its memory. What a context
finds that has no state yet is what its driver has left in registers, not what another client has.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.execlist import ContextDescriptor
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineError, EngineInterrupt, EngineRegisters

from ..hardware.interrupts import WANTED_EVENTS
from ..submission.engine_view import forget_errors, show_error, show_position
from ..submission.execlist import Elements, GuestExeclist

if TYPE_CHECKING:
    from ..client import Client

__all__ = ("UnshadowedQueue",)

_RING: Final = (EngineRegisters.head.offset, EngineRegisters.tail.offset, EngineRegisters.start.offset)


class _Work(NamedTuple):
    """One context of a submission, and for the first of it the whole."""

    descriptor: ContextDescriptor
    elements: Elements | None


@final
class UnshadowedQueue:
    """The queue of one engine; a :class:`~host_model.mediator.submission.port.Queue`."""

    def __init__(self, client: Client, engine: Engine) -> None:
        self._client = client
        self.engine = engine
        self.execlist = GuestExeclist(client, engine)
        self.completed = 0
        """Contexts carried out."""
        self.requests = 0
        """Requests completed, by the user interrupts that they ended with."""
        self.hardware = client.hardware.engines[engine]
        """The engine itself."""
        self._running: _Work | None = None
        self._waiting: deque[_Work] = deque()
        self._had_at = -1
        """Which of the GPU's turns the client's state of the engine was last loaded in."""

    @property
    def has_work(self) -> bool:
        """Something waits to be given to the GPU."""
        return bool(self._waiting) and self._running is None

    @property
    def is_running(self) -> bool:
        """The GPU has, or is about to have, something of it."""
        return self._running is not None

    def submit(self, descriptor: ContextDescriptor, elements: Elements | None) -> bool:
        """Queue one context. The driver moves the tail in its image, which nobody else writes, until it is given to the GPU."""
        self._waiting.append(_Work(descriptor, elements))
        return True

    # ---- what the GPU is given ----

    def dispatch(self) -> None:
        """Give the first context to the GPU, whose engine is idle."""
        work = self._running = self._waiting.popleft()
        self._client.time.then(lambda: self._start(work))

    def _start(self, work: _Work) -> None:
        if work is not self._running:
            return
        hardware = self._client.hardware
        if self._had_at != hardware.turns:
            self._had_at = hardware.turns
            hardware.load_state(self._client, self.engine)
        self.hardware.on_error = self._stopped_in_error
        self.hardware.submit(work.descriptor, lambda: self._completed(work), self._told)
        if work.elements is not None and not self.execlist.schedule_in(work.elements):
            self._client.findings.fault(
                "submission-lost", f"{self.engine.value}.ELSP", "a submission while two were on their way: its events are lost", value=work.descriptor.low
            )

    # ---- what becomes of it ----

    def _told(self, events: EngineInterrupt) -> None:
        """The engine's own events while it works for the client; those about contexts are told when they are due to be."""
        self.requests += events.user
        specification = ENGINES[self.engine]
        bits = (events & ~WANTED_EVENTS) << specification.interrupt_shift
        bits &= ~EngineRegisters(self._client.registers, specification.base).imr
        if bits:
            self._client.interrupts.raise_bits(f"GT{specification.interrupt_group}", bits)

    def _completed(self, work: _Work) -> None:
        if work is not self._running:
            return
        self._running = None
        self.completed += 1
        self._show_position()
        following = self._waiting[0] if self._waiting else None
        if following is None or not following.descriptor.same_context(work.descriptor):
            self.execlist.schedule_out(work.descriptor)
        self._client.turn.work_done(self._client, self.engine)

    def _stopped_in_error(self, error: EngineError) -> None:
        if self._running is not None:
            show_error(self._client, self.engine, error)

    def _show_position(self) -> None:
        base = ENGINES[self.engine].base
        for offset in _RING:
            self._client.registers.write32(base + offset, self._client.gpu.mmio.read32(base + offset))
        show_position(self._client, self.engine)

    def give_up_running(self) -> None:
        """What runs has kept others from the GPU for too long: its engine is reset, and the driver sees it hung."""
        work = self._running
        if work is not None:
            self._stop()
            self._client.findings.fault(
                "work-without-end", f"{self.engine.value} context {work.descriptor.image:#x}",
                "work that did not end while others waited: the engine was reset under it", value=work.descriptor.low,
            )  # fmt: skip

    # ---- resets ----

    def _stop(self) -> None:
        if self._running is not None:
            self._running = None
            self.hardware.reset()
        self._waiting.clear()

    def reset(self) -> None:
        """Begin anew: nothing runs or waits, and the first event is number 0."""
        self._stop()
        self.execlist.reset()

    def forget_errors(self) -> None:
        """As a reset of the engine does."""
        forget_errors(self._client, self.engine)

    def close(self) -> None:
        """The client goes."""
        self._stop()
        self.hardware.listen(None)
