"""What is chosen on the command line reaches the host, of a boot too."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from host_model.boot.host_side import HostRequest
from host_model.mediator.scheduler.gvt import Gvt
from host_model.mediator.scheduler.options import ScheduleChoice, add_schedule_arguments, schedule_choice_of
from host_model.serving import ServedHost, ServedType, host_for_boot
from pvinfo.errors import ResourceExhausted, SetupError, UsageError


def chosen(*words: str, physical: bool = False) -> ScheduleChoice:
    parser = argparse.ArgumentParser()
    add_schedule_arguments(parser)
    return schedule_choice_of(parser.parse_args(words), physical=physical)


def test_without_a_word_the_fair_policy_is_meant_and_no_picture() -> None:
    assert chosen() == chosen(physical=True) == ScheduleChoice(None, None)
    assert (chosen().policy, chosen().switching) == ("fair", "gpu")


def test_what_is_switched_is_one_of_two_things(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        chosen("--switching", "lane")
    assert "invalid choice: 'lane'" in capsys.readouterr().err
    served = ServedHost("skl", [ServedType(None, tmp_path / "vgpu")], schedule=chosen("--switching", "engine"))
    try:
        assert [turn.engines for turn in served.host.mediator.turn.all] == [(engine,) for engine in served.host.platform.engines]
    finally:
        served.close()


@pytest.mark.parametrize("words", [("--scheduler", "fair"), ("--timeline", "a.svg"), ("--switching", "engine")])
def test_where_one_machine_has_the_gpu_to_itself_there_is_nothing_to_choose(words: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="with --physical, one machine has the GPU to itself"):
        chosen(*words, physical=True)


def test_a_folder_is_no_place_for_a_picture(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--timeline: .* cannot be written"):
        chosen("--timeline", str(tmp_path))


def test_a_boot_hands_it_to_the_host_which_names_guests_in_the_picture(tmp_path: Path) -> None:
    picture = tmp_path / "who-when.svg"
    schedule = ScheduleChoice("gvt", picture)
    host = host_for_boot(HostRequest([tmp_path / "a", tmp_path / "b"], "skl", (), 512, None, schedule=schedule))
    assert isinstance(host, ServedHost) and isinstance(host.host.mediator.turn.all[0].policy, Gvt)
    host.host.mediator.turn.timeline.use(2, 0, 5)
    host.close()
    assert "guest 1 (weight 2)" in picture.read_text()


def test_a_host_that_could_not_be_made_draws_nothing(tmp_path: Path) -> None:
    served = [ServedType("GVTg_V5_8", tmp_path / name) for name in "abc"]
    with pytest.raises(ResourceExhausted):
        ServedHost("skl", served, schedule=ScheduleChoice(timeline=tmp_path / "who-when.svg"))
    assert list(tmp_path.iterdir()) == []
