"""The execlist submission ports of a client's engines: where its work enters the mediator.

Four dword writes make a submission of one or two context descriptors.

Source: linux:drivers/gpu/drm/i915/gvt/execlist.c (intel_vgpu_submit_execlist)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

from pvinfo.execlist import SUBMISSION_DWORDS, ContextDescriptor, Submission
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters

from .execlist import Elements

if TYPE_CHECKING:
    from ..client import Client
    from ..hardware.engine import HardwareEngine

__all__ = ("PortsWork", "Queue", "SubmissionPorts")


class Queue(Protocol):
    """What waits behind the port of one engine, and what of it runs."""

    @property
    def requests(self) -> int:
        """Requests completed, by the user interrupts that they ended with."""

    @property
    def hardware(self) -> HardwareEngine:
        """The engine itself."""

    @property
    def has_work(self) -> bool:
        """Something waits to be given to the GPU."""

    @property
    def is_running(self) -> bool:
        """The GPU has, or is about to have, something of it."""

    def submit(self, descriptor: ContextDescriptor, elements: Elements | None) -> bool:
        """Queue one context, the first one with the submission that it is of. False when it was refused."""

    def dispatch(self) -> None:
        """Give the first to the GPU, whose engine is idle."""

    def give_up_running(self) -> None:
        """What runs has kept others from the GPU for too long."""

    def reset(self) -> None:
        """Begin anew: nothing runs or waits, and the first event is number 0."""

    def forget_errors(self) -> None:
        """As a reset of the engine does."""

    def close(self) -> None:
        """The client goes."""


Q_co = TypeVar("Q_co", bound=Queue, covariant=True)


@final
class SubmissionPorts(Generic[Q_co]):
    """One port, and the queue behind it, per engine."""

    def __init__(self, client: Client, queue_of: Callable[[Engine], Q_co]) -> None:
        self._client = client
        self.written: dict[Engine, list[int]] = {engine: [] for engine in client.platform.engines}
        """Dwords of a submission that is not complete."""
        self.queues: Mapping[Engine, Q_co] = {engine: queue_of(engine) for engine in client.platform.engines}
        self.submissions: dict[Engine, int] = dict.fromkeys(client.platform.engines, 0)
        """Complete submissions, since the client was made."""
        self.enabled = False
        """Software has chosen execlists since the last reset; what it submits before waits."""
        self._whole = self.on(client.platform.engines)

    # ---- what software does ----

    def write(self, engine: Engine, value: int) -> None:
        """One dword written to the engine's port: element 1 high and low, element 0 high and low; the fourth submits."""
        written = self.written[engine]
        written.append(value)
        if len(written) < SUBMISSION_DWORDS:
            return
        elements = Elements(*Submission(*written).elements)
        written.clear()
        self.submissions[engine] += 1
        if self._acceptable(engine, elements):
            self._submit(engine, elements)

    def _acceptable(self, engine: Engine, elements: Elements) -> bool:
        where = f"{engine.value}.ELSP ({ENGINES[engine].base + EngineRegisters.elsp.offset:#x})"
        if self._client.config.in_d3:
            self._client.findings.fault("submission-asleep", where, "a submission while the device sleeps: it was dropped", value=elements.first.low, nearest="power state D0")
            return False
        if not elements.first.valid:
            self._client.findings.fault("empty-submission", where, "the first element of a submission is not valid: it was dropped", value=elements.first.low, nearest="bit 0 set")
            return False
        for element in elements:
            if element.valid and not element.privilege:
                self._client.findings.fault(
                    "submission-without-tables", where, "an element does not ask for per-process tables: the submission was dropped", value=element.low, nearest="bit 8 set"
                )
                return False
        return True

    def _submit(self, engine: Engine, elements: Elements) -> None:
        queue = self.queues[engine]
        if queue.submit(elements.first, elements) and elements.second.valid:
            queue.submit(elements.second, None)
        self._client.turn.work_came(self._client, engine)

    def enable(self, engine: Engine) -> None:
        """Software has chosen execlists: the port starts empty, and its work may be carried out."""
        self.written[engine].clear()
        self.queues[engine].reset()
        self.enabled = True
        self._client.turn.start(self._client)

    def reset(self, engines: Iterable[Engine]) -> None:
        """Software resets engines: what they ran or had waiting is gone, and nothing is carried out until it enables one again."""
        self.enabled = False
        for engine in engines:
            self.written[engine].clear()
            self.queues[engine].reset()
            self.queues[engine].forget_errors()
        self._client.turn.stop(self._client)

    # ---- what the mediator asks ----

    def on(self, engines: Sequence[Engine], /) -> PortsWork:
        """What there is for these engines, now and ever after."""
        return PortsWork(self, tuple(self.queues[engine] for engine in engines))

    @property
    def has_work(self) -> bool:
        """Something waits for the GPU."""
        return self._whole.has_work

    @property
    def may_go_on(self) -> bool:
        """Software has chosen execlists, and the client does not rest."""
        return self.enabled and not self._client.rests

    @property
    def is_running(self) -> bool:
        """The GPU has work of this client."""
        return self._whole.is_running

    def close(self) -> None:
        """The client goes."""
        for queue in self.queues.values():
            queue.close()


@final
class PortsWork:
    """What has come in by some of the ports, as far as turns go."""

    def __init__(self, ports: SubmissionPorts[Queue], queues: Sequence[Queue]) -> None:
        self._ports = ports
        self._queues = queues

    @property
    def has_work(self) -> bool:
        """Something waits for an engine."""
        return self._ports.may_go_on and any(queue.has_work for queue in self._queues)

    @property
    def is_running(self) -> bool:
        """An engine has something of it."""
        return any(queue.is_running for queue in self._queues)

    def dispatch(self) -> None:
        """Give each engine that is free what there is for it."""
        for queue in self._queues:
            if self._ports.may_go_on and queue.has_work and not queue.hardware.busy:
                queue.dispatch()

    def give_up_running(self) -> None:
        """What runs has kept others waiting for too long."""
        for queue in self._queues:
            queue.give_up_running()
