"""Which of the kit's own scenarios a plain run plays where to play them all takes long."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from guest_driver.scenarios import Scenario, built_in

__all__ = ("FEW", "every")


def _first_of_each_file() -> frozenset[str]:
    first: dict[tuple[str, object], str] = {}
    for name, found in built_in().items():
        first.setdefault((found.file, found.needs.devices), name)
    return frozenset(first.values())


FEW = _first_of_each_file()
"""One scenario of each file and kind of device."""


def every(scenarios: Collection[str], few: Collection[str] = FEW) -> list[object]:
    """Parameters of a test of all ``scenarios``, of which a plain run takes those among ``few``."""
    return [pytest.param(name, marks=() if name in few else pytest.mark.every_scenario) for name in scenarios]
