"""Stories of several engines, and of several guests, where each engine is switched by itself: guests find the same."""

from __future__ import annotations

import pytest
from support.stories import every

from guest_driver.scenarios import DeviceKind, InProcess, Outcome, built_in, play
from pvinfo.errors import UsageError

WAITS_FOR_THE_WHOLE_GPU = frozenset({"ring-rewritten-after-audit", "batch-rewritten-after-audit", "tables-rewritten-before-turn"})
"""There a guest's work is to wait because another one has some other engine."""
SCENARIOS = {
    name: found for name, found in built_in().items() if DeviceKind.VGPU in found.needs.devices and name not in WAITS_FOR_THE_WHOLE_GPU
}
OF_ENGINES = frozenset(
    (
        "two-guests-draw", "neighbour-hangs", "neighbour-never-yields", "requests-that-join", "priorities-on-vgpu", "engines-take-turns-on-vgpu",
        "two-ports-on-vgpu", "others-go-on-on-vgpu", "clients-apart-on-vgpu", "table-rewritten-under-load-on-vgpu", "context-keeps-registers-on-vgpu",
        "tables-rewritten-while-running", "engine-reset-at-work", "full-reset-at-work",
    )
)  # fmt: skip
"""Played in a plain run."""


def test_the_stories_are_there() -> None:
    assert OF_ENGINES <= SCENARIOS.keys() and built_in().keys() > WAITS_FOR_THE_WHOLE_GPU


@pytest.mark.parametrize("name", every(SCENARIOS, OF_ENGINES))
def test_guests_come_to_the_same_whether_the_gpu_or_an_engine_changes_hands(name: str) -> None:
    whole, by_engine = (play(SCENARIOS[name], InProcess(switching=switching)) for switching in ("gpu", "engine"))
    assert (whole.outcome, by_engine.outcome) == (Outcome.PASSED, Outcome.PASSED), by_engine.reason
    assert whole.checks and [(check.what, check.actual) for check in by_engine.checks] == [(check.what, check.actual) for check in whole.checks]


def test_a_way_of_switching_that_there_is_not_is_refused_before_anything_is_played() -> None:
    with pytest.raises(UsageError, match="no switching 'lane': there are gpu, engine"):
        InProcess(switching="lane")
