"""A vGPU that stands still: nothing of it runs, and its guest is told nothing.

So it can be saved. Who makes it stand still has stopped its guest's processors before, as a machine's monitor does: nothing is
submitted meanwhile. What was submitted is carried out first, for only the hardware knows how to go on in the middle of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.errors import SaveRefused

from .scheduler.turn import PATIENCE_NS

if TYPE_CHECKING:
    from .submission.queue import EngineQueue
    from .vgpu import Vgpu

__all__ = ("Standstill",)


@final
class Standstill:
    """Whether one vGPU stands still."""

    def __init__(self, vgpu: Vgpu) -> None:
        self._vgpu = vgpu
        self.silent = False
        """The guest is told nothing: it stands still, or is about to."""
        self.reached = False
        """Nothing of it is given to the GPU."""
        self.message_owed = False
        """There was something to tell the guest meanwhile."""

    def begin(self, patience_ns: int = PATIENCE_NS) -> None:
        """Carry out what the guest has submitted, and stand still. The host's clock goes on meanwhile, and others with it.

        Raises: SaveRefused, when the work does not end within ``patience_ns``; the vGPU goes on then.
        """
        vgpu = self._vgpu
        self.silent, self.reached = True, False
        vgpu.turn.look_at(vgpu)
        if not vgpu.clock.wait_for(self._is_idle, patience_ns):
            queue, context = self._endless()
            self.end()
            raise SaveRefused(vgpu.number, queue.engine.value, context, patience_ns)
        self.hold()
        vgpu.turn.set_down(vgpu)
        for queue in vgpu.submission.queues.values():
            queue.stand_still()
        vgpu.display.pipes.stand_still()

    def hold(self) -> None:
        """Stand still as it is: a vGPU of which nothing runs, because nothing ever did."""
        self.silent = self.reached = True

    def end(self) -> None:
        """Go on. A message that is owed is sent. Does nothing for a vGPU that does not stand still."""
        vgpu = self._vgpu
        stood_still, self.silent, self.reached = self.reached, False, False
        if stood_still and vgpu.submission.enabled:
            vgpu.turn.start(vgpu)
        if self.message_owed:
            self.message_owed = False
            vgpu.inject_msi()

    def _is_idle(self) -> bool:
        submission = self._vgpu.submission
        return not submission.is_running and not submission.has_work

    def _endless(self) -> tuple[EngineQueue, int]:
        """The work that has not ended: what runs, before what waits."""
        queues = self._vgpu.submission.queues.values()
        running = [(queue, queue.running.descriptor.context_id) for queue in queues if queue.running is not None]
        waiting = [(queue, queue.waiting[0].descriptor.context_id) for queue in queues if queue.waiting]
        return (running + waiting)[0]
