"""Scenarios by name: the decorator, words on the command line, and near misses."""

from __future__ import annotations

from pathlib import Path

import pytest

from guest_driver.scenarios import DeviceKind, InProcess, Needs, Outcome, Stage, built_in, play, scenario, select
from guest_driver.scenarios.catalogue import declared_in
from pvinfo.errors import UsageError


def test_a_function_becomes_a_scenario_by_its_decorator_and_stays_a_function() -> None:
    @scenario()
    def two_words_here(stage: Stage) -> None:
        """The purpose, over
        two lines.

        What follows is for readers of the code.
        """

    found = {known.name: known for known in declared_in(__name__)}["two-words-here"]
    assert found.purpose == "The purpose, over two lines."
    assert found.act is two_words_here
    assert found.place.startswith(f"{__file__}:")


def test_a_story_of_two_kinds_of_device_is_a_scenario_on_each_under_its_own_name_on_the_first() -> None:
    @scenario(needs=Needs(devices=(DeviceKind.PHYSICAL, DeviceKind.VGPU)))
    def told_twice(stage: Stage) -> None:
        """It is told twice."""
        stage.check("told on", stage.guest.offer.device, DeviceKind.VGPU if "vGPU" in stage.remarks[0] else DeviceKind.PHYSICAL)

    mine = {known.name: known for known in declared_in(__name__)}
    assert mine["told-twice"].needs.devices == (DeviceKind.PHYSICAL,)
    assert mine["told-twice-on-vgpu"].needs.devices == (DeviceKind.VGPU,)
    assert mine["told-twice"].act is mine["told-twice-on-vgpu"].act is told_twice
    results = [play(mine[name], InProcess()) for name in ("told-twice", "told-twice-on-vgpu")]
    assert [(result.outcome, len(result.gpus), len(result.vgpus)) for result in results] == [(Outcome.PASSED, 1, 0), (Outcome.PASSED, 0, 1)]
    assert mine["told-twice-on-vgpu"].heading == f"{__file__}, on a vGPU"


def test_names_are_in_kebab_case_and_purposes_are_sentences() -> None:
    for name, found in built_in().items():
        assert name == name.lower().replace("_", "-")
        assert found.purpose.endswith(".") and found.purpose[0].isupper(), name
        assert len(found.purpose) < 160, name


def test_no_words_mean_everything_and_each_scenario_comes_once() -> None:
    assert select([]) == tuple(built_in().values())
    names = [found.name for found in select(["fence-count", "fence-*", "fence_count"])]
    assert names == ["fence-count", "fence-set-up", "fence-stealing", "fence-beyond-count"]


def test_a_pattern_may_use_the_functions_spelling() -> None:
    assert [found.name for found in select(["reload_after_*"])] == ["reload-after-reset", "reload-after-refusal"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("proob", "no scenario 'proob'; did you mean probe"),
        ("vgpu-table", "no scenario 'vgpu-table'; did you mean second-vgpu-table"),
        ("ballon*", "no scenario 'ballon*'"),
    ],
)
def test_a_near_miss_is_told_what_was_probably_meant(word: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        select([word])
    assert str(raised.value).startswith(message)


def test_a_name_that_a_file_lacks_is_looked_for_in_that_file_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from guest_driver.scenarios import scenario\n@scenario()\ndef probing(stage):\n    'Mine.'\n")
    assert [found.name for found in select([f"{path}::probing", "probe"])] == ["probing", "probe"]
    with pytest.raises(UsageError, match=r"no scenario 'probe' in .*mine\.py; did you mean probing\?"):
        select([f"{path}::probe"])


def test_a_file_is_read_anew_each_time_and_may_import_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    (tmp_path / "their_neighbour_for_scenarios.py").write_text("PURPOSE = 'Borrowed.'\n")
    text = "import their_neighbour_for_scenarios\nfrom guest_driver.scenarios import scenario\n@scenario()\ndef {}(stage):\n    'Mine.'\n"
    path.write_text(text.format("first"))
    assert [found.name for found in select([str(path)])] == ["first"]
    path.write_text(text.format("second_one"))
    assert [found.name for found in select([str(path)])] == ["second-one"]
