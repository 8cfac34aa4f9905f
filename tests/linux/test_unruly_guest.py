"""A real guest that hangs engines and reboots in the midst of it, again and again: the one beside it goes on, and so does the guest itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import real_guest
from support.real_machines import NEIGHBOUR, OTHER, beside_a_neighbour

pytestmark = real_guest.needs()

POST = """\
/bin/workload stores hang
/bin/workload runaway &
sleep 3
echo b >/proc/sysrq-trigger
"""
"""The reboot is as by the reset button: no driver is asked to put anything in order before."""
LIVES = 2


def test_a_guest_that_hangs_engines_and_reboots_is_nobody_elses_trouble(
    workload: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own driver ends the first hang; the others are ended by the host, since somebody waits, or by the reboot."""
    with beside_a_neighbour(tmp_path, POST, workload, reboots=True) as beside:
        resets = beside.server.vgpu(OTHER)["resets_by_kind"].get("device", 0)
        with beside.start("unruly") as guest:
            for life in range(1, LIVES + 1):
                beside.until(lambda life=life: guest.post_output().count("away\n") >= life)  # type: ignore[misc]
                beside.neighbour_goes_on()
            output = guest.post_output()
            assert min(output.count("ok stores"), output.count("ok hang")) >= LIVES
            assert "FAILED" not in output and "not-ok" not in output
            assert (tmp_path / "machine2" / f"guest{guest.number}-console.log").read_text().count("[drm] Initialized i915") >= LIVES
            unruly = beside.server.vgpu(OTHER)
            assert unruly["resets_by_kind"]["device"] > resets + 1
            assert unruly["failsafe"] is None
            assert {finding["rule"] for finding in unruly["findings"] if finding["kind"] == "guest fault"} <= {"work-without-end"}
        schedule = beside.server.vgpu(NEIGHBOUR)["schedule"]
        with capsys.disabled():
            print(f"\nbeside it, the neighbour had {schedule['text']}")
        assert schedule["worst_wait_ns"] <= schedule["worst_wait_bound_ns"]
        beside.neighbour_goes_on()
