"""The engines of a GPU, all on one global table and one register file. What one has looked up in tables is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import final

from pvinfo.finding import FindingLog
from pvinfo.platform import Engine as EngineName
from pvinfo.platform import Platform
from pvinfo.register import RegisterBus

from ..clock import HostClock
from ..memory import BusMemory
from .engine import Engine
from .translation import GlobalSpace

__all__ = ("Engines",)


@final
class Engines:
    """All engines of a platform, by name.

    ``memory`` gives what each engine reaches by bus address, ``table`` is the GGTT in quadwords, ``registers`` the register file in dwords, with no side effects; ``bus`` is what
    commands reach registers by, with the effects that software's accesses have. ``interrupt`` is called with the engine
    and one bit of EngineInterrupt for each event.
    """

    def __init__(
        self, platform: Platform, clock: HostClock, memory: Callable[[EngineName], BusMemory], table: memoryview,
        registers: memoryview, bus: RegisterBus, interrupt: Callable[[EngineName, int], None], findings: FindingLog,
    ) -> None:  # fmt: skip
        def teller(name: EngineName) -> Callable[[int], None]:
            return lambda event: interrupt(name, event)

        self._engines = {
            name: Engine(name, platform, clock, behind, GlobalSpace(table, behind), registers, bus, teller(name), findings)
            for name, behind in ((name, memory(name)) for name in platform.engines)
        }  # fmt: skip
        for engine in self._engines.values():
            engine.connect(self._engines)

    def __getitem__(self, name: EngineName) -> Engine:
        return self._engines[name]

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines.values())

    def reset(self, names: Iterable[EngineName]) -> None:
        """Reset some engines, as GDRST does."""
        for name in names:
            self._engines[name].reset()

    def invalidate_translations(self) -> None:
        """Drop what every engine remembers of page tables, and of the memory behind them."""
        for engine in self:
            engine.invalidate_translations()

    @property
    def commands(self) -> dict[str, int]:
        """Commands executed, by engine."""
        return {name.value: engine.commands for name, engine in self._engines.items()}

    @property
    def requests(self) -> dict[str, int]:
        """Requests completed, by engine: what ended with a user interrupt from the ring."""
        return {name.value: engine.requests for name, engine in self._engines.items()}
