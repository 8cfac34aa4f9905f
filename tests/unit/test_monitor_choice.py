"""The user's choice of monitor: what is plugged in where, and what cannot be."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from host_model.__main__ import main
from host_model.boot import HostRequest
from host_model.monitor_choice import MonitorChoice, add_monitor_arguments, monitor_choice_of
from host_model.report import host_report
from host_model.serving import ServedGpu, ServedHost, ServedType, host_for_boot
from pvinfo.connector import Connector, Link, Port, default_connector
from pvinfo.edid import edid_for
from pvinfo.opregion import parse_opregion
from pvinfo.platform import PLATFORMS, platform_named

SKL = platform_named("skl")
HDMI_B = Connector(Port.B, Link.HDMI)


def choose(*words: str) -> MonitorChoice:
    parser = argparse.ArgumentParser()
    add_monitor_arguments(parser)
    return monitor_choice_of(parser.parse_args(words))


def test_nothing_said_leaves_everything_open() -> None:
    assert choose().open
    assert not choose("--monitor", "none").open


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_mode_alone_is_a_monitor_where_the_kernels_mediator_plugs_one_in(platform: str) -> None:
    monitor = choose("--mode", "1920x1080").monitor(platform_named(platform), "1024x768")
    assert monitor is not None
    assert monitor.connector == default_connector(platform_named(platform))
    assert (str(monitor.mode), monitor.identity.name) == ("1920x1080@60", "GVT 1920x1080")


def test_a_connector_alone_has_a_monitor_of_the_types_resolution() -> None:
    monitor = choose("--monitor", "hdmi-b").monitor(SKL, "1920x1200")
    assert monitor is not None
    assert (monitor.connector, str(monitor.mode), monitor.identity.hdmi) == (HDMI_B, "1920x1200@60", True)


def test_an_edid_of_the_users_own_is_what_the_monitor_says(tmp_path: Path) -> None:
    file = tmp_path / "edid"
    file.write_bytes(edid_for("1680x1050"))
    monitor = choose("--edid", str(file), "--monitor", "DP-A").monitor(SKL, "1024x768")
    assert monitor is not None
    assert (str(monitor.connector), monitor.edid) == ("DP-A", edid_for("1680x1050"))


@pytest.mark.parametrize("word", ["none", "None"])
def test_none_is_no_monitor(word: str) -> None:
    assert choose("--monitor", word).monitor(SKL, "1024x768") is None


FALSE_SUM = edid_for("1024x768")[:-1] + bytes([edid_for("1024x768")[-1] ^ 0x10])


@pytest.mark.parametrize("command", ["serve", "boot"])
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--edid", "EDID", "--mode", "1024x768"], "--edid EDID with --mode 1024x768: the EDID itself says which mode the monitor prefers"),
        (["--edid", "EDID", "--monitor", "none"], "--edid EDID with --monitor none: there is no monitor that it could describe"),
        (["--mode", "1024x768", "--monitor", "none"], "--mode 1024x768 with --monitor none: there is no monitor that it could describe"),
        (["--mode", "1000x1000"], "'1000x1000' names no standard mode; there are 640x480@60, "),
        (["--edid", "FALSE"], "--edid FALSE: EDID byte 0x7f: "),
        (["--edid", "SHORT"], "--edid SHORT: EDID byte 0x64: the data ends after 100 bytes; an EDID is made of blocks of 128 bytes"),
        (["--edid", "MISSING"], "--edid: MISSING cannot be read: No such file or directory"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, words: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("EDID").write_bytes(edid_for("1024x768"))
    Path("FALSE").write_bytes(FALSE_SUM)
    Path("SHORT").write_bytes(bytes(100))
    assert main([command, *(["--socket", "gpu.sock"] if command == "serve" else []), *words]) == 2
    assert f"host-model {command}: error: {why}" in capsys.readouterr().err
    assert not Path("gpu.sock").exists()


@pytest.mark.parametrize("kind", [[], ["--physical"]])
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--monitor", "DP-D"], "no connector 'DP-D' on bdw; there are DP-A, DP-B, DP-C, HDMI-B, HDMI-C"),
        (["--monitor", "VGA-1"], "no connector 'VGA-1' on bdw; there are DP-A, "),
        (["--monitor", "HDMI-B", "--mode", "3840x2160@60"], "3840x2160@60 has a pixel clock of 533250 kHz; HDMI takes at most 300000 kHz here"),
    ],
)
def test_what_the_platform_has_not_is_refused_with_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: list[str], words: list[str], why: str
) -> None:
    socket = tmp_path / "gpu.sock"
    assert main(["serve", "--platform", "bdw", "--socket", str(socket), *kind, *words]) == 2
    assert capsys.readouterr().err.startswith(f"host-model serve: error: {why}")
    assert not socket.exists()


# ---- what is served ----


def test_served_vgpus_have_it_and_their_firmware_declares_it(tmp_path: Path) -> None:
    served = [ServedType("GVTg_V5_8", tmp_path / "a"), ServedType("GVTg_V5_4", tmp_path / "b")]
    host = ServedHost("skl", served, aperture_size=512 << 20, monitor=MonitorChoice("HDMI-B"))
    try:
        assert [parse_opregion(host.opregion(guest) or b"").connectors for guest in (0, 1)] == [(HDMI_B,), (HDMI_B,)]
        reports = host_report(host.host)["vgpus"]
        assert isinstance(reports, list)
        assert [report["monitor"] for report in reports] == [
            {"connector": "HDMI-B", "name": "GVT 1024x768", "mode": "1024x768@60"},
            {"connector": "HDMI-B", "name": "GVT 1920x1200", "mode": "1920x1200@60"},
        ]
    finally:
        host.close()


def test_without_one_the_firmware_declares_where_one_would_be(tmp_path: Path) -> None:
    host = ServedHost("bdw", [ServedType(None, tmp_path / "a")], monitor=MonitorChoice("none"))
    try:
        (vgpu,) = host.host.vgpus.values()
        assert vgpu.display.monitor is None
        assert parse_opregion(host.opregion(0) or b"").connectors == (Connector(Port.B, Link.DISPLAYPORT),)
        assert host_report(host.host)["vgpus"][0]["monitor"] is None  # type: ignore[index]
    finally:
        host.close()


@pytest.mark.parametrize(
    ("choice", "plugged_in"),
    [
        (MonitorChoice(), None),
        (MonitorChoice("none"), None),
        (MonitorChoice("DP-B"), "GVT 1024x768 at DP-B"),
        (MonitorChoice(mode="1280x1024"), "GVT 1280x1024 at DP-D"),
    ],
)
def test_the_physical_gpu_has_one_only_when_asked(tmp_path: Path, choice: MonitorChoice, plugged_in: str | None) -> None:
    host = host_for_boot(HostRequest([tmp_path / "a"], "skl", (), None, None, physical=True, monitor=choice))
    try:
        assert isinstance(host, ServedGpu)
        monitor = host.gpu.display.monitor
        assert (None if monitor is None else str(monitor)) == plugged_in
    finally:
        host.close()


def test_a_boot_hands_the_choice_to_every_guest(tmp_path: Path) -> None:
    request = HostRequest([tmp_path / "a"], "kbl", (), None, None, monitor=MonitorChoice("DP-C", mode="1600x900"))
    host = host_for_boot(request)
    try:
        assert isinstance(host, ServedHost)
        assert [str(vgpu.display.monitor) for vgpu in host.host.vgpus.values()] == ["GVT 1600x900 at DP-C"]
    finally:
        host.close()
