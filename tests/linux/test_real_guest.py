"""An unmodified Linux guest on our vGPU: the real i915 driver is the judge.

One boot for each platform and type, through the command line that users have; it takes about ten
seconds without KVM. Both sides speak: the guest in its own log, the host in its report.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

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

WEDGE = re.compile(r"Failed to initialize GPU, declaring it wedged!|Enabling uc failed \(-5\)")
"""What the driver may say while nothing executes its first requests; nothing else is allowed."""


class Boot(NamedTuple):
    """One finished ``host-model boot``: its status, what it printed, its report."""

    platform: str
    vgpu_type: str
    status: int
    errors: str
    report: dict[str, Any]
    console: str

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
    status, errors, report = boot_guest(folder, "--platform", platform, "--type", vgpu_type)
    assert report, f"no report; status {status}: {errors}"
    return Boot(platform, vgpu_type, status, errors, report, (folder / "guest0-console.log").read_text())


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


def test_the_guest_warns_of_nothing_but_engines_that_stand_still(boot: Boot) -> None:
    assert [line for line in boot.guest["warnings"] if not WEDGE.search(line)] == []


def test_untracked_registers_are_counted_and_memory_stays_apart(boot: Boot) -> None:
    assert boot.report["gpu"]["isolation_violations"] == 0
    mmio = boot.vgpu["mmio"]
    assert mmio["reads"] > 500 and mmio["writes"] > 500
    for offset, count in mmio["unmodelled"].items():
        assert int(offset, 16) % 4 == 0 and count > 0
    assert boot.vgpu["ggtt_writes"] > 100
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
