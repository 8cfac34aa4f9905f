"""Monitors plugged in and out: what registers show, and what a driver is told."""

from __future__ import annotations

from typing import Final

import pytest
from support.displays import AuxLine, I2cBus, a_monitor
from support.vgpus import make_vgpu, send_messages_to

from host_model.device.display.monitor import Monitor
from host_model.host import Host
from host_model.mediator.snapshot import take_snapshot
from host_model.mediator.vgpu import Vgpu
from pvinfo.connector import Connector, Link, Port, connector_named, connectors_of, default_connector
from pvinfo.display_mode import standard_mode
from pvinfo.edid import edid_for
from pvinfo.edid.layout import DETAILED_TIMING
from pvinfo.edid.modes import detailed_timing
from pvinfo.errors import UsageError
from pvinfo.golden_state import GoldenState
from pvinfo.platform import PLATFORMS, platform_named
from pvinfo.units import MIB

SDE, DE_PORT = 0xC4000, 0x44440
STRAPS: Final = 0xC2014
PCH, GEN8_A = 0xC4030, 0x44030


class Place:
    """Where a port shows itself."""

    def __init__(self, group: int, state: int, watch: int, enable: int, long_pulse: int) -> None:
        self.group = group
        self.state = 1 << state
        self.watch = watch
        self.enable = 1 << enable
        self.long_pulse = long_pulse


_HUB: Final = {
    "B": Place(SDE, 21, PCH, 4, 0x2),
    "C": Place(SDE, 22, PCH, 12, 0x200),
    "D": Place(SDE, 23, PCH, 20, 0x20000),
}
_GEN9: Final = {"A": Place(SDE, 24, PCH, 28, 0x2000000), **_HUB}
PLACES: Final = {
    "bdw": {"A": Place(DE_PORT, 3, GEN8_A, 4, 0x2), "B": _HUB["B"], "C": _HUB["C"]},
    "skl": _GEN9,
    "kbl": _GEN9,
    "cfl": _GEN9,
    "bxt": {"A": Place(DE_PORT, 3, PCH, 28, 0x2000000), "B": Place(DE_PORT, 4, PCH, 4, 0x2), "C": Place(DE_PORT, 5, PCH, 12, 0x200)},
}
EVERY_PORT: Final = [(platform, port) for platform, places in PLACES.items() for port in places]


def _watching(platform: str, place: Place) -> tuple[Vgpu, list[int]]:
    """A vGPU whose driver has the port watched."""
    vgpu = make_vgpu(platform)
    told: list[int] = []
    send_messages_to(vgpu, told)
    vgpu.mmio.write32(place.group + 4, ~place.state & 0xFFFFFFFF)
    vgpu.mmio.write32(place.group + 12, 0xFFFFFFFF)
    vgpu.mmio.write32(place.watch, place.enable)
    vgpu.mmio.write32(0x44200, 1 << 31)
    told.clear()
    return vgpu, told


@pytest.mark.parametrize(("platform", "port"), EVERY_PORT)
def test_plugging_in_and_out_shows_and_is_told_each_time(platform: str, port: str) -> None:
    place = PLACES[platform][port]
    vgpu, told = _watching(platform, place)
    assert vgpu.mmio.read32(place.group) == 0
    vgpu.display.plug(a_monitor(platform, f"DP-{port}"))
    assert vgpu.mmio.read32(place.group) == place.state
    assert vgpu.mmio.read32(place.watch) == place.enable | place.long_pulse
    assert vgpu.mmio.read32(place.group + 8) == place.state
    assert len(told) == 1
    vgpu.mmio.write32(place.watch, vgpu.mmio.read32(place.watch))
    vgpu.mmio.write32(place.group + 8, place.state)
    assert vgpu.mmio.read32(place.watch) == place.enable, "read and written back, as the driver does: acknowledged"
    vgpu.display.unplug()
    assert vgpu.mmio.read32(place.group) == 0
    assert vgpu.mmio.read32(place.watch) == place.enable | place.long_pulse
    assert len(told) == 2
    vgpu.display.unplug()
    assert len(told) == 2


@pytest.mark.parametrize(("platform", "port"), EVERY_PORT)
def test_a_port_that_nobody_watches_changes_its_state_in_silence(platform: str, port: str) -> None:
    place = PLACES[platform][port]
    vgpu, told = _watching(platform, place)
    vgpu.mmio.write32(place.watch, 0)
    vgpu.display.plug(a_monitor(platform, f"DP-{port}"))
    assert vgpu.mmio.read32(place.group) == place.state
    assert (vgpu.mmio.read32(place.watch), vgpu.mmio.read32(place.group + 8), told) == (0, 0, [])


