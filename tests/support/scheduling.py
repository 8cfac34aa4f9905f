"""Turns without a GPU: guests whose work is nothing but time, on one clock, under any policy, on one engine or on several."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from host_model.clock import VirtualClock
from host_model.mediator.cost import ProcessorTime
from host_model.mediator.scheduler.policy import Policy
from host_model.mediator.scheduler.turn import PATIENCE_NS
from host_model.mediator.scheduler.turns import DEFAULT_SWITCHING, Turns
from pvinfo.platform import Engine

__all__ = ("MS", "SECOND", "NoGpu", "Shared", "Worker", "always")

MS: Final = 1_000_000
SECOND: Final = 1_000 * MS


class NoGpu:
    """In place of the hardware: checks that nobody is given an engine on which somebody else's work runs."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []

    def give(self, vgpu: Worker, engines: Sequence[Engine]) -> None:
        others = [other for other in self.workers if other is not vgpu]
        assert not [(other.number, engine) for other in others for engine in engines if other.pieces[engine].is_running]

    def set_down(self, vgpu: Worker) -> None:
        assert not vgpu.submission.is_running

    def forget(self, vgpu: Worker) -> None:
        assert not any(pieces.is_running for pieces in vgpu.pieces.values())
        self.workers.remove(vgpu)


class Pieces:
    """What a worker wants of one engine: pieces of its time, one at a time. ``on_done`` is called at the end of each."""

    def __init__(self, worker: Worker, engine: Engine) -> None:
        self._worker = worker
        self.engine = engine
        self.on_done: Callable[[], None] = lambda: worker.on_done(worker)
        self.waiting: list[int | None] = []
        self.is_running = False
        self.reset = 0
        """Times that something was taken from it."""
        self.done_ns = 0
        self._number = 0

    def on(self, engines: Sequence[Engine]) -> Pieces:
        """Where engines are switched together, all work is for the first."""
        return self._worker.pieces[engines[0]]

    def want(self, *pieces: int | None) -> None:
        """Submit pieces of so many nanoseconds; None never ends."""
        self.waiting += pieces
        self._worker.shared.turn.work_came(self._worker, self.engine)

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
                self._worker.shared.turn.work_done(self._worker, self.engine)
                self.on_done()

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
    """A vGPU as far as turns go. ``on_done`` is called at the end of each piece on the first engine."""

    def __init__(self, shared: Shared, number: int, weight: int, on_done: Callable[[Worker], None]) -> None:
        self.shared = shared
        self.number = number
        self.weight = weight
        self.on_done = on_done
        self.time = ProcessorTime(shared.clock)
        self.pieces = {engine: Pieces(self, engine) for engine in Engine}
        self.submission = self.pieces[Engine.RCS0]

    def want(self, *pieces: int | None) -> None:
        """See :meth:`Pieces.want`: of the first engine."""
        self.submission.want(*pieces)

    def drop(self) -> None:
        """Nothing is wanted any more."""
        for pieces in self.pieces.values():
            pieces.drop()

    def reset(self) -> None:
        """The guest resets its engines, and sets them up again."""
        self.drop()
        self.shared.turn.stop(self)
        self.shared.turn.start(self)

    @property
    def used_ns(self) -> int:
        return self.shared.turn.had(self).used_ns


def always(draw: Callable[[], int]) -> Callable[[Worker], None]:
    """A guest that never runs out of work."""
    return lambda worker: worker.want(draw())


class Shared:
    """The clock, the turns and the workers, on all engines that there are."""

    def __init__(self, policy: str | Policy, *, switching: str = DEFAULT_SWITCHING, patience_ns: int = PATIENCE_NS, seed: int = 1) -> None:
        self.clock = VirtualClock()
        self.random = random.Random(seed)
        self._gpu = NoGpu()
        self.ended = 0
        """Pieces that had to be taken back, by whomever."""
        self.turn: Turns[Worker] = Turns(
            tuple(Engine), self.clock, self._gpu, switching=switching, scheduler=policy, patience_ns=patience_ns
        )
        self.policy = self.turn.all[0].policy

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

    def keep_busy(self, worker: Worker, engine: Engine, shortest_ns: int = 50_000, longest_ns: int = 400_000) -> None:
        """From now on it always has work for ``engine``, of pieces of random length."""
        pieces = worker.pieces[engine]
        pieces.on_done = lambda: pieces.want(self.random.randint(shortest_ns, longest_ns))
        pieces.on_done()

    def remove(self, worker: Worker) -> None:
        worker.drop()
        for engine in worker.pieces:
            self.turn.work_done(worker, engine)
        self.turn.leave(worker)

    def wait(self, duration_ns: int) -> None:
        self.clock.wait_ns(duration_ns)

    def used_during(self, duration_ns: int) -> list[int]:
        """What each worker uses of the next so many nanoseconds."""
        before = [worker.used_ns for worker in self.workers]
        self.wait(duration_ns)
        return [worker.used_ns - had for worker, had in zip(self.workers, before, strict=True)]
