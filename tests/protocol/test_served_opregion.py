"""Served vGPUs tell of their connector: as a region of the device, and in a file for the guest's firmware."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from host_model.__main__ import main
from host_model.device.display.monitor import Monitor
from host_model.host import Host
from host_model.mediator.firmware import declared_connectors, opregion_of
from host_model.serving import ServedGpu, ServedHost, ServedType
from pvinfo.connector import Connector, Link, Port, default_connector
from pvinfo.opregion import OPREGION_SIZE, opregion, parse_opregion
from pvinfo.platform import PLATFORMS

HDMI_C = Connector(Port.C, Link.HDMI)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_vgpu_declares_the_connector_where_the_kernels_mediator_plugs_its_monitor_in(platform: str) -> None:
    vgpu = Host(platform).plug().vgpu
    assert declared_connectors(vgpu) == (default_connector(PLATFORMS[platform]),)
    assert parse_opregion(opregion_of(vgpu)).connectors == declared_connectors(vgpu)


def test_a_monitor_elsewhere_is_declared_where_it_is_and_a_pulled_one_where_it_might_be() -> None:
    vgpu = Host("skl").plug().vgpu
    vgpu.display.plug(Monitor.of_resolution(HDMI_C, "1024x768"))
    assert parse_opregion(opregion_of(vgpu)).connectors == (HDMI_C,)
    vgpu.display.unplug()
    assert parse_opregion(opregion_of(vgpu)).connectors == (Connector(Port.D, Link.DISPLAYPORT),)


def test_each_served_vgpu_shows_its_own_as_region_9_and_the_physical_gpu_has_none(tmp_path: Path) -> None:
    host = ServedHost("bdw", [ServedType(None, tmp_path / name) for name in "ab"])
    try:
        for guest, device in enumerate(host.devices):
            regions = device.server.regions
            assert regions.count == 12
            assert regions.read(9, 0, OPREGION_SIZE) == host.opregion(guest) == opregion([Connector(Port.B, Link.DISPLAYPORT)], PLATFORMS["bdw"])
    finally:
        host.close()
    gpu = ServedGpu("bdw", tmp_path / "c")
    try:
        assert gpu.devices[0].server.regions.count == 9
    finally:
        gpu.close()


@pytest.mark.parametrize(("sockets", "files"), [(1, ["opregion.bin"]), (2, ["1-opregion.bin", "2-opregion.bin"])])
def test_the_file_is_there_when_the_socket_is_ready(tmp_path: Path, sockets: int, files: list[str]) -> None:
    types = [word for number in range(sockets) for word in ("--vgpu", f"GVTg_V5_8={tmp_path / str(number)}")]
    command = [sys.executable, "-m", "host_model", "serve", "--platform", "kbl", "--opregion", str(tmp_path / "opregion.bin"), *types]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith("ready ")
            written = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        finally:
            server.terminate()
        assert server.wait(30) == 0
    assert written == dict.fromkeys(files, opregion([Connector(Port.D, Link.DISPLAYPORT)], PLATFORMS["kbl"]))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--physical"], "--opregion is of vGPUs: a machine's own GPU (--physical) is described by the machine's own firmware"),
        ([], "cannot be written: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_is_refused_and_no_socket_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    socket = tmp_path / "gpu.sock"
    assert main(["serve", "--socket", str(socket), "--opregion", str(tmp_path / "none" / "opregion.bin"), *words]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.rstrip().endswith(why)) == ("", True)
    assert not socket.exists()
