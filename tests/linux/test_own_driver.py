"""The host's own driver is a real one: an unmodified i915 has the host's share of the GPU and the physical display, beside guests.

Nobody here wrote it, and it is not told that it is the host's: it finds the PVINFO page with the host's share, as a guest does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import real_guest
from support.picture import read_png
from support.real_machines import Machines
from support.watched_server import watched_server

pytestmark = real_guest.needs("a host's own Linux")

SECONDS = 8
LEAST_ROUNDS = SECONDS
"""A busy machine does few, an idle one hundreds."""
CHECKS = ("stores", "fills", "copies", "fences", "small-batches", "two-processes", "spinner", "hang")
BLUE = (0, 0, 0xAA)
"""Colour 4 of the text console. Source: linux:drivers/tty/vt/vt.c"""


def boot_with(folder: Path, workload: Path, script: str, *words: str) -> dict[str, Any]:
    """The report of a boot whose first machine is the host's own; it and the guests run ``script``."""
    post = folder / "post.sh"
    post.write_text(f"#!/bin/sh\n{script}\n")
    booted = real_guest.boot(folder, "--own", "--monitor", "DP-B", "--add", f"{workload}:/bin/workload", "--post", str(post), *words)
    assert "Traceback" not in booted.errors
    return booted.report


def check_host(report: dict[str, Any]) -> None:
    """What holds for the host's own driver whatever else there is."""
    machine, own = report["guests"][0], report["host"]
    assert machine["role"] == "host" and report["vgpus"] == [] or report["guests"][1]["role"] == "guest"
    assert machine["driver_initialized"] and not machine["wedged"] and machine["warnings"] == []
    assert own["pv"]["detected"] and machine["balloon"]["completed"]
    assert machine["balloon"]["mappable"] == own["balloon"]["mappable"] == [0x1000, 64 << 20]
    assert machine["balloon"]["nonmappable"] == own["balloon"]["nonmappable"]
    lit = {connector["name"]: connector["mode"] for connector in machine["connectors"] if connector["enabled"]}
    assert lit == {"DP-1": "1024x768"} and machine["framebuffer"]["console"]
    assert [finding for finding in own["findings"] if finding["kind"] != "note"] == []
    assert own["mmio"]["unmodelled"] == {} and own["mmio"]["passed"] > 1000
    assert report["gpu"]["isolation_violations"] == 0 and report["gpu"]["findings"] == []


def test_the_hosts_own_driver_and_a_guest_draw_at_once_and_each_finds_its_own_pattern(workload: Path, tmp_path: Path) -> None:
    """The host's screen is the physical one: blue, while the guest's stays as it is."""
    script = f"""\
export PATTERN_SEED=$((1000 + HOST_MODEL_GUEST)) PATTERN_SECONDS={SECONDS}
[ "$HOST_MODEL_GUEST" = 0 ] && printf '\\033[44m\\033[2J' >/dev/tty0
exec /bin/workload pattern"""
    report = boot_with(tmp_path, workload, script, "--guests", "2", "--type", "GVTg_V5_8", "--screenshot", str(tmp_path))
    assert report["failures"] == []
    check_host(report)
    (vgpu,) = report["vgpus"]
    for number, (machine, client) in enumerate(zip(report["guests"], (report["host"], vgpu), strict=True)):
        said = re.fullmatch(r"rounds (\d+) of seed (\d+), at most \d+ ms\nok pattern \d+\.\d+ s\n", machine["post_output"])
        assert said is not None, machine["post_output"]
        assert int(said[1]) >= LEAST_ROUNDS and int(said[2]) == 1000 + number
        assert not machine["wedged"] and machine["warnings"] == []
        assert min(client["requests"].values()) >= LEAST_ROUNDS, "every engine has done its part"
        assert client["schedule"]["turns"] > LEAST_ROUNDS, "they really took turns"
        assert [finding for finding in client["findings"] if finding["kind"] != "note"] == []
    assert [client["schedule"]["weight"] for client in (report["host"], vgpu)] == [8, 2]
    assert vgpu["failsafe"] is None
    colours = [read_png((tmp_path / f"guest{number}.png").read_bytes()).pixel(600, 400) for number in range(2)]
    assert colours == [BLUE, (0, 0, 0)]


def test_programs_of_a_broadwell_host_work_on_its_own_device_and_only_the_guilty_suffer(workload: Path, tmp_path: Path) -> None:
    report = boot_with(tmp_path, workload, f"exec /bin/workload {' '.join(CHECKS)}", "--platform", "bdw")
    assert report["failures"] == []
    check_host(report)
    (machine,) = report["guests"]
    assert [line.split()[:2] for line in machine["post_output"].splitlines()] == [["ok", check] for check in CHECKS]
    assert min(report["host"]["requests"].values()) > 500
    assert report["host"]["resets_by_kind"]["engine"] > 0


# ---- its machine is killed ----

POST = "[ $ROLE = last ] && exec /bin/workload stores fills\nPATTERN_SECONDS=300 exec /bin/workload pattern\n"
PATIENCE_S = 100


def test_the_machine_of_the_hosts_own_driver_is_killed_at_work_and_the_next_one_finds_a_device_that_works(workload: Path, tmp_path: Path) -> None:
    with watched_server(tmp_path, own=tmp_path / "own", words=["--monitor", "DP-B"]) as server:

        def until(machines: Machines, happened: Callable[[], bool]) -> None:
            deadline = time.monotonic() + PATIENCE_S
            while not happened():
                assert time.monotonic() < deadline, server.state()["host"]
                machines.step(0.1)

        def drawn() -> int:
            requests: dict[str, int] = server.state()["host"]["requests"]
            return min(requests.values())

        assert server.own is not None
        nothing = server.state()["gpu"]["held"]
        with closing(Machines(tmp_path, POST, workload)) as machines:
            with machines.started(server.own, None, "ROLE=drawing"):
                until(machines, lambda: drawn() > 50)
            until(machines, lambda: not server.state()["screens"][0]["connected"])
            before = server.state()
            assert before["gpu"]["held"]["pages"] == nothing["pages"]
            with machines.started(server.own, None, "ROLE=last") as machine:
                until(machines, lambda: not machine.running())
                report = machine.report()
                assert report.driver_initialized and not report.wedged and report.warnings == ()
                assert [line.split()[:2] for line in machine.post_output().splitlines()] == [["ok", "stores"], ["ok", "fills"]]
                assert report.monitors["DP-1"].enabled
        after = server.state()
        assert after["host"]["resets_by_kind"]["device"] > before["host"]["resets_by_kind"]["device"]
        assert [finding for finding in after["host"]["findings"] if finding["kind"] != "note"] == []
        assert after["gpu"]["isolation_violations"] == 0
