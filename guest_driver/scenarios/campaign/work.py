"""What a worker does: play one unit, in whatever process it finds itself."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import Final

from pvinfo import __version__

from ...report import render_report
from ..catalogue import Scenario, select
from ..outcome import RunResult, ScenarioResult
from ..run import play
from ..user_file import split_word
from .plan import Unit
from .result import UnitResult

__all__ = ("page_of_unit", "play_unit")

_FINDING: Final = Lock()
"""Scenario files are loaded one at a time: an executor may have threads."""



@lru_cache(maxsize=64)
def _loaded(word: str, changed_ns: int | None) -> Scenario:
    (found,) = select((word,))
    return found


def _scenario_of(unit: Unit) -> Scenario:
    """The scenario that the unit means. One of the user's own is loaded once, and anew when its file has changed."""
    parts = split_word(unit.scenario)
    changed_ns = parts[0].stat().st_mtime_ns if parts is not None and parts[0].is_file() else None
    with _FINDING:
        return _loaded(unit.scenario, changed_ns)


def _play(unit: Unit) -> ScenarioResult:
    return play(_scenario_of(unit), unit.place(), unit.seed or 0)


def play_unit(unit: Unit) -> UnitResult:
    """Play ``unit`` in this process. Raises: UsageError when there is no such scenario or host."""
    return UnitResult.of(unit, _play(unit))


def page_of_unit(unit: Unit) -> dict[str, str]:
    """The files of the full report on ``unit``, by name, as ``guest-driver run --report`` makes them: it is played once more."""
    return render_report(RunResult(__version__, unit.platform, unit.place().title, unit.seed or 0, (_play(unit),)))
