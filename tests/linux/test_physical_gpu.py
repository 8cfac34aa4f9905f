"""A Linux host on our physical GPU: its unmodified i915, the kernel's own mediator, and work from user space.

Nothing of ours stands between the driver and the device here. One boot for each platform, one more
for each aperture that the mediator shares out, and one that runs a C program through i915's ioctls.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import real_guest

from pvinfo.submission_trace import compare_submissions, format_submissions
from pvinfo.trace import read_numbered_trace

pytestmark = real_guest.needs("a real host")

PLATFORMS = ("skl", "kbl", "bdw")
ENGINES = ("rcs0", "bcs0", "vcs0", "vecs0")


class HostBoot(NamedTuple):
    """One finished ``host-model boot --physical``."""

    status: int
    errors: str
    report: dict[str, Any]
    console: str

    @property
    def machine(self) -> dict[str, Any]:
        machine: dict[str, Any] = self.report["guests"][0]
        return machine

    @property
    def gpu(self) -> dict[str, Any]:
        gpu: dict[str, Any] = self.report["gpu"]
        return gpu


def boot_host(folder: Path, *words: str) -> HostBoot:
    booted = real_guest.boot(folder, "--physical", "--timeout", "280", *words)
    return HostBoot(*booted, console=(folder / "guest0-console.log").read_text())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_driver_of_a_host_initialises_and_every_engine_does_its_work(platform: str, tmp_path: Path) -> None:
    boot = boot_host(tmp_path, "--platform", platform)
    assert boot.report["failures"] == [] and boot.status == 0
    machine = boot.machine
    assert machine["driver_initialized"] and not machine["wedged"] and not machine["detected"]
    assert machine["drm_nodes"] == ["card0", "renderD128"]
    assert machine["warnings"] == [] and machine["diagnosis"] == [] and machine["qemu_messages"] == []
    requests = boot.gpu["requests"]
    assert set(requests) == set(ENGINES) and min(requests.values()) > 0
    assert sum(requests.values()) >= 12
    assert boot.gpu["mmio"]["unmodelled"] == {}
    assert boot.report["platform"] == platform and boot.report["vgpus"] == []
    assert "Resetting" not in boot.console and "GPU HANG" not in boot.console
    assert "Traceback" not in boot.errors
    assert not Path(boot.gpu["socket"]).exists()


SMALLEST = {"low_gm_size": "64MB", "high_gm_size": "384MB", "fence": "4", "resolution": "1024x768", "weight": "2"}

MEDIATED = [
    ("skl", 256, 2019, {"GVTg_V5_8": 2, "GVTg_V5_4": 1}),
    ("skl", 512, 2019, {"GVTg_V5_8": 6, "GVTg_V5_4": 3, "GVTg_V5_2": 1}),
    ("skl", 1024, 2019, {"GVTg_V5_8": 7, "GVTg_V5_4": 5, "GVTg_V5_2": 2, "GVTg_V5_1": 1}),
    ("kbl", 256, 2020, {"GVTg_V5_8": 2, "GVTg_V5_4": 1}),
    ("bdw", 256, 1249, {"GVTg_V4_8": 2, "GVTg_V4_4": 1}),
]


@pytest.mark.parametrize(
    ("platform", "aperture", "tracked", "offers"), MEDIATED, ids=[f"{case[0]}-{case[1]}" for case in MEDIATED]
)
def test_the_kernels_own_mediator_shares_the_gpu_out_to_the_limit_and_takes_it_back(
    platform: str, aperture: int, tracked: int, offers: dict[str, int], tmp_path: Path
) -> None:
    """Numbers of types and registers: linux:drivers/gpu/drm/i915/gvt."""
    boot = boot_host(tmp_path, "--kvmgt", "--platform", platform, "--aperture", str(aperture))
    assert boot.report["failures"] == [] and boot.status == 0
    assert not boot.machine["wedged"]
    assert boot.machine["warnings"] == []
    kvmgt = boot.machine["kvmgt"]
    assert {name: offer["instances"] for name, offer in kvmgt["types"].items()} == offers
    smallest = max(offers, key=lambda name: offers[name])
    assert kvmgt["types"][smallest]["description"] == SMALLEST
    assert kvmgt["tracked"] == tracked
    assert (kvmgt["created_type"], kvmgt["created"]) == (smallest, offers[smallest])
    assert kvmgt["refused"] == "No space left on device"
    difference = kvmgt["mmio_diff"]
    assert difference["total"] > tracked and 0 < difference["diff"] < tracked
    assert kvmgt["instances_left"] == offers


STREAMS = ("stores", "fences", "small-batches", "two-processes", "spinner", "illegal-batch", "hang")


def run_workload(folder: Path, platform: str, workload: Path, checks: tuple[str, ...], *words: str) -> HostBoot:
    script = folder / "post.sh"
    script.write_text(f"#!/bin/sh\nexec /bin/workload {' '.join(checks)}\n")
    boot = boot_host(folder, "--platform", platform, "--add", f"{workload}:/bin/workload", "--post", str(script), *words)
    output: str = boot.machine["post_output"]
    assert [line.split()[:2] for line in output.splitlines()] == [["ok", check] for check in checks]
    assert boot.machine["post_status"] == 0
    assert not boot.machine["wedged"]
    return boot


@pytest.mark.parametrize("platform", PLATFORMS)
def test_programs_submit_through_the_drivers_interface_and_only_the_guilty_suffer(
    platform: str, workload: Path, tmp_path: Path
) -> None:
    boot = run_workload(tmp_path, platform, workload, STREAMS)
    # The one act that the device takes amiss is the illegal command that a process executed on purpose.
    faults = [finding for finding in boot.gpu["findings"] if finding["kind"] == "guest fault"]
    assert [(fault["rule"], fault["value"], fault["count"]) for fault in faults] == [("illegal-command", 0xE0000000, 1)]
    (failure,) = boot.report["failures"]
    assert failure.startswith("host: its findings accuse a guest of illegal-command at rcs0 batch ")
    assert failure.endswith(" (once): the driver, or a program of the post script")
    culprits = re.findall(r"workload\[(\d+)\] context reset due to GPU hang", boot.console)
    assert len(culprits) == len(set(culprits)) == 2, "a reset is the guilty process's alone"
    assert min(boot.gpu["requests"].values()) > 500


@pytest.mark.parametrize("platform", PLATFORMS)
def test_programs_fill_and_copy_between_linear_and_tiled_surfaces(platform: str, workload: Path, tmp_path: Path) -> None:
    boot = run_workload(tmp_path, platform, workload, ("fills", "copies"))
    assert boot.report["failures"] == [] and boot.status == 0
    assert "Resetting" not in boot.console


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_fixed_piece_of_work_is_still_submitted_as_it_was_recorded(platform: str, workload: Path, tmp_path: Path) -> None:
    """The recordings that the Python driver is held to: of this driver, or of one that submits in the same way."""
    trace = tmp_path / "work.tsv"
    boot = run_workload(tmp_path, platform, workload, ("submissions",), "--trace", str(trace))
    assert boot.report["failures"] == [] and boot.status == 0
    recorded = Path(__file__).parents[1] / "unit" / "data" / f"real_submissions_{platform}.tsv.xz"
    comparison = compare_submissions(read_numbered_trace(recorded), read_numbered_trace(trace))
    assert comparison.equal, "\n".join(format_submissions(comparison, "recorded", "now"))