def test_watching_one_port_does_not_hear_another() -> None:
    vgpu, told = _watching("skl", PLACES["skl"]["B"])
    vgpu.display.plug(a_monitor("skl", "DP-C"))
    assert told == []
    vgpu.display.plug(a_monitor("skl", "HDMI-B"))
    assert len(told) == 1
    assert vgpu.mmio.read32(SDE) == PLACES["skl"]["B"].state, "the other monitor is gone"


def test_another_monitor_in_place_of_one_is_a_new_one_to_the_driver() -> None:
    place = PLACES["skl"]["D"]
    vgpu, told = _watching("skl", place)
    vgpu.display.plug(a_monitor("skl", "DP-D"))
    line = AuxLine(vgpu.mmio, 0x64310)
    line.write(0x100, 0x06, 0x82)
    vgpu.display.plug(a_monitor("skl", "DP-D", "1920x1200"))
    assert len(told) == 3, "one went, one came"
    assert line.edid() == edid_for("1920x1200")
    assert line.read(0x100, 2) == bytes(2)


def test_nobody_writes_the_state() -> None:
    vgpu = make_vgpu(monitor=a_monitor("skl", "DP-D"))
    for offset in (SDE, DE_PORT, 0x44300, 0x44400):
        before = vgpu.mmio.read32(offset)
        vgpu.mmio.write32(offset, ~before & 0xFFFFFFFF)
        assert vgpu.mmio.read32(offset) == before


@pytest.mark.parametrize(("offset", "status", "other"), [(PCH, 0x03030303, 0x10101010), (0xC403C, 0x3, 0x10), (GEN8_A, 0x3, 0x10)])
def test_what_ports_saw_is_cleared_by_writing_ones_and_by_nothing_else(offset: int, status: int, other: int) -> None:
    vgpu = make_vgpu()
    vgpu.registers.write32(offset, status | other)
    vgpu.mmio.write32(offset, other)
    assert vgpu.mmio.read32(offset) == status | other
    vgpu.mmio.write32(offset, status & 0x01010101)
    assert vgpu.mmio.read32(offset) == status & 0x02020202
    vgpu.mmio.write32(offset, 0xFFFFFFFF)
    assert vgpu.mmio.read32(offset) & status == 0


# ---- resets ----


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_new_driver_finds_the_monitor_that_was_there(platform: str) -> None:
    port = default_connector(platform_named(platform)).port.value
    place = PLACES[platform][port]
    vgpu, _ = _watching(platform, place)
    vgpu.display.plug(a_monitor(platform, f"DP-{port}"))
    vgpu.reset()
    assert vgpu.mmio.read32(place.group) == place.state
    assert (vgpu.mmio.read32(place.watch), vgpu.mmio.read32(place.group + 8)) == (0, 0), "nothing has changed for it"
    vgpu.display.unplug()
    vgpu.reset()
    assert vgpu.mmio.read32(place.group) == 0


@pytest.mark.parametrize(("connector", "strap"), [("DP-B", 4), ("HDMI-C", 2)])
def test_the_straps_say_that_the_port_exists_also_when_the_monitor_has_gone(connector: str, strap: int) -> None:
    vgpu = make_vgpu("bdw")
    vgpu.registers.write32(STRAPS, 0)
    vgpu.display.plug(a_monitor("bdw", connector))
    assert vgpu.mmio.read32(STRAPS) == strap
    vgpu.display.unplug()
    vgpu.reset()
    assert vgpu.mmio.read32(STRAPS) & strap == strap


def test_broadwells_port_a_exists_when_something_was_there_at_start_up() -> None:
    vgpu = make_vgpu("bdw")
    assert vgpu.mmio.read32(0x64000) & 1 == 0
    vgpu.display.plug(a_monitor("bdw", "DP-A"))
    vgpu.reset()
    assert vgpu.mmio.read32(0x64000) & 1 == 1


# ---- which monitor ----


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_vgpu_has_a_monitor_of_its_types_resolution_where_the_kernels_has(platform: str) -> None:
    host = Host(platform, aperture_size=512 * MIB)
    for offered in host.types():
        vgpu = host.plug(offered.type).vgpu
        monitor = vgpu.display.monitor
        assert monitor is not None
        assert monitor.connector == Connector(Port.B if platform in ("bdw", "bxt") else Port.D, Link.DISPLAYPORT)
        assert monitor.mode.resolution == offered.type.resolution
        assert str(monitor) == f"GVT {offered.type.resolution} at {monitor.connector}"
        host.destroy_vgpu(vgpu)


def test_a_vgpu_can_have_another_monitor_or_none() -> None:
    host = Host("skl")
    assert host.plug(monitor=None).vgpu.display.monitor is None
    host = Host("skl")
    vgpu = host.plug(monitor=a_monitor("skl", "HDMI-B", "1920x1080")).vgpu
    assert I2cBus(vgpu.mmio, 5).edid(2) == edid_for("1920x1080", Link.HDMI)


