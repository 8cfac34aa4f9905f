"""Playing a campaign: units handed to an executor, a few at a time, and what comes of each written down as it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Final, Protocol, TypeVar

from pvinfo import __version__
from pvinfo.errors import SetupError

from .journal import Journal
from .plan import Plan, Unit
from .result import CampaignResult, UnitResult
from .work import play_unit

__all__ = ("IN_FLIGHT", "Watcher", "each_unit", "run_campaign")

T = TypeVar("T")

IN_FLIGHT: Final = 16
"""Units that an executor has at a time, unless another number is asked for."""


class Watcher(Protocol):
    """Is told how a campaign gets on."""

    def begin(self, total: int, known: Collection[UnitResult]) -> None:
        """There are ``total`` units, and of some it is ``known`` what came of them, by the journal."""

    def after(self, result: UnitResult) -> None:
        """Another one is done."""


def each_unit(
    units: deque[Unit], work: Callable[[Unit], T], executor: Executor, done: Callable[[Unit, T], None], lost: Callable[[Unit, str], None],
    in_flight: int = IN_FLIGHT,
) -> None:  # fmt: skip
    """Have ``executor`` do ``work`` on each of ``units``, ``in_flight`` of them at a time, and tell ``done`` what came of it, in any order.

    When the executor breaks because a worker has died, nobody says at which unit it was. Those that were under way are tried again, each
    alone: one that breaks it then is told to ``lost``, as is one whose result does not come back for another reason.

    Raises: SetupError when the executor takes no more work.
    """
    suspects: deque[Unit] = deque()
    flying: dict[Future[T], Unit] = {}
    alone: Unit | None = None
    try:
        while units or suspects or flying:
            while (suspects and not flying) or (units and not suspects and len(flying) < in_flight):
                source = suspects or units
                try:
                    flying[executor.submit(work, source[0])] = source[0]
                except RuntimeError as error:
                    if flying:
                        break  # what is under way says more
                    raise SetupError(f"the executor takes no more work ({error}); units that are left: {len(units) + len(suspects)}") from error
                alone = source[0] if suspects else None
                source.popleft()
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                unit = flying.pop(future)
                try:
                    result = future.result()
                except BrokenExecutor:
                    if unit == alone:
                        lost(unit, "its worker died while it was at it")
                    else:
                        suspects.append(unit)
                except Exception as error:  # a worker may fail as it likes: that costs its unit
                    lost(unit, f"its worker failed: {type(error).__name__}: {error}")
                else:
                    done(unit, result)
    finally:
        for future in flying:
            future.cancel()


def run_campaign(
    plan: Plan, executor: Executor, *, journal: Journal | None = None, progress: Watcher | None = None, in_flight: int = IN_FLIGHT
) -> CampaignResult:
    """Play what ``plan`` says, by ``executor``, and say what came of each unit. The executor stays the caller's.

    What is in ``journal`` is not played again, and what comes of each other unit is written there at once. A worker that dies costs the
    unit that it was at; the rest goes on, as far as the executor does: :class:`.WorkerProcesses` always do.

    Raises: UsageError for a plan that means nothing; SetupError when the executor takes no more work, or the journal none.
    """
    plan.check()
    results: dict[Unit, UnitResult] = dict(journal.results) if journal is not None else {}
    units = tuple(plan.units())
    if progress is not None:
        progress.begin(len(units), results.values())

    def enter(result: UnitResult) -> None:
        results[result.unit] = result
        if journal is not None:
            journal.add(result)
        if progress is not None:
            progress.after(result)

    each_unit(
        deque(unit for unit in units if unit not in results), play_unit, executor,
        lambda _, result: enter(result), lambda unit, why: enter(UnitResult.lost(unit, why)), in_flight,
    )  # fmt: skip
    return CampaignResult(__version__, plan, tuple(results[unit] for unit in units))
