"""Which of the kit's own scenarios a plain run plays where to play them all takes long."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from guest_driver.scenarios import Scenario, built_in

from .sample import sampled

__all__ = ("FEW", "FEWEST", "every")


def _first_of_each(room: Callable[[Scenario], object]) -> frozenset[str]:
    first: dict[tuple[object, object], str] = {}
    for name, found in built_in().items():
        first.setdefault((room(found), found.needs.devices), name)
    return frozenset(first.values())


FEW = _first_of_each(lambda found: found.file)
"""One scenario of each file and kind of device."""
FEWEST = _first_of_each(lambda found: Path(found.file).parent)
"""One scenario of each folder and kind of device."""


def every(scenarios: Collection[str], few: Collection[str] = FEW) -> list[object]:
    """Parameters of a test of all ``scenarios``, of which a plain run takes those among ``few``."""
    return sampled(scenarios, few)
