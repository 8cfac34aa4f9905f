"""The Python guest's PV behaviour is the real driver's, on the same host.

The recordings are of Debian's unmodified i915 on a vGPU of our mediator (``host-model boot --trace``), whose engines did
what it asked for; the Python guest probes the same vGPU in process. Where they differ on purpose, a rule of
:mod:`pvinfo.trace_diff`, or one named here, says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from support.guest_machine import Access, accesses_of, speaks_to_host, without_addresses

from guest_driver import GtState, GuestDriver
from host_model import Host
from pvinfo.__main__ import main as pvinfo_command
from pvinfo.execlist import ContextDescriptor
from pvinfo.trace import Op, read_trace
from pvinfo.trace_diff import compare_traces

RECORDED = Path(__file__).parents[1] / "unit" / "data"
CASES = [("skl", "GVTg_V5_8", 207), ("kbl", "GVTg_V5_4", 207), ("bdw", "GVTg_V4_8", 203)]
PORTS = (0x2230, 0x22230, 0x12230, 0x1A230)


def recording(platform: str) -> Path:
    return RECORDED / f"guest_probe_{platform}_mediated.tsv.xz"


def python_guest(platform: str, vgpu_type: str, trace: Path) -> GuestDriver:
    vgpu, machine = Host(platform).plug(vgpu_type)
    vgpu.trace_to(trace)
    driver = GuestDriver(machine)
    driver.probe()
    vgpu.end_trace()
    return driver


@pytest.mark.parametrize(("platform", "vgpu_type", "entries"), CASES)
def test_the_python_guest_behaves_as_the_real_driver(
    platform: str, vgpu_type: str, entries: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real, ours = recording(platform), tmp_path / "python.tsv"
    assert python_guest(platform, vgpu_type, ours).gt_state is GtState.RUNNING
    comparison = compare_traces(read_trace(real), read_trace(ours))
    assert comparison.equal
    assert pvinfo_command(["trace", "diff", str(real), str(ours)]) == 0
    assert f"GGTT entries {entries} and {entries}" in capsys.readouterr().out


def submitted(accesses: Iterable[Access]) -> dict[int, list[int]]:
    """What was written to each port. Named rules: a context that the driver has let go of since is restored by force, and has a
    name that no context on its way has; how soon the driver lets go of an idle one, and hears of its end, is the moment's."""
    written: dict[int, list[int]] = {port: [] for port in PORTS}
    for access in accesses:
        if access.op is Op.WRITE and access.offset in written:
            low_half = len(written[access.offset]) % 2 == 1
            written[access.offset].append(access.value & ~ContextDescriptor.force_restore.mask if low_half else bool(access.value))
    return written


@pytest.mark.parametrize(("platform", "vgpu_type"), [case[:2] for case in CASES])
def test_the_same_contexts_at_the_same_graphics_addresses_reach_the_host_in_the_same_order(
    platform: str, vgpu_type: str, tmp_path: Path
) -> None:
    trace = tmp_path / "python.tsv"
    python_guest(platform, vgpu_type, trace)
    real, ours = (accesses_of(read_trace(path)) for path in (recording(platform), trace))
    assert submitted(real) == submitted(ours)
    assert [len(values) for values in submitted(ours).values()] == [12, 12, 12, 12]
    contract = [[access for access in without_addresses(side) if speaks_to_host(access)] for side in (real, ours)]
    assert contract[0] == contract[1]
