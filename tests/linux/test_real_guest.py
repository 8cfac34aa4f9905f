"""An unmodified Linux guest on our vGPU: the real i915 driver is the judge.

One boot for each platform and type, through the command line that users have; it takes about ten
seconds without KVM. Both sides speak: the guest in its own log, the host in its report.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from host_model.device.mmio.policy import Attribute
from host_model.mediator.policy import policy_for
from pvinfo.trace import Op, TraceRow, read_trace

VARIABLES = ("GVT_QEMU", "GVT_KERNEL", "GVT_MODULES", "GVT_BUSYBOX")
MISSING = [name for name in VARIABLES if not os.environ.get(name)]

pytestmark = [
    pytest.mark.linux,
    pytest.mark.skipif(bool(MISSING), reason=f"a real guest needs {', '.join(MISSING)}"),
]

CASES = [
    ("skl", "GVTg_V5_8"),
    ("skl", "GVTg_V5_4"),
    ("kbl", "GVTg_V5_8"),
    ("kbl", "GVTg_V5_4"),
    ("bdw", "GVTg_V4_8"),
]

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


def boot_guest(folder: Path, *words: str) -> tuple[int, str, dict[str, Any]]:
    target = folder / "report.json"
    command = [sys.executable, "-m", "host_model", "boot", "--json", str(target), "--console", str(folder)]
    result = subprocess.run([*command, *words], capture_output=True, text=True, timeout=300, check=False)
    report: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    return result.returncode, result.stderr, report


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def boot(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Boot:
    platform, vgpu_type = request.param
    folder = tmp_path_factory.mktemp(f"{platform}-{vgpu_type}")
    trace = folder / "trace.tsv"
    status, errors, report = boot_guest(
        folder, "--platform", platform, "--type", vgpu_type, "--trace", str(trace)
    )  # fmt: skip
    assert report, f"no report; status {status}: {errors}"
    console = (folder / "guest0-console.log").read_text()
    return Boot(platform, vgpu_type, status, errors, report, console, list(read_trace(trace)))


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


def test_the_guest_warns_of_nothing(boot: Boot) -> None:
    """It may give the GPU up, as nothing executes its requests; at start-up it says that without a warning."""
    assert boot.guest["warnings"] == []


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


def test_two_guests_share_the_gpu_and_the_post_script_is_heard(tmp_path: Path) -> None:
    script = tmp_path / "post.sh"
    script.write_text("#!/bin/sh\ncat /added\nls -1 /dev/dri\n")
    (tmp_path / "greeting").write_text("hello from the host\n")
    status, errors, report = boot_guest(
        tmp_path, "--guests", "2", "--type", "GVTg_V5_8", "--post", str(script),
        "--add", f"{tmp_path / 'greeting'}:/added", "--timeout", "200",
    )  # fmt: skip
    assert (status, report["failures"]) == (0, []), errors
    ranges = [vgpu["balloon"]["mappable"] for vgpu in report["vgpus"]]
    assert ranges[0][1] <= ranges[1][0] or ranges[1][1] <= ranges[0][0]
    for guest, vgpu in zip(report["guests"], report["vgpus"], strict=True):
        assert guest["balloon"]["mappable"] == vgpu["balloon"]["mappable"]
        assert guest["post_output"] == "hello from the host\ncard0\nrenderD128\n"
