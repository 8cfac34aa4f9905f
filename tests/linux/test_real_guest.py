"""An unmodified Linux guest on our vGPU: the real i915 driver is the judge.

One boot for each platform and type, through the command line that users have; it takes about ten
seconds without KVM. Both sides speak: the guest in its own log, the host in its report. What programs
in such a guest get done is in test_guest_work.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import real_guest

from host_model.device.mmio.policy import Attribute
from host_model.mediator.policy import policy_for
from pvinfo.trace import Op, TraceRow, read_trace

pytestmark = real_guest.needs()

CASES = [
    ("skl", "GVTg_V5_8"),
    ("skl", "GVTg_V5_4"),
    ("kbl", "GVTg_V5_8"),
    ("kbl", "GVTg_V5_4"),
    ("bdw", "GVTg_V4_8"),
]

PORTS = {"rcs0": 0x2230, "bcs0": 0x22230, "vcs0": 0x12230, "vecs0": 0x1A230}
MOST_TIMES_LONGER = 1.5
APERTURE = 256 << 20
GGTT_SIZE = 4 << 30


class Boot(NamedTuple):
    """One finished ``host-model boot``: its status, what it printed, its report."""

    platform: str
    vgpu_type: str
    status: int
    errors: str
    report: dict[str, Any]
    console: str
    trace: list[TraceRow]

    @property
    def guest(self) -> dict[str, Any]:
        guest: dict[str, Any] = self.report["guests"][0]
        return guest

    @property
    def vgpu(self) -> dict[str, Any]:
        vgpu: dict[str, Any] = self.report["vgpus"][0]
        return vgpu


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def boot(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Boot:
    platform, vgpu_type = request.param
    folder = tmp_path_factory.mktemp(f"{platform}-{vgpu_type}")
    trace = folder / "trace.tsv"
    booted = real_guest.boot(folder, "--platform", platform, "--type", vgpu_type, "--trace", str(trace))
    console = (folder / "guest0-console.log").read_text()
    return Boot(platform, vgpu_type, *booted, console, list(read_trace(trace)))


def test_the_driver_initialises_and_registers_its_device(boot: Boot) -> None:
    assert boot.report["failures"] == []
    assert boot.status == 0 and boot.report["ok"]
    assert boot.guest["driver_initialized"]
    assert boot.guest["drm_nodes"] == ["card0", "renderD128"]
    assert "[drm] Initialized i915" in boot.console


def test_both_sides_saw_the_other(boot: Boot) -> None:
    assert boot.report["platform"] == boot.platform
    assert boot.vgpu["type"] == boot.vgpu_type
    assert boot.guest["detected"]
    pv = boot.vgpu["pv"]
    assert (pv["detected"], pv["version"], pv["caps"]) == (True, "1.0", 0x1C)


def test_the_guest_balloons_out_exactly_what_it_was_not_given(boot: Boot) -> None:
    served = boot.vgpu["balloon"]
    (low, low_end), (high, high_end) = served["mappable"], served["nonmappable"]
    seen = boot.guest["balloon"]
    assert seen["completed"]
    assert [seen["mappable"], seen["nonmappable"]] == [[low, low_end], [high, high_end]]
    others = [(0, low), (low_end, APERTURE), (APERTURE, high), (high_end, GGTT_SIZE)]
    assert sorted(seen["reserved"]) == [[start, end] for start, end in others if start < end]


def test_the_guest_warns_of_nothing_and_does_not_give_the_gpu_up(boot: Boot) -> None:
    assert boot.guest["warnings"] == []
    assert boot.guest["diagnosis"] == []
    assert not boot.guest["wedged"]
    assert "Resetting" not in boot.console and "GPU HANG" not in boot.console


def test_the_guest_has_the_connector_that_its_firmware_declares_and_no_other(boot: Boot) -> None:
    assert [connector["name"] for connector in boot.guest["connectors"]] == ["DP-1"]


def test_every_request_completes_on_the_engine_that_it_was_meant_for(boot: Boot) -> None:
    """The driver's first ones on each engine: its kernel context's, a fresh one's, and the kernel's again. What is handed
    over is a context, and one of two may go with another's submission."""
    assert boot.vgpu["requests"] == dict.fromkeys(PORTS, 3)
    descriptors: dict[str, list[int]] = {}
    for engine, port in PORTS.items():
        written = [row.value for row in boot.trace if row.op is Op.WRITE and row.offset == port for _ in range(row.repeat)]
        descriptors[engine] = written[1::2]
    assert boot.vgpu["submissions"] == {engine: len(each) / 2 for engine, each in descriptors.items()}
    assert boot.vgpu["workloads"] == {engine: sum(descriptor & 1 for descriptor in each) for engine, each in descriptors.items()}
    assert min(boot.report["gpu"]["commands"].values()) > 0


def test_neither_the_host_nor_the_gpu_has_more_than_a_remark(boot: Boot) -> None:
    findings = boot.vgpu["findings"] + boot.report["gpu"]["findings"]
    assert [finding for finding in findings if finding["kind"] != "note"] == []


def test_every_untracked_register_that_was_touched_is_listed(boot: Boot) -> None:
    attributes = policy_for(boot.platform).attributes
    touched = {
        hex(dword)
        for row in boot.trace
        if row.op in (Op.READ, Op.WRITE)
        for dword in range(row.offset & ~3, row.offset + row.size, 4)
        if attributes[dword >> 2] & Attribute.UNTRACKED
    }
    unmodelled = boot.vgpu["mmio"]["unmodelled"]
    assert set(unmodelled) == touched
    assert all(count > 0 for count in unmodelled.values())


def test_the_counts_are_those_of_the_trace_and_memory_stays_apart(boot: Boot) -> None:
    times = Counter[Op]()
    for row in boot.trace:
        times[row.op] += row.repeat
    assert boot.vgpu["mmio"]["reads"] == times[Op.READ] + times[Op.GGTT_READ] > 100
    assert boot.vgpu["mmio"]["writes"] == times[Op.WRITE] + times[Op.GGTT_WRITE] > 100
    assert boot.vgpu["ggtt_writes"] == times[Op.GGTT_WRITE] > 0
    assert boot.report["gpu"]["isolation_violations"] == 0
    assert boot.vgpu["failsafe"] is None


def test_nothing_broke_on_the_host(boot: Boot) -> None:
    assert "Traceback" not in boot.errors
    assert boot.guest["qemu_messages"] == []
    assert not Path(boot.vgpu["socket"]).exists()


def seconds_of_probe(folder: Path, name: str, *words: str) -> float:
    (folder / name).mkdir()
    booted = real_guest.boot(folder / name, "--platform", "skl", *words)
    assert booted.status == 0, booted.errors
    seconds: float = booted.report["guests"][0]["seconds"]["probe"]
    return seconds


def test_a_probe_by_way_of_the_mediator_takes_hardly_longer_than_on_the_gpu_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the guest's own time, one boot after the other; a busy machine is given two more chances."""
    mediated, alone = [], []
    for attempt in range(3):
        alone.append(seconds_of_probe(tmp_path, f"alone{attempt}", "--physical"))
        mediated.append(seconds_of_probe(tmp_path, f"mediated{attempt}"))
        if min(mediated) <= MOST_TIMES_LONGER * min(alone):
            break
    with capsys.disabled():
        print(f"\nprobe on a vGPU {min(mediated):.2f} s, on the physical GPU {min(alone):.2f} s: ratio {min(mediated) / min(alone):.2f}")
    assert min(mediated) <= MOST_TIMES_LONGER * min(alone)
