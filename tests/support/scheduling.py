"""Turns without a GPU: guests whose work is nothing but time, on one clock, under any policy."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from host_model.clock import VirtualClock
from host_model.mediator.cost import ProcessorTime
from host_model.mediator.scheduler.policy import Policy
from host_model.mediator.scheduler.turn import PATIENCE_NS, Turn

__all__ = ("MS", "SECOND", "NoGpu", "Shared", "Worker", "always")

MS: Final = 1_000_000
SECOND: Final = 1_000 * MS


class NoGpu:
    """In place of the hardware: checks that nobody is given a GPU on which somebody else's work runs."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []

    def give(self, vgpu: Worker) -> None:
        assert not [other.number for other in self.workers if other is not vgpu and other.submission.is_running]

    def set_down(self, vgpu: Worker) -> None:
        assert not vgpu.submission.is_running

    def forget(self, vgpu: Worker) -> None:
        assert not vgpu.submission.is_running
        self.workers.remove(vgpu)


class Pieces:
    """What a worker wants: pieces of GPU time, one at a time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.waiting: list[int | None] = []
        self.is_running = False
        self.reset = 0
        """Times that something was taken from it."""
        self.done_ns = 0
        self._number = 0

    @property
    def has_work(self) -> bool:
        return bool(self.waiting) and not self.is_running

    def dispatch(self) -> None:
        if not self.has_work:
            return
        piece = self.waiting.pop(0)
        self.is_running = True
        self._number += 1
        number = self._number

        def ended() -> None:
            if self.is_running and number == self._number:
                self.is_running = False
                self.done_ns += piece or 0
                self._worker.shared.turn.work_done(self._worker)
                self._worker.on_done(self._worker)

        def begin() -> None:
            if piece is not None:
                self._worker.shared.clock.call_after(piece, ended)

        self._worker.time.then(begin)

    def give_up_running(self) -> None:
        if self.is_running:
            self.reset += 1
            self._worker.shared.ended += 1
            self.is_running = False
            self.waiting.clear()

    def drop(self) -> None:
        """As the guest's own reset does."""
        self.is_running = False
        self.waiting.clear()


class Worker:
    """A vGPU as far as turns go. ``on_done`` is called at the end of each piece."""

    def __init__(self, shared: Shared, number: int, weight: int, on_done: Callable[[Worker], None]) -> None:
        self.shared = shared
        self.number = number
        self.weight = weight
        self.on_done = on_done
        self.time = ProcessorTime(shared.clock)
        self.submission = Pieces(self)

    def want(self, *pieces: int | None) -> None:
        """Submit pieces of so many nanoseconds; None never ends."""
        self.submission.waiting += pieces
        self.shared.turn.work_came(self)

    def reset(self) -> None:
        """The guest resets its engines, and sets them up again."""
        self.submission.drop()
        self.shared.turn.stop(self)
        self.shared.turn.start(self)

    @property
    def used_ns(self) -> int:
        return self.shared.turn.had(self).used_ns


def always(draw: Callable[[], int]) -> Callable[[Worker], None]:
    """A guest that never runs out of work."""
    return lambda worker: worker.want(draw())


class Shared:
    """The clock, the turns and the workers."""

    def __init__(self, policy: Policy, *, patience_ns: int = PATIENCE_NS, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.random = random.Random(seed)
        self._gpu = NoGpu()
        self.policy = policy
        self.ended = 0
        """Pieces that had to be taken back, by whomever."""
        self.turn: Turn[Worker] = Turn(self.clock, self._gpu, policy, patience_ns)

    @property
    def workers(self) -> Sequence[Worker]:
        return self._gpu.workers

    def add(self, weight: int, on_done: Callable[[Worker], None] = lambda worker: None) -> Worker:
        """One more vGPU, whose guest has set its engines up."""
        worker = Worker(self, max((other.number for other in self.workers), default=0) + 1, weight, on_done)
        self._gpu.workers.append(worker)
        self.turn.start(worker)
        return worker

    def busy(self, weight: int, shortest_ns: int = 50_000, longest_ns: int = 400_000) -> Worker:
        """One that always has work, of pieces of random length."""
        worker = self.add(weight, always(lambda: self.random.randint(shortest_ns, longest_ns)))
        worker.on_done(worker)
        return worker

    def remove(self, worker: Worker) -> None:
        worker.submission.drop()
        self.turn.work_done(worker)
        self.turn.leave(worker)

    def wait(self, duration_ns: int) -> None:
        self.clock.wait_ns(duration_ns)

    def used_during(self, duration_ns: int) -> list[int]:
        """What each worker uses of the next so many nanoseconds."""
        before = [worker.used_ns for worker in self.workers]
        self.wait(duration_ns)
        return [worker.used_ns - had for worker, had in zip(self.workers, before, strict=True)]
