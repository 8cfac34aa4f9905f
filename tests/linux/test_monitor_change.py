"""A real guest whose monitor the user has chosen, and who runs its machine changes: by the EDID region, while the guest is at work.

One boot. QEMU gives nobody a way to that region yet, so its side is played here: when the guest asks for a picture by a name, the
region is written as a virtual machine monitor writes it.
"""

from __future__ import annotations

import selectors
from hashlib import md5
from pathlib import Path
from typing import NamedTuple

import pytest
from support import real_guest

from host_model.boot import BootPlan, GuestOutcome, HostRequest, HostSide, Picture, boot_guests, choose_accelerator, find_parts
from host_model.monitor_choice import MonitorChoice
from host_model.serving import ServedHost, host_for_boot
from pvinfo.connector import Link
from pvinfo.edid import edid_for
from pvinfo.frame import FRAME_HEADER, FrameHeader
from pvinfo.gfx_edid import GFX_EDID_REGISTERS

pytestmark = real_guest.needs()

EDID, FRAME = 10, 11
POST = """\
connector=/sys/class/drm/card0-HDMI-A-1
show() {
    echo "$1 $(cat $connector/status) $(head -n 1 $connector/modes) $(md5sum <$connector/edid | cut -c 1-32)"
}
await() {
    for step in $(seq 100); do
        [ "$(cat $connector/status)" = "$1" ] && return
        sleep 0.1
    done
}
show chosen
gvt-screenshot pulled
await disconnected
show pulled
gvt-screenshot plugged
await connected
show plugged
"""
FIRST, SECOND = edid_for("1600x1200", Link.HDMI), edid_for("1280x1024", Link.HDMI)
"""The second is no larger: beyond the frame buffer of its console the guest looks at no mode."""


class Changing:
    """The host of the boot, with a hand on the monitor."""

    def __init__(self, host: ServedHost) -> None:
        self.host = host
        self.frames: list[FrameHeader] = []
        self._acts = [self._pull, self._plug, self._look]

    @property
    def selector(self) -> selectors.BaseSelector:
        return self.host.selector

    @property
    def view_url(self) -> str | None:
        return None

    def step(self, timeout_s: float) -> None:
        self.host.step(timeout_s)

    def opregion(self, guest: int) -> bytes | None:
        return self.host.opregion(guest)

    def report(self) -> dict[str, object]:
        return self.host.report()

    def close(self) -> None:
        self.host.close()

    def picture(self, guest: int) -> Picture:
        picture = self.host.picture(guest)
        if self._acts:
            self._acts.pop(0)()
        return picture

    def _write(self, offset: int, data: bytes) -> None:
        self.host.devices[0].server.regions.write(EDID, offset, data)

    def _set(self, register: str, value: int) -> None:
        self._write(GFX_EDID_REGISTERS.offset_of(register), value.to_bytes(4, "little"))

    def _look(self) -> None:
        self.frames.append(FRAME_HEADER.parse(self.host.devices[0].server.regions.read(FRAME, 0, FRAME_HEADER.size)))

    def _pull(self) -> None:
        self._look()
        self._set("link_state", 2)

    def _plug(self) -> None:
        self._set("edid_size", len(SECOND))
        self._write(2048, SECOND)
        self._set("link_state", 1)


class Told(NamedTuple):
    """What the guest printed, and the headers of the frames that were read meanwhile."""

    outcome: GuestOutcome
    printed: dict[str, list[str]]
    frames: list[FrameHeader]


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("monitor")
    post = folder / "post.sh"
    post.write_text(POST)
    hosts: list[Changing] = []

    def make_host(request: HostRequest) -> HostSide:
        host = host_for_boot(request)
        assert isinstance(host, ServedHost)
        hosts.append(Changing(host))
        return hosts[0]

    plan = BootPlan(
        find_parts(None, None, None, None), choose_accelerator(), post=post, screenshots=folder, monitor=MonitorChoice("HDMI-B", FIRST)
    )
    result = boot_guests(plan, make_host, lambda number, stage, seconds: None)
    assert result.failures() == []
    (outcome,) = result.guests
    lines = [line.split() for line in outcome.post_output.splitlines()]
    return Told(outcome, {words[0]: words[1:] for words in lines}, hosts[0].frames)


def digest(edid: bytes) -> str:
    return md5(edid, usedforsecurity=False).hexdigest()


def test_the_guest_has_the_monitor_that_the_user_chose(guest: Told) -> None:
    assert guest.printed["chosen"] == ["connected", "1600x1200", digest(FIRST)]
    assert dict(guest.outcome.report.connectors) == {"HDMI-A-1": "connected"}


def test_it_sees_the_cable_pulled_by_the_region(guest: Told) -> None:
    assert guest.printed["pulled"] == ["disconnected", digest(b"")]


def test_it_finds_the_other_monitor_with_every_byte_of_its_edid(guest: Told) -> None:
    assert guest.printed["plugged"] == ["connected", "1280x1024", digest(SECOND)]


def test_the_picture_is_read_from_the_region_meanwhile(guest: Told) -> None:
    assert (guest.frames[0].width, guest.frames[0].height, guest.frames[0].sequence) == (1600, 1200, 2)
    assert (guest.frames[1].width, guest.frames[1].height, guest.frames[1].sequence) == (1280, 1024, 4)


def test_nothing_is_warned_of(guest: Told) -> None:
    assert guest.outcome.report.warnings == ()
    assert guest.outcome.qemu_messages == ""
