"""Campaigns small enough for tests, and executors to play them by."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import ParamSpec, TypeVar, final

from guest_driver.scenarios import select
from guest_driver.scenarios.campaign import Plan, UnitResult

__all__ = ("AtRandom", "InTurn", "Watched", "small_plan", "users_file")

P = ParamSpec("P")
T = TypeVar("T")

_USERS_FILE = '''\
"""Scenarios of somebody's own."""

import os

from guest_driver.scenarios import DeviceKind, Needs, Stage, scenario


@scenario(varies="how long the guest waits, and which side comes up")
def toss(stage: Stage) -> None:
    """Heads come up."""
    stage.guest.wait(stage.random.randrange(1_000_000))
    assert stage.guest.mmio.read32(0x78000) is not None
    stage.check("side", stage.random.choice(("heads", "heads", "heads", "tails")), "heads")


@scenario(varies="whether it comes back")
def come_back(stage: Stage) -> None:
    """It comes back."""
    if stage.random.random() < 0.25 and "SPARED" not in os.environ:
        os._exit(9)
    stage.check("the magic number", stage.guest.mmio.read(0x78000, 8), 0x4776544776544776)


@scenario(needs=Needs(devices=(DeviceKind.PHYSICAL,)))
def plain(stage: Stage) -> None:
    """It leaves nothing to chance."""
    stage.check("what it would leave to chance", stage.random.randrange(1 << 30), {number})
'''


def users_file(folder: Path) -> Path:
    """A file with three scenarios: one holds for some seeds, one kills its process with some, one leaves nothing to chance."""
    number = random.Random("0:plain").randrange(1 << 30)
    path = folder / "my_scenarios.py"
    path.write_text(_USERS_FILE.replace("{number}", str(number)))
    return path


def small_plan(folder: Path, *, seeds: int = 6, platforms: tuple[str, ...] = ("skl", "bdw")) -> Plan:
    """Of units some of which fail, and none of which costs more than some milliseconds."""
    file = users_file(folder)
    return Plan(select([f"{file}::toss", f"{file}::plain", "newer-version"]), platforms, seeds=tuple(range(1, seeds + 1)))


@final
class InTurn(Executor):
    """Does what it is given at once."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@final
class AtRandom(Executor):
    """Keeps a few things back, does any of them when it is given another, and all that are left when it has been given ``total``."""

    def __init__(self, seed: int, total: int) -> None:
        self._random = random.Random(seed)
        self._left = total
        self._waiting: list[Callable[[], None]] = []
        self.order: list[object] = []
        """First arguments, in the order in which they were worked on."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def work() -> None:
            self.order.append(args[0])
            future.set_result(fn(*args, **kwargs))

        self._waiting.append(work)
        self._left -= 1
        while len(self._waiting) > (3 if self._left else 0):
            self._waiting.pop(self._random.randrange(len(self._waiting)))()
        return future


@final
class Watched:
    """Notes how a campaign gets on."""

    def __init__(self) -> None:
        self.total = 0
        self.known: list[UnitResult] = []
        self.seen: list[UnitResult] = []

    def begin(self, total: int, known: Collection[UnitResult]) -> None:
        self.total = total
        self.known = list(known)

    def after(self, result: UnitResult) -> None:
        self.seen.append(result)
