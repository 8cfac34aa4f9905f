"""Scenarios of engines at work: on GPUs of this process and behind sockets, and on GPUs that are broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from operator import ge, le, lt, ne
from pathlib import Path

import pytest

from guest_driver.__main__ import main
from guest_driver.report import render_report
from guest_driver.scenarios import (
    Connected,
    DeviceKind,
    InProcess,
    Needs,
    Outcome,
    Scenario,
    Stage,
    built_in,
    play,
    run_scenarios,
    select,
)
from guest_driver.scenarios.outcome import View
from host_model.gpu import aperture, translation
from host_model.gpu.blitter.drawing import Drawing
from host_model.gpu.surface.rectangle import Rectangle
from host_model.gpu.commands import semaphore
from host_model.gpu.context import RegisterState
from host_model.gpu.device import PhysicalGpu
from host_model.gpu.engine import Engine
from host_model.gpu.execlist import SubmissionPort
from pvinfo.platform import ENGINES
from pvinfo.platform import Engine as EngineName
from support.serving import serving_one
from support.stories import every

ON_PHYSICAL = [name for name, found in built_in().items() if found.needs.devices == (DeviceKind.PHYSICAL,) and not found.needs.in_process]


# ---- behind a socket ----


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with serving_one(tmp_path_factory.mktemp("p"), "--physical") as path:
        yield path


@pytest.fixture
def place(socket: Path) -> Iterator[Connected]:
    with Connected([socket]) as place:
        yield place


@pytest.mark.parametrize("name", every(ON_PHYSICAL))
def test_every_scenario_of_the_physical_gpu_holds_behind_a_socket(place: Connected, name: str) -> None:
    result = play(built_in()[name], place)
    assert (result.outcome, result.reason) == (Outcome.PASSED, "")
    assert result.setting[0].startswith("Skylake GPU, the physical GPU with 256 MiB of aperture, behind ")
    assert not any(check.view in (View.HOST, View.GPU) for check in result.checks)


def test_scenarios_of_vgpus_are_skipped_where_the_physical_gpu_is_served(place: Connected, socket: Path) -> None:
    results = [play(found, place) for name, found in built_in().items() if DeviceKind.VGPU in found.needs.devices]
    assert {result.outcome for result in results} == {Outcome.SKIPPED}
    assert {result.reason for result in results} == {f"it needs a vGPU: {socket} serves the physical GPU"}


def test_scenarios_of_the_physical_gpu_are_skipped_where_a_vgpu_is_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving_one(tmp_path) as path:
        assert main(["run", "first-request", "probe", "--connect", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"skipped  first-request  it needs the physical GPU: {path} serves a vGPU"
    assert lines[1].startswith("passed   probe")


def test_each_scenario_finds_its_kind_of_device_among_several_sockets(socket: Path, tmp_path: Path) -> None:
    with serving_one(tmp_path) as vgpu, Connected([vgpu, socket]) as place:
        for name, path in (("probe", vgpu), ("first-request", socket)):
            result = play(built_in()[name], place)
            assert result.outcome is Outcome.PASSED
            assert len(result.setting) == 1 and str(path) in result.setting[0]
        result = play(built_in()["second-vgpu-probe"], place)
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "it needs 2 vGPUs, and 1 socket was given")


def test_the_json_of_a_served_gpu_has_nothing_that_only_vgpus_have(socket: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "first-request", "--connect", str(socket), "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["vgpus"] == []
    assert report["gpus"] == [
        {"socket": str(socket), "device": "physical", "aperture": 256 << 20, "graphics_memory": 4096 << 20, "fences": 32}
    ]


# ---- in process ----


def test_the_json_counts_requests_by_engine_on_both_sides_and_leaves_out_what_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "first-request", "probe", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    work, guest = report["scenarios"]
    # Two of the driver's own to record the default state, the story's, and those that put the engine to rest.
    assert set(work["requests"]) == {"rcs0", "bcs0", "vcs0", "vecs0"}
    assert min(work["requests"].values()) >= 3
    (gpu,) = report["gpus"]
    assert gpu["requests"] == work["requests"] == work["guests"][0]["requests"]
    assert gpu["scenario"] == "first-request"
    assert (gpu["isolation_violations"], gpu["resets_by_kind"].get("device", 0)) == (0, 0)
    assert not {"pv", "balloon", "failsafe", "type"} & set(gpu)
    assert set(work["guests"][0]["offer"]) == {"device", "aperture", "graphics_memory", "fences"}
    assert guest["requests"] == report["vgpus"][0]["requests"] == {"rcs0": 3, "bcs0": 3, "vcs0": 3, "vecs0": 3}
    assert guest["guests"][0]["offer"]["caps"] == 0x1C
    assert [vgpu["scenario"] for vgpu in report["vgpus"]] == ["probe"]


def test_the_json_of_a_story_on_the_hosts_own_device_tells_of_its_share(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "first-request-on-host", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    (story,), (host,) = report["scenarios"], report["hosts"]
    assert report["vgpus"] == report["gpus"] == []
    assert host["requests"] == story["requests"] == story["guests"][0]["requests"]
    assert (host["scenario"], host["number"], host["schedule"]["weight"]) == ("first-request-on-host", 0, 8)
    assert [finding["rule"] for finding in host["findings"]] == ["pipeline-state"]
    assert host["balloon"] == {"mappable": [0x1000, 64 << 20], "nonmappable": [256 << 20, 448 << 20], "fences": 4}
    assert host["mmio"]["passed"] > 0 and host["mmio"]["unmodelled"] == {}
    assert story["guests"][0]["offer"]["device"] == "host"


def test_the_report_tells_whose_the_gpu_is_and_what_its_engines_did() -> None:
    page = render_report(run_scenarios(select(["first-request"]), InProcess()))["first-request.html"]
    assert "owned by this machine" in page and "owned by this vGPU" not in page
    assert "Requests done, by engine: rcs0 " in page
    assert "PVINFO page" in page, "the driver looks for it once"
    assert "belongs to others: " not in page


def test_the_same_seed_gives_the_same_run() -> None:
    scenarios = select(["context-keeps-registers", "spinning-batch", "copy-to-y-tiles"])
    first, second = (run_scenarios(scenarios, InProcess("kbl"), seed=3) for _ in range(2))
    assert first == second


def test_a_view_of_a_vgpu_is_refused_where_there_is_none_and_a_gpu_can_be_seen_anywhere() -> None:
    def looks(stage: Stage) -> None:
        stage.gpu_view("fences", lambda gpu: len(gpu.fences), 32)
        stage.host_view("display", lambda vgpu: vgpu.pv.display_ready, False)

    def played(device: DeviceKind) -> tuple[Outcome, str]:
        result = play(Scenario("looks", "It looks.", Needs(devices=(device,)), looks, __file__, 1), InProcess())
        return result.outcome, result.reason

    assert played(DeviceKind.VGPU) == (Outcome.PASSED, "")
    outcome, reason = played(DeviceKind.PHYSICAL)
    assert outcome is Outcome.FAILED
    assert reason.endswith("UsageError: display: a host's view of a vGPU, and here is a physical GPU, of which gpu_view shows something")
    outcome, reason = played(DeviceKind.HOST)
    assert outcome is Outcome.FAILED
    assert reason.endswith("UsageError: display: a host's view of a vGPU, and here is the host's own device, of which client_view shows something")


# ---- broken GPUs ----


def drops_last_row(patch: pytest.MonkeyPatch) -> None:
    draw = Drawing._draw

    def broken(self: Drawing, space: object, area: Rectangle) -> int:
        return draw(self, space, area._replace(bottom=area.bottom - 1) if area.height > 1 else area)  # type: ignore[arg-type]

    patch.setattr(Drawing, "_draw", broken)


def takes_y_fences_for_x(patch: pytest.MonkeyPatch) -> None:
    untiled = aperture.untiled
    patch.setattr(aperture, "untiled", lambda fence, address: untiled(fence & ~2, address))


def keeps_translations(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Engine, "invalidate_translations", lambda self: None)


def loses_a_register(patch: pytest.MonkeyPatch) -> None:
    save = RegisterState.save

    def broken(self: RegisterState, page: memoryview, context: object) -> None:
        save(self, page, context)  # type: ignore[arg-type]
        if "gpr_hi[9]" in self._dword:
            page[self._dword["gpr_hi[9]"]] = 0

    patch.setattr(RegisterState, "save", broken)


def loads_every_context_anew(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SubmissionPort, "resumes_current", property(lambda self: False))


def ignores_masks_of_engines(patch: pytest.MonkeyPatch) -> None:
    def broken(self: PhysicalGpu, name: EngineName, event: int) -> None:
        specification = ENGINES[name]
        self.interrupts.raise_bits(f"GT{specification.interrupt_group}", event << specification.interrupt_shift)

    patch.setattr(PhysicalGpu, "_engine_event", broken)


def knows_no_pages_of_64_kib(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(translation, "_PAGES_OF_64K", 0)


def knows_no_page_of_1_gib(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(translation, "_GIGABYTE_PAGE", 0)


def writes_what_is_read_only(patch: pytest.MonkeyPatch) -> None:
    page = translation._Space._page

    def broken(self: translation._Space, address: int, bus: int, *, write: bool, writable: int) -> memoryview:
        return page(self, address, bus, write=write, writable=1)

    patch.setattr(translation._Space, "_page", broken)


def compares_wrongly(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(semaphore, "_COMPARISONS", (ge, ge, lt, le, ge, ne))


Break = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    ("break_it", "noticed_by"),
    [
        (drops_last_row, ("fill-linear", "fill-x-tiles", "fill-y-tiles", "copy-to-linear", "copy-to-x-tiles", "copy-to-y-tiles", "copy-within-surface")),
        (takes_y_fences_for_x, ("written-through-fence", "read-through-fence")),
        (keeps_translations, ("translations-dropped-on-command",)),
        (loses_a_register, ("context-keeps-registers", "context-interrupted")),
        (loads_every_context_anew, ("lite-restore",)),
        (ignores_masks_of_engines, ("interrupts-masked-and-unmasked",)),
        (knows_no_pages_of_64_kib, ("pages-of-64-kib",)),
        (knows_no_page_of_1_gib, ("page-of-1-gib",)),
        (writes_what_is_read_only, ("unmapped-addresses",)),
        (compares_wrongly, ("semaphore-comparisons",)),
    ],
)  # fmt: skip
def test_a_broken_gpu_is_noticed_by_the_scenario_that_is_about_it(break_it: Break, noticed_by: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    outcomes = {name: play(built_in()[name], InProcess()).outcome for name in ("store-and-read-back", *noticed_by)}
    assert outcomes == {"store-and-read-back": Outcome.PASSED, **dict.fromkeys(noticed_by, Outcome.FAILED)}
