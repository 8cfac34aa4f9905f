"""The execlist submission ports of a vGPU's engines: where the guest's work enters the mediator.

Four dword writes make a submission of one or two context descriptors.

Source: linux:drivers/gpu/drm/i915/gvt/execlist.c (intel_vgpu_submit_execlist)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, final

from pvinfo.execlist import SUBMISSION_DWORDS, Submission
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters

from .execlist import Elements
from .queue import EngineQueue

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("PortsWork", "SubmissionPorts")


@final
class SubmissionPorts:
    """One port, and the queue behind it, per engine."""

    def __init__(self, vgpu: Vgpu) -> None:
        self._vgpu = vgpu
        self.written: dict[Engine, list[int]] = {engine: [] for engine in vgpu.platform.engines}
        """Dwords of a submission that is not complete."""
        self.queues = {engine: EngineQueue(vgpu, engine) for engine in vgpu.platform.engines}
        self.submissions: dict[Engine, int] = dict.fromkeys(vgpu.platform.engines, 0)
        """Complete submissions by the guest, since the vGPU was made."""
        self.enabled = False
        """The guest has chosen execlists since the last reset; what it submits before waits."""
        self._whole = self.on(vgpu.platform.engines)

    # ---- what the guest does ----

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
        if self._vgpu.config.in_d3:
            self._vgpu.findings.fault("submission-asleep", where, "a submission while the device sleeps: it was dropped", value=elements.first.low, nearest="power state D0")
            return False
        if not elements.first.valid:
            self._vgpu.findings.fault("empty-submission", where, "the first element of a submission is not valid: it was dropped", value=elements.first.low, nearest="bit 0 set")
            return False
        for element in elements:
            if element.valid and not element.privilege:
                self._vgpu.findings.fault(
                    "submission-without-tables", where, "an element does not ask for per-process tables: the submission was dropped", value=element.low, nearest="bit 8 set"
                )
                return False
        return True

    def _submit(self, engine: Engine, elements: Elements) -> None:
        queue = self.queues[engine]
        if queue.submit(elements.first, elements) and elements.second.valid:
            queue.submit(elements.second, None)
        self._vgpu.turn.work_came(self._vgpu, engine)

    def enable(self, engine: Engine) -> None:
        """The guest has chosen execlists: the port starts empty, and its work may be carried out."""
        self.written[engine].clear()
        self.queues[engine].reset()
        self.enabled = True
        self._vgpu.turn.start(self._vgpu)

    def reset(self, engines: Iterable[Engine]) -> None:
        """The guest resets engines: what they ran or had waiting is gone, and nothing is carried out until it enables one again."""
        self.enabled = False
        for engine in engines:
            self.written[engine].clear()
            self.queues[engine].reset()
            self.queues[engine].forget_errors()
        self._vgpu.turn.stop(self._vgpu)

    # ---- what the mediator asks ----

    def on(self, engines: Sequence[Engine], /) -> PortsWork:
        """What there is for these engines, now and ever after."""
        return PortsWork(self, tuple(self.queues[engine] for engine in engines))

    @property
    def may_go_on(self) -> bool:
        """Its guest has chosen execlists, and neither the device sleeps nor the vGPU stands still."""
        return self.enabled and not self._vgpu.standstill.reached and not self._vgpu.config.in_d3

    @property
    def has_work(self) -> bool:
        """Something waits for the GPU."""
        return self._whole.has_work

    @property
    def is_running(self) -> bool:
        """The GPU has work of this vGPU."""
        return self._whole.is_running

    def close(self) -> None:
        """The vGPU goes."""
        for queue in self.queues.values():
            queue.close()


@final
class PortsWork:
    """What has come in by some of the ports, as far as turns go."""

    def __init__(self, ports: SubmissionPorts, queues: Sequence[EngineQueue]) -> None:
        self._ports = ports
        self._queues = queues

    @property
    def has_work(self) -> bool:
        """Something waits for an engine."""
        return any(queue.has_work for queue in self._queues) and self._ports.may_go_on

    @property
    def is_running(self) -> bool:
        """An engine has something of it."""
        return any(queue.running is not None for queue in self._queues)

    def dispatch(self) -> None:
        """Give each engine that is free what there is for it."""
        for queue in self._queues:
            if queue.has_work and self._ports.may_go_on and not queue.hardware.busy:
                queue.dispatch()

    def give_up_running(self) -> None:
        """What runs has kept others waiting for too long."""
        for queue in self._queues:
            queue.give_up_running()
