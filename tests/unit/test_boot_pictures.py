"""Pictures that guests of a boot ask for, and where they are to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.boot_stage import END, HANGS, PROBED, SPEAKS, CountedHost, Stage, staged

from host_model.boot import HostRequest, HostSide


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    yield from staged(tmp_path, monkeypatch)


ASKS = "<12>[    5.7] host-model: 5.70 screenshot %s\n"
ASKS_AND_WAITS = 'cat "$here/log" >&3; read -r answer <&5; echo "$answer" >&4; read -r answer <&5; echo "$answer" >&4; cat "$here/end" >&3\n'


def host_with_pictures(stage: Stage, *words: str) -> tuple[CountedHost, dict[str, Any]]:
    hosts: list[CountedHost] = []

    def make_host(request: HostRequest) -> HostSide:
        hosts.append(CountedHost(request, {"platform": "skl", "vgpus": [], "gpu": None}))
        return hosts[0]

    report = stage.report("--screenshot", str(stage.folder / "shots/new"), *words, host=make_host)
    return hosts[0], report


def test_a_guest_has_its_picture_before_it_goes_on_and_one_of_its_end(stage: Stage) -> None:
    (stage.folder / "end").write_text(END)
    stage.play(ASKS_AND_WAITS, PROBED + ASKS % "after-flip" + ASKS % "")
    host, report = host_with_pictures(stage)
    folder = stage.folder / "shots/new"
    (guest,) = report["guests"]
    assert guest["post_output"] == "kept\nkept\n"
    assert guest["screenshots"] == [str(folder / "guest0-after-flip.png"), str(folder / "guest0.png")]
    assert guest["no_screenshot"] is None
    assert (folder / "guest0-after-flip.png").read_bytes() == b"picture 1 of guest 0"
    assert (folder / "guest0.png").read_bytes() == b"picture 2 of guest 0"
    assert host.request.pictures and host.pictures == [0, 0]


def test_a_line_of_its_output_asks_for_a_picture_too_and_is_not_answered(stage: Stage) -> None:
    wishes = "drawn\\ngvt-screenshot one\\r\\ngvt-screenshot: no\\n gvt-screenshot no\\ngvt-screenshot two\\n"
    stage.play(f'printf "{wishes}" >&4\nsleep 0.5; cat "$here/log" >&3; read -r answer <&5; echo "$answer" >&4\n', PROBED + ASKS % "" + END)
    _, report = host_with_pictures(stage)
    (guest,) = report["guests"]
    assert [Path(path).name for path in guest["screenshots"]] == ["guest0-one.png", "guest0-two.png", "guest0.png"]
    assert guest["post_output"].splitlines()[-1] == "kept"


def test_a_guest_that_goes_down_early_has_a_picture_of_what_it_showed_last(stage: Stage) -> None:
    stage.play(SPEAKS, PROBED)
    _, report = host_with_pictures(stage, "--guests", "2")
    files = [stage.folder / f"shots/new/guest{number}.png" for number in range(2)]
    assert [guest["screenshots"] for guest in report["guests"]] == [[str(file)] for file in files]
    assert sorted(file.read_bytes()[-1:] for file in files) == [b"0", b"1"]


def test_a_guest_that_is_stopped_has_a_picture_from_before(stage: Stage) -> None:
    stage.play(SPEAKS + HANGS, PROBED)
    host, report = host_with_pictures(stage, "--timeout", "0.5")
    assert report["guests"][0]["timed_out"]
    assert host.pictures == [0]
    assert (stage.folder / "shots/new/guest0.png").read_bytes() == b"picture 1 of guest 0"


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "-", "x" * 65, "two words"])
def test_a_picture_whose_name_is_no_file_name_is_refused(stage: Stage, name: str) -> None:
    (stage.folder / "end").write_text(END)
    stage.play(ASKS_AND_WAITS, PROBED + ASKS % name + ASKS % "")
    _, report = host_with_pictures(stage)
    refused, kept = report["guests"][0]["post_output"].splitlines()
    assert refused.startswith(f"{name!r} cannot be part of a file name") and kept == "kept"
    assert [path.name for path in (stage.folder / "shots").rglob("*.png")] == ["guest0.png"]
    assert not list(stage.folder.glob("*.png"))


def test_what_shows_nothing_has_no_picture_and_the_report_says_why(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    (stage.folder / "end").write_text(END)
    stage.play(ASKS_AND_WAITS, PROBED + ASKS % "early" + ASKS % "")
    report = stage.report("--screenshot", str(stage.folder / "shots"))
    assert report["ok"]
    assert report["guests"][0]["screenshots"] == []
    assert report["guests"][0]["no_screenshot"] == "guest 0 has no GPU of ours"
    assert report["guests"][0]["post_output"] == "guest 0 has no GPU of ours\n" * 2
    assert "  no picture: guest 0 has no GPU of ours\n" in capsys.readouterr().out
    assert list((stage.folder / "shots").iterdir()) == []


def test_guests_are_heard_only_where_pictures_are_kept(stage: Stage) -> None:
    stage.play('echo "$*" >"$here/words"\n' + SPEAKS, PROBED + ASKS % "unheard" + END)
    hosts = [CountedHost(HostRequest([], "skl", (), None, None), {"vgpus": [], "gpu": None})]
    report = stage.report(host=lambda request: hosts[0])
    words = (stage.folder / "words").read_text()
    assert "HOST_MODEL_SCREENSHOT" not in words and "input-path" not in words
    assert hosts[0].pictures == [] and report["guests"][0]["screenshots"] == []
    stage.report("--screenshot", str(stage.folder))
    words = (stage.folder / "words").read_text()
    assert "HOST_MODEL_SCREENSHOT=1" in words and ",input-path=" in words


def test_where_the_view_is_is_said_before_the_guests_start(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    hosts: list[CountedHost] = []

    def make_host(request: HostRequest) -> HostSide:
        hosts.append(CountedHost(request, {"vgpus": [], "gpu": None}))
        hosts[0].view_url = "http://127.0.0.1:4321/"
        return hosts[0]

    stage.run("--view", "4321", host=make_host)
    assert capsys.readouterr().err.splitlines()[0] == "view http://127.0.0.1:4321/"
    assert hosts[0].request.view == ("127.0.0.1", 4321, False)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--view", "10.1.2.3:80"], "10.1.2.3 is not loopback"),
        (["--view", "http"], "'http' is no port"),
        (["--view-anywhere"], "--view-anywhere goes with --view"),
        (["--screenshot", "/proc/nowhere"], "--screenshot: /proc/nowhere cannot be made"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_any_guest_starts(
    stage: Stage, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert stage.run(*words) == 2
    assert why in capsys.readouterr().err
    assert not (stage.folder / "pids").exists()


def test_a_monitor_that_is_lit_is_told_with_its_mode(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(
        f"<12>[    5.6] host-model: 5.60 {text}\n"
        for text in (
            "connector DP-1 disconnected",
            "connector DP-3 connected",
            "monitor DP-3 enabled 1024x768 800x600",
            "framebuffer i915drmfb 1024x768 console",
        )
    )
    stage.play(SPEAKS, PROBED + lines + END)
    (guest,) = stage.report()["guests"]
    assert guest["connectors"] == [
        {"name": "DP-1", "status": "disconnected", "enabled": False, "mode": None, "modes": []},
        {"name": "DP-3", "status": "connected", "enabled": True, "mode": "1024x768", "modes": ["1024x768", "800x600"]},
    ]
    assert guest["framebuffer"] == {"name": "i915drmfb", "size": "1024x768", "console": True}
    printed = capsys.readouterr().out
    assert "  DP-1 disconnected, DP-3 connected (1024x768)\n  console on i915drmfb 1024x768\n" in printed
