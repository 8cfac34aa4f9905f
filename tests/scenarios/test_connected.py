"""The same scenarios on vGPUs that another process serves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from guest_driver.__main__ import main
from guest_driver.scenarios import (
    Access,
    AccessKind,
    Connected,
    DeviceKind,
    InProcess,
    Needs,
    Outcome,
    Scenario,
    ScenarioResult,
    Stage,
    built_in,
    play,
    run_scenarios,
)
from guest_driver.scenarios.outcome import View
from pvinfo.errors import SetupError, UsageError
from pvinfo.registers import FENCE_BASE, FENCE_COUNT
from support.serving import serving
from support.stories import FEW, every


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    with serving(tmp_path_factory.mktemp("s"), "GVTg_V5_8", "GVTg_V5_8", "GVTg_V5_8") as paths:
        yield paths


OF_PATIENCE = frozenset({"spinning-batch-on-vgpu", "guilty-context-banned-on-vgpu", "others-go-on-on-vgpu"})
"""A driver on a vGPU finds out by waiting that work hangs, half a minute or so; behind a socket that is our time, too."""
BY_HAND = [name for name, found in built_in().items() if found.needs.by_hand and DeviceKind.VGPU in found.needs.devices]
OF_VGPUS = [
    name for name, found in built_in().items()
    if found.needs.devices == (DeviceKind.VGPU,) and name not in OF_PATIENCE and not found.needs.by_hand
]  # fmt: skip
LOOKED_AT = ("fence-set-up", "refuse-version-0", "refuse-no-aperture", "probe", "balloon-type-8", "second-vgpu-fences")
Played = Callable[[str], ScenarioResult]


@pytest.fixture(scope="module")
def played(sockets: list[Path]) -> Iterator[Played]:
    """A scenario behind the sockets by name, played once for all who look at it."""

    @cache
    def play_once(name: str) -> ScenarioResult:
        with Connected(sockets) as place:
            return play(built_in()[name], place)

    yield play_once
    play_once.cache_clear()


@pytest.mark.parametrize("name", every(OF_VGPUS, FEW.union(LOOKED_AT)))
def test_every_scenario_holds_behind_a_socket(played: Played, name: str) -> None:
    result = played(name)
    assert (result.outcome, result.reason) == (Outcome.PASSED, "")
    assert all(check.held is not False for check in result.checks)
    assert not any(check.view is View.HOST for check in result.checks)
    assert {check.view for check in result.checks if check.held is None} <= {View.BEHIND_SOCKET}


def test_scenarios_in_which_the_host_acts_are_skipped_behind_a_socket(played: Played) -> None:
    assert {"hotplug", "custom-edid", "hdmi-mode-set", "plane-outside-the-slice"} <= set(BY_HAND)
    for name in BY_HAND:
        assert (played(name).outcome, played(name).reason) == (Outcome.SKIPPED, "it needs the host's own hand, which no socket reaches")


def test_what_no_wire_shows_is_named_and_not_claimed(played: Played) -> None:
    unseen = [check for name in LOOKED_AT for check in played(name).checks if check.held is None]
    assert unseen
    assert {check.view for check in unseen} == {View.BEHIND_SOCKET}


def test_a_fence_of_the_host_is_read_back_by_the_guest(played: Played) -> None:
    read_back = [check for check in played("fence-set-up").checks if check.view is View.BUS]
    assert len(read_back) == 5


def test_the_report_says_in_words_what_an_interposer_alters(played: Played) -> None:
    altered = {name: [line for line in played(name).setting if "interposer" in line] for name in LOOKED_AT}
    assert altered["refuse-version-0"] == ["guest 1: an interposer on the guest's side of the bus alters what it reads: version_major reads 0x0"]
    assert altered["refuse-no-aperture"] == [
        "guest 1: an interposer on the guest's side of the bus alters what it reads: base address register 2 has no length"
    ]
    assert altered["probe"] == altered["balloon-type-8"] == altered["second-vgpu-fences"] == []


def _kept(access: Access) -> bool:
    fences = range(FENCE_BASE, FENCE_BASE + 8 * FENCE_COUNT)
    return access.in_page or access.kind is AccessKind.GGTT_WRITE or (access.kind is AccessKind.REGISTER_WRITE and access.offset in fences)


def test_a_probe_does_the_same_to_page_table_and_fences_in_both_places(played: Played) -> None:
    served = played("probe")
    local = play(built_in()["probe"], InProcess(aperture_size=1024 << 20))
    stories = [
        [(access.kind, access.size, access.offset, access.value) for access in result.guests[0].accesses if _kept(access)]
        for result in (served, local)
    ]
    assert len(stories[0]) > 100
    assert stories[0] == stories[1]


def test_with_one_socket_scenarios_of_two_guests_are_skipped_by_name(sockets: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "probe", "second-vgpu-probe", "--connect", str(sockets[0])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("passed   probe")
    assert lines[1] == "skipped  second-vgpu-probe  it needs 2 vGPUs, and 1 socket was given"
    assert ": 1 passed, 0 failed, 1 skipped, " in lines[2]


def test_the_vgpu_of_the_wanted_type_is_taken_as_it_is(tmp_path: Path) -> None:
    with serving(tmp_path, "GVTg_V5_8", "GVTg_V5_4") as paths, Connected(paths) as place:
        for name, path in (("balloon-type-8", paths[0]), ("balloon-type-4", paths[1])):
            result = play(built_in()[name], place)
            assert result.outcome is Outcome.PASSED
            assert len(result.setting) == 1 and str(path) in result.setting[0]


def test_sockets_of_different_hosts_do_not_make_two_guests_of_one(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with serving(tmp_path, "GVTg_V5_8") as one, serving(tmp_path / "b", "GVTg_V5_8") as other, Connected([*one, *other]) as place:
        result = play(built_in()["second-vgpu-probe"], place)
    assert result.outcome is Outcome.SKIPPED
    assert result.reason == "it needs 2 vGPUs of one host, but each socket serves a vGPU number 1: they are different hosts"


def test_broadwell_is_recognised_and_a_wrong_platform_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path, "GVTg_V4_8", platform="bdw", aperture=256) as paths:
        target = tmp_path / "run.json"
        words = ["probe", "interrupt-*", "failsafe-*", "balloon-type-1"]
        assert main(["run", *words, "--connect", str(paths[0]), "--json", str(target)]) == 0
        report = json.loads(target.read_text())
        assert (report["ok"], report["platform"]) == (True, "bdw")
        assert report["vgpus"] == [
            {
                "number": 1, "type": "GVTg_V4_8", "socket": str(paths[0]), "pv": {"version": "1", "caps": 0x1C},
                "balloon": {"mappable": [0x8000000, 0xC000000], "nonmappable": [0xE8000000, 0x100000000], "fences": 4},
            }
        ]  # fmt: skip
        (skipped,) = [found for found in report["scenarios"] if found["outcome"] == "skipped"]
        assert skipped["name"] == "balloon-type-1"
        assert skipped["reason"].endswith("does not fit [0x0, 0x10000000) (256 MiB): the aperture of 256 MiB is too small")
        with pytest.raises(UsageError, match="serves bdw, not skl"):
            Connected(paths, platform="skl")
    capsys.readouterr()


def test_a_server_that_dies_fails_what_was_to_be_played_on_it_and_the_run_ends_with_a_verdict(tmp_path: Path) -> None:
    def server_dies(stage: Stage) -> None:
        server.kill()
        server.wait(20)
        stage.guest.mmio.read32(0x2034)

    path = tmp_path / "v.sock"
    with subprocess.Popen([sys.executable, "-m", "host_model", "serve", "--socket", str(path)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdout.readline() == f"ready {path}\n"
        with Connected([path]) as place:
            fatal = Scenario("server-dies", "The server is killed.", Needs(), server_dies, __file__, 1)
            run = run_scenarios([fatal, built_in()["probe"]], place)
    assert [result.outcome for result in run.scenarios] == [Outcome.FAILED, Outcome.FAILED]
    assert "PeerError" in run.scenarios[0].reason
    assert run.scenarios[1].reason.startswith(f"{path}: ")
    assert not run.ok


def test_a_scenario_that_needs_the_hosts_hand_is_skipped_by_its_own_words(sockets: list[Path]) -> None:
    scenario = Scenario("by-hand", "The host acts.", Needs(in_process=True), lambda stage: None, __file__, 1)
    with Connected(sockets) as place:
        result = play(scenario, place)
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "it needs the host's own hand, which no socket reaches")


def test_a_socket_that_nobody_serves_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SetupError, match="no vfio-user server"):
        Connected([tmp_path / "none.sock"])
    assert main(["run", "--connect", str(tmp_path / "none.sock")]) == 2
    assert "none.sock" in capsys.readouterr().err


def test_types_and_apertures_belong_to_hosts_of_this_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--connect", str(tmp_path / "a.sock"), "--type", "GVTg_V5_8"]) == 2
    assert "--type and --aperture are for hosts of this process" in capsys.readouterr().err