def test_one_monitor_in_two_devices_is_two_monitors() -> None:
    monitor = a_monitor("skl", "DP-D")
    first, second = (make_vgpu(monitor=monitor) for _ in range(2))
    AuxLine(first.mmio, 0x64310).write(0x100, 0x06, 0x82)
    assert AuxLine(second.mmio, 0x64310).read(0x100, 2) == bytes(2)


def test_the_physical_gpu_has_no_monitor_unless_it_is_given_one() -> None:
    host = Host("skl")
    gpu = host.gpu
    assert gpu.display.monitor is None and gpu.mmio.read32(SDE) == 0
    gpu.display.plug(a_monitor("skl", "DP-B"))
    assert gpu.mmio.read32(SDE) == PLACES["skl"]["B"].state
    assert AuxLine(gpu.mmio, 0x64110).edid() == edid_for("1024x768")
    gpu.reset()
    assert gpu.mmio.read32(SDE) == PLACES["skl"]["B"].state
    assert host.plug(monitor=None).vgpu.mmio.read32(SDE) == 0, "a vGPU does not see the host's"


def test_a_monitor_of_the_host_that_a_snapshot_shows_is_not_the_guests() -> None:
    golden = take_snapshot(Host("skl").gpu)
    mmio = bytearray(golden.mmio)
    mmio[SDE : SDE + 4] = PLACES["skl"]["B"].state.to_bytes(4, "little")
    host = Host("skl", golden=GoldenState(golden.config, bytes(mmio)))
    assert host.plug(monitor=None).vgpu.mmio.read32(SDE) == 0
    host = Host("skl", golden=GoldenState(golden.config, bytes(mmio)))
    assert host.plug().vgpu.mmio.read32(SDE) == PLACES["skl"]["D"].state


def test_connectors_are_where_a_port_has_a_way_to_its_monitor() -> None:
    names = {platform: " ".join(map(str, connectors_of(platform_named(platform)))) for platform in PLATFORMS}
    assert names["bdw"] == names["bxt"] == "DP-A DP-B DP-C HDMI-B HDMI-C"
    assert names["skl"] == names["kbl"] == names["cfl"] == "DP-A DP-B DP-C DP-D HDMI-B HDMI-C HDMI-D"
    assert connector_named("hdmi-b", platform_named("skl")) == Connector(Port.B, Link.HDMI)


@pytest.mark.parametrize("name", ["DP-E", "HDMI-A", "VGA", "D", ""])
def test_a_connector_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(UsageError, match=r"on skl; there are DP-A, .*HDMI-D"):
        connector_named(name, platform_named("skl"))


def test_a_monitor_for_a_connector_of_another_platform_is_refused_and_nothing_is_taken() -> None:
    monitor = a_monitor("skl", "DP-D")
    host = Host("bdw")
    before = [offered.instances for offered in host.types()]
    with pytest.raises(UsageError, match=r"bdw has no DP-D; it has DP-A, DP-B, DP-C, HDMI-B, HDMI-C"):
        host.plug(monitor=monitor)
    assert [offered.instances for offered in host.types()] == before and not host.vgpus
    vgpu = make_vgpu("bdw", monitor=a_monitor("bdw", "DP-B"))
    with pytest.raises(UsageError, match="bdw has no DP-D"):
        vgpu.display.plug(monitor)
    assert str(vgpu.display.monitor) == "GVT 1024x768 at DP-B"


def _only(mode_name: str, clock_khz: int) -> bytes:
    raw = bytearray(edid_for("1024x768"))
    raw[35:54] = bytes(3) + bytes((1,)) * 16
    raw[54:72] = DETAILED_TIMING.pack(detailed_timing(standard_mode(mode_name)._replace(pixel_clock_khz=clock_khz), 0, 0))
    raw[127] = -sum(raw[:127]) & 0xFF
    return bytes(raw)


def test_a_monitor_whose_modes_are_all_too_fast_for_its_cable_is_refused() -> None:
    edid = _only("3840x2160@60", 533_250)
    assert Monitor(Connector(Port.B, Link.DISPLAYPORT), edid).mode.resolution == "3840x2160"
    with pytest.raises(UsageError, match=r"3840x2160@60, is too fast for HDMI-B; a cable of that kind carries 300000 kHz at most"):
        Monitor(Connector(Port.B, Link.HDMI), edid)


def test_the_mode_to_set_is_the_first_that_the_cable_carries() -> None:
    edid = edid_for("3840x2160@60")
    assert Monitor(Connector(Port.B, Link.DISPLAYPORT), edid).mode.resolution == "3840x2160"
    assert Monitor(Connector(Port.B, Link.HDMI), edid).mode.resolution == "2048x1152"
