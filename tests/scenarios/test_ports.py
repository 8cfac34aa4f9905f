"""The same scenarios under every hypervisor: what the guest does and is answered is the same, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from guest_driver.__main__ import main
from guest_driver.scenarios import DeviceKind, InProcess, ScenarioResult, built_in, play
from guest_driver.scenarios.access import trace_text
from host_model.host import Host
from pvinfo.errors import UsageError
from support.stories import FEWEST, every

SCENARIOS = {name: found for name, found in built_in().items() if DeviceKind.VGPU in found.needs.devices}
Played = Callable[[str], ScenarioResult]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """A scenario by name on machines that are nothing but RAM, played once for all who compare with it."""

    @cache
    def play_once(name: str) -> ScenarioResult:
        return play(SCENARIOS[name], InProcess())

    yield play_once
    play_once.cache_clear()


@pytest.mark.parametrize("name", every(SCENARIOS, FEWEST))
@pytest.mark.parametrize("hypervisor", ["kvm", "xen", "acrn"])
def test_guests_see_the_same_under_every_hypervisor(played: Played, hypervisor: str, name: str) -> None:
    known, other = played(name), play(SCENARIOS[name], InProcess(hypervisor=hypervisor))
    assert (other.outcome, other.reason) == (known.outcome, known.reason)
    assert [trace_text(guest.accesses) for guest in other.guests] == [trace_text(guest.accesses) for guest in known.guests]
    assert any(guest.accesses for guest in known.guests), "there is something to compare"
    assert [(check.what, check.actual) for check in other.checks] == [(check.what, check.actual) for check in known.checks]


@pytest.mark.parametrize("platform", ["bdw", "kbl"])
@pytest.mark.parametrize("hypervisor", ["kvm", "xen", "acrn"])
def test_so_it_is_on_other_platforms(platform: str, hypervisor: str) -> None:
    traces = [[trace_text(guest.accesses) for guest in play(SCENARIOS["probe"], place).guests] for place in (InProcess(platform), InProcess(platform, hypervisor=hypervisor))]
    assert traces[0] == traces[1] and len(traces[0][0].splitlines()) > 1000


def test_machines_under_different_hypervisors_share_one_gpu() -> None:
    host = Host(aperture_size=1 << 30)
    plugged = [host.plug(hypervisor=name) for name in ("local", "kvm", "xen", "acrn")]
    assert [type(one.vgpu.port).__name__ for one in plugged] == ["LocalPort", "KvmPort", "XenPort", "AcrnPort"]
    assert [one.vgpu.port.can_track_writes for one in plugged] == [True, True, True, False]
    regions = [one.machine.gpu.bar(0) for one in plugged]
    magics = [region.read(0x78000, 8) for region in regions if region is not None]
    assert magics == [0x4776544776544776] * 4, "each finds its page of information"


def test_a_hypervisor_that_there_is_not_is_refused_before_anything_is_played() -> None:
    with pytest.raises(UsageError, match="no hypervisor 'qnx': there are local, kvm, xen, acrn"):
        InProcess(hypervisor="qnx")


@pytest.mark.parametrize("hypervisor", ["kvm", "xen", "acrn"])
def test_the_command_plays_under_any_hypervisor_and_the_guest_sees_the_same(tmp_path: Path, hypervisor: str) -> None:
    folders = {name: tmp_path / name for name in ("local", hypervisor)}
    for name, folder in folders.items():
        assert main(["run", "probe", "--hypervisor", name, "--json", str(tmp_path / f"{name}.json"), "--trace", str(folder)]) == 0
        assert json.loads((tmp_path / f"{name}.json").read_text())["host"] == ("in process" if name == "local" else f"in process, under {name}")
    assert len({(folder / "probe.tsv").read_text().replace(f", under {hypervisor}", "") for folder in folders.values()}) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--hypervisor", "bhyve"], "no hypervisor 'bhyve': there are local, kvm, xen, acrn"),
        (["--slower", "2"], "--slower 2: a whole number from 1 on, with --connect; hosts of this process are on virtual time"),
        (["--hypervisor", "kvm", "--connect", "a.sock"], "--hypervisor is for machines on hosts of this process; what is behind --connect is used without one"),
    ],
)
def test_what_cannot_be_played_so_is_refused_before_anything_is_played(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "probe", *words]) == 2
    assert capsys.readouterr() == ("", f"guest-driver run: error: {why}\n")
