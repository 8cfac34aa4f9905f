"""Every scenario against a host of this process, and some on the other generation; ``tox -e scenarios`` plays all on all platforms."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from guest_driver.scenarios import DeviceKind, InProcess, Outcome, ScenarioResult, built_in, play, run_scenarios, select
from guest_driver.scenarios.access import trace_text
from guest_driver.scenarios.outcome import View
from pvinfo.platform import platform_named
from support.stories import FEW, FEWEST, every

SCENARIOS = built_in()
OF_HOST = [name for name, found in SCENARIOS.items() if found.needs.devices == (DeviceKind.HOST,)]
"""Told on other devices already."""
Played = Callable[[str], ScenarioResult]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """A scenario on Skylake by name, played once for all who look at it."""

    @cache
    def play_once(name: str) -> ScenarioResult:
        return play(SCENARIOS[name], InProcess("skl"))

    yield play_once
    play_once.cache_clear()


def check_held(result: ScenarioResult, platform: str) -> None:
    needs = SCENARIOS[result.name].needs
    if platform_named(platform).graphics_version not in needs.graphics_versions:
        assert (result.outcome, result.reason[:26]) == (Outcome.SKIPPED, f"graphics generation {needs.graphics_versions[0]} only")
        return
    assert (result.outcome, result.reason) == (Outcome.PASSED, "")
    assert all(check.held for check in result.checks)
    views = {check.view for check in result.checks}
    other_side = View.GPU if DeviceKind.PHYSICAL in needs.devices else View.HOST
    assert {View.GUEST, other_side} <= views, "a scenario looks at both sides"


@pytest.mark.parametrize("name", [*(name for name in SCENARIOS if name not in OF_HOST), *every(OF_HOST)])
def test_every_scenario_holds(played: Played, name: str) -> None:
    check_held(played(name), "skl")


@pytest.mark.parametrize("name", sorted(FEW))
def test_scenarios_hold_on_the_older_generation(name: str) -> None:
    check_held(play(SCENARIOS[name], InProcess("bdw")), "bdw")


def test_on_skylake_nothing_is_skipped_and_elsewhere_only_what_a_generation_lacks() -> None:
    skipped = [name for name, found in SCENARIOS.items() if 9 not in found.needs.graphics_versions or found.needs.platforms]
    assert skipped == []
    assert {name for name, found in SCENARIOS.items() if 8 not in found.needs.graphics_versions} == {
        "pages-of-64-kib", "pages-of-64-kib-on-vgpu", "pages-of-64-kib-on-host", "pages-of-2-mib-on-vgpu", "refused-context-registers",
    }  # fmt: skip


def _traces(result: ScenarioResult) -> list[str]:
    return [trace_text(guest.accesses) for guest in result.guests]


# Scenarios of vGPUs are played again where hypervisors are compared.
ON_PHYSICAL = [name for name, found in SCENARIOS.items() if DeviceKind.PHYSICAL in found.needs.devices]


@pytest.mark.parametrize("name", every(sorted(FEWEST.union(ON_PHYSICAL)), FEWEST))
def test_the_same_seed_gives_the_same_trace_byte_for_byte(played: Played, name: str) -> None:
    first, second = played(name), play(SCENARIOS[name], InProcess("skl"))
    assert _traces(first) == _traces(second)
    assert first == second


def test_another_seed_makes_other_choices_where_a_scenario_chooses() -> None:
    (scenario,) = select(["second-vgpu-table"])
    assert _traces(play(scenario, InProcess(), seed=1)) != _traces(play(scenario, InProcess(), seed=2))


@pytest.mark.parametrize("vgpu_type", ["GVTg_V5_4", "GVTg_V5_1"])
def test_the_type_asked_for_is_what_scenarios_without_a_type_get(vgpu_type: str) -> None:
    sizes = {"GVTg_V5_4": (128 << 20, 512 << 20), "GVTg_V5_1": (512 << 20, 2048 << 20)}
    result = play(SCENARIOS["probe"], InProcess(vgpu_type=vgpu_type))
    assert result.outcome is Outcome.PASSED
    (guest,) = result.guests
    assert (guest.offer.mappable.size, guest.offer.nonmappable.size) == sizes[vgpu_type]
    assert result.vgpus[0]["type"] == vgpu_type


def test_an_aperture_that_is_too_small_for_what_is_needed_skips_the_scenario_and_says_what_ran_out() -> None:
    result = play(SCENARIOS["balloon-type-2"], InProcess(aperture_size=256 << 20))
    assert result.outcome is Outcome.SKIPPED
    assert result.reason == (
        "GVTg_V5_2 with 256 MiB of aperture: not enough low graphics memory (aperture): "
        "256 MiB wanted, 128 MiB left (of 256 MiB; the host has 128)"
    )


def test_the_worked_example_of_two_slices_at_the_bottom_has_its_two_balloons() -> None:
    result = play(SCENARIOS["balloon-at-the-bottom"], InProcess(aperture_size=256 << 20))
    (check,) = [check for check in result.checks if check.what.startswith("balloons by slot")]
    assert check.actual == "[(3, 0x28000000, 0x100000000), (1, 0x4000000, 0x10000000)]"


def test_results_can_be_sent_to_another_process() -> None:
    run = run_scenarios(select(["probe", "fence-beyond-count", "refuse-version-0"]), InProcess(), seed=2)
    assert pickle.loads(pickle.dumps(run)) == run


def test_no_scenario_leaves_the_registers_or_the_table_of_its_guest(played: Played) -> None:
    for name in SCENARIOS:
        for guest in played(name).guests:
            for access in guest.accesses:
                if access.kind.value.startswith("register"):
                    assert access.offset < 2 << 20, name
