"""A real guest whose firmware tells of its displays: its i915 makes the connectors that the OpRegion declares, and no other.

One boot, with a monitor at an HDMI connector. The guests of the other tests here have an OpRegion as well, with the
DisplayPort connector of the kernel's mediator.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from support import real_guest

from host_model.boot import BootPlan, GuestOutcome, HostRequest, HostSide, boot_guests, choose_accelerator, find_parts
from host_model.device.display.monitor import Monitor
from host_model.serving import ServedHost, host_for_boot
from pvinfo.connector import Connector, Link, Port
from pvinfo.explain import read_dump
from pvinfo.opregion import opregion, parse_opregion
from pvinfo.platform import PLATFORMS

pytestmark = real_guest.needs()

HDMI_B = Connector(Port.B, Link.HDMI)
POST = """\
ls /sys/class/drm
mount -t debugfs none /sys/kernel/debug 2>/dev/null
echo DUMP
hexdump -C /sys/kernel/debug/dri/0/i915_opregion
"""


class Told(NamedTuple):
    """What the guest printed: the entries of its drm class, its OpRegion, and its kernel's log."""

    outcome: GuestOutcome
    nodes: list[str]
    opregion: bytes
    log: str


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("opregion")
    post = folder / "post.sh"
    post.write_text(POST)

    def make_host(request: HostRequest) -> HostSide:
        host = host_for_boot(request)
        assert isinstance(host, ServedHost)
        (vgpu,) = host.host.vgpus.values()
        vgpu.display.plug(Monitor.of_resolution(HDMI_B, "1024x768"))
        return host

    plan = BootPlan(
        find_parts(None, None, None, None), choose_accelerator(), kernel_arguments=("drm.debug=0x6",), post=post, console=folder
    )
    result = boot_guests(plan, make_host, lambda number, stage, seconds: None)
    assert result.failures() == []
    (outcome,) = result.guests
    nodes, _, dump = outcome.post_output.partition("DUMP\n")
    (folder / "dump").write_text(dump)
    return Told(outcome, nodes.split(), read_dump(folder / "dump"), (folder / "guest0-console.log").read_text())


def test_the_driver_finds_the_opregion_and_its_vbt(guest: Told) -> None:
    assert "ACPI OpRegion version 2.0.0" in guest.log
    assert "Found valid VBT in ACPI OpRegion (Mailbox #4)" in guest.log
    assert 'VBT signature "$VBT", BDB version 186' in guest.log
    assert "Failed to find VBIOS tables" not in guest.log


def test_what_the_guest_has_in_memory_is_what_was_declared_byte_for_byte(guest: Told) -> None:
    assert guest.opregion == opregion([HDMI_B], PLATFORMS["skl"])
    assert parse_opregion(guest.opregion).connectors == (HDMI_B,)


def test_the_driver_makes_the_declared_connector_and_no_other(guest: Told) -> None:
    assert sorted(guest.nodes) == ["card0", "card0-HDMI-A-1", "renderD128", "version"]
    assert "Port B VBT info: CRT:0 DVI:1 HDMI:1 DP:0 eDP:0" in guest.log
    assert "Using DDC pin 0x5 (VBT)" in guest.log


def test_the_monitor_is_found_there_and_nothing_is_warned_of(guest: Told) -> None:
    report = guest.outcome.report
    assert dict(report.connectors) == {"HDMI-A-1": "connected"}
    assert report.warnings == () and report.diagnosis == ()
    assert guest.outcome.qemu_messages == ""
