"""The Python guest's PV behaviour is the real driver's, on the same host.

The recordings are of Debian's unmodified i915 on a vGPU of our mediator (``host-model boot --trace``); the Python guest probes
the same vGPU in process. Where they differ on purpose, a rule of :mod:`pvinfo.trace_diff` says so.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from guest_driver import GuestDriver
from host_model import Host
from pvinfo.__main__ import main as pvinfo_command
from pvinfo.trace import read_trace
from pvinfo.trace_diff import compare_traces

RECORDED = Path(__file__).parents[1] / "unit" / "data"


def python_guest(platform: str, vgpu_type: str, trace: Path) -> None:
    vgpu, machine = Host(platform).plug(vgpu_type)
    vgpu.trace_to(trace)
    GuestDriver(machine).probe()
    vgpu.end_trace()


@pytest.mark.parametrize(
    ("platform", "vgpu_type", "entries"),
    [("skl", "GVTg_V5_8", 79), ("kbl", "GVTg_V5_4", 79), ("bdw", "GVTg_V4_8", 75)],
)
def test_the_python_guest_behaves_as_the_real_driver(
    platform: str, vgpu_type: str, entries: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, ours = RECORDED / f"guest_probe_{platform}_unanswered.tsv.xz", tmp_path / "python.tsv"
    python_guest(platform, vgpu_type, ours)
    comparison = compare_traces(read_trace(real), read_trace(ours))
    assert comparison.equal
    assert pvinfo_command(["trace", "diff", str(real), str(ours)]) == 0
    assert f"GGTT entries {entries} and {entries}" in capsys.readouterr().out
