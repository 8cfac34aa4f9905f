"""Processes of a campaign's own, which are replaced when one of them dies, and never outlive the campaign."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from threading import Thread
from types import TracebackType
from typing import Final, ParamSpec, TypeVar, final

__all__ = ("WorkerProcesses", "usual_number_of_workers")

P = ParamSpec("P")
T = TypeVar("T")

_START_METHOD: Final = "forkserver"
"""Workers have nothing of this process but what they are handed: no thread, no lock, and no other end of the leash."""


def usual_number_of_workers() -> int:
    """One for each processor that this process may use."""
    return len(os.sched_getaffinity(0))


def _end_with(leash: Connection) -> None:
    """End this process at once when nobody holds the other end of ``leash`` any more."""
    with contextlib.suppress(EOFError, OSError):
        leash.recv_bytes()
    os._exit(1)


def _begin(leash: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that holds the leash
    Thread(target=_end_with, args=(leash,), daemon=True).start()


@final
class WorkerProcesses(Executor):
    """As many processes as ``count`` says. When one dies all futures under way fail with BrokenProcessPool, and what is submitted next
    has new processes. They end with this process, even if it is killed, and at once when a ``with`` block ends with an error."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._context = multiprocessing.get_context(_START_METHOD)
        self._context.set_forkserver_preload(["guest_driver.scenarios.campaign.work"])
        self._start()

    def _start(self) -> None:
        end, self._leash = self._context.Pipe(duplex=False)
        self._end = end
        self._pool = ProcessPoolExecutor(self._count, mp_context=self._context, initializer=_begin, initargs=(end,))

    def _release(self) -> None:
        """End all processes now."""
        self._leash.close()
        self._end.close()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As of any executor; it never refuses because a process has died."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenProcessPool:
            self._release()
            self._pool.shutdown()
            self._start()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of any executor: what is under way is finished first."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            self._release()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._release()
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None:
            self._release()
