"""What monitors showed, in the report: pictures, their digests, the same for the same seed."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import pytest

from guest_driver.__main__ import main
from guest_driver.report import render_report
from guest_driver.scenarios import InProcess, Outcome, Stage, built_in, play, run_scenarios, scenario, select
from guest_driver.scenarios.catalogue import declared_in, forget
from host_model.device.display.pipes import Pipes
from host_model.mediator.display_memory import VgpuDisplayMemory
from support.picture import read_png

STORIES = ("mode-set", "cursor-with-hot-spot")


def test_each_picture_of_a_scenario_is_a_png_with_its_size_and_the_digest_of_its_pixels() -> None:
    result = play(built_in()["mode-set"], InProcess())
    assert [(picture.caption, picture.width, picture.height) for picture in result.pictures] == [
        ("after the mode set", 1024, 768), ("a picture", 1024, 768),
    ]  # fmt: skip
    black, card = result.pictures
    assert black.digest == sha256(bytes(4 * 1024 * 768)).hexdigest()
    assert black.digest != card.digest
    corner = read_png(card.png)
    assert (corner.width, corner.height, corner.pixel(0, 0), corner.pixel(1023, 767)) == (1024, 768, (255, 255, 255), (255, 255, 255))


def test_the_same_seed_shows_the_same_pictures_byte_for_byte_and_another_one_others() -> None:
    first, again, other = (play(built_in()["tiled-equals-linear"], InProcess(), seed=seed) for seed in (3, 3, 4))
    assert first.pictures == again.pictures
    assert {picture.digest for picture in first.pictures}.isdisjoint(picture.digest for picture in other.pictures)
    assert len({picture.digest for picture in first.pictures}) == 1, "however it is tiled"


def test_the_page_has_the_pictures_in_it_and_the_json_their_digests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *STORIES, "--report", str(tmp_path / "out"), "--json", str(tmp_path / "run.json")]) == 0
    capsys.readouterr()
    page = "".join((tmp_path / "out" / f"{story}.html").read_text("utf-8") for story in STORIES)
    told = [picture for found in json.loads((tmp_path / "run.json").read_text())["scenarios"] for picture in found["pictures"]]
    shown = re.findall(r'<figure class="screen"><img src="data:image/png;base64,([^"]+)" width="1024" height="768" alt="([^"]*)"', page)
    assert [picture["caption"] for picture in told] == [caption for _, caption in shown]
    assert len(shown) == 10
    assert {(picture["width"], picture["height"], len(picture["sha256"])) for picture in told} == {(1024, 768, 64)}
    assert b64decode(shown[0][0]).startswith(b"\x89PNG")


def test_a_caption_is_text_and_no_markup() -> None:
    @scenario()
    def marked_up(stage: Stage) -> None:
        """A caption with signs of its own."""
        driver = stage.guest.driver()
        driver.probe()
        driver.display.set_mode()
        stage.picture('<b onload="x">')

    try:
        run = run_scenarios([declared_in(__name__)[0]], InProcess())
    finally:
        forget(__name__)
    assert run.scenarios[0].outcome is Outcome.PASSED
    page = "".join(render_report(run).values())
    assert "<b onload" not in page
    assert "&lt;b onload=&quot;x&quot;&gt;" in page


def test_a_scenario_without_a_monitor_in_it_has_no_pictures_in_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "probe", "--json", str(tmp_path / "run.json")]) == 0
    capsys.readouterr()
    assert "pictures" not in json.loads((tmp_path / "run.json").read_text())["scenarios"][0]


@pytest.mark.parametrize("platform", ["bxt", "kbl", "cfl"])
@pytest.mark.parametrize("name", ["mode-set", "hdmi-mode-set"])
def test_the_main_stories_hold_on_every_platform(platform: str, name: str) -> None:
    result = play(built_in()[name], InProcess(platform))
    assert (result.outcome, result.reason) == (Outcome.PASSED, "")


# ---- broken hosts ----


def test_a_host_that_flips_at_once_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Pipes.flip
    monkeypatch.setattr(Pipes, "flip", lambda pipes, plane, *, asynchronous=False: honest(pipes, plane, asynchronous=True))
    result = play(built_in()["flip-waits-for-vblank"], InProcess())
    assert result.outcome is Outcome.FAILED
    assert "the plane shows (guest's view)" in result.reason


def test_a_host_that_misses_frames_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Pipes.frame_count
    monkeypatch.setattr(Pipes, "frame_count", lambda pipes, pipe: honest(pipes, pipe) * 9 // 10)
    result = play(built_in()["flips-at-the-refresh-rate"], InProcess())
    assert result.outcome is Outcome.FAILED
    assert "frames counted at each" in result.reason


def test_a_host_that_does_not_ask_whose_the_memory_is_is_noticed_though_the_guard_still_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VgpuDisplayMemory, "_check", lambda memory, address, size: None)
    result = play(built_in()["plane-outside-the-slice"], InProcess())
    assert result.outcome is Outcome.FAILED
    assert "the host noticed: plane-outside-slice" in result.reason
