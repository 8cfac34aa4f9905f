"""The device of the host's own driver on a socket, beside guests on theirs. How its machine is killed, see test_killed_guests.py."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from support.lit_screen import lit_by
from support.own_device import probed, stores
from support.serving import serving_own
from support.vfio_wire import Raw, memfd, open_fds, region_write

from guest_driver import GuestDriver
from guest_driver.__main__ import main as play
from guest_driver.transport.vfio_user import connect
from host_model.__main__ import main
from host_model.clock import RealClock
from host_model.host import Host
from host_model.mediator.host_path.memory import HOST_RAM_END, HostRam, SharedHostRam
from host_model.memory import HostMemory
from host_model.monitor_choice import MonitorChoice
from host_model.scanout import same_picture, scan_out
from host_model.serving import OwnPlace, ServedHost, ServedType
from host_model.view.shows import Wanted
from host_model.view.view import Site, View
from pvinfo.errors import PeerError, SetupError, UsageError
from pvinfo.page import PVINFO_BASE
from pvinfo.platform import Engine
from pvinfo.trace import Op, read_trace
from pvinfo.units import GIB, MIB, PAGE_SIZE, BusAddress
from pvinfo.vfio_user import DmaMap, DmaMapFlags

SECOND_NS = 1_000_000_000
STORIES = ("first-request-on-host", "copies-of-memory-on-host", "fill-x-tiles-on-host", "unknown-command-on-host", "written-through-fence-on-host")


@pytest.mark.parametrize(("platform", "guest"), [("skl", "GVTg_V5_8"), ("bdw", "GVTg_V4_8")])
def test_stories_of_the_hosts_own_driver_are_played_over_its_socket(tmp_path: Path, platform: str, guest: str) -> None:
    report, played = tmp_path / "report.json", tmp_path / "played.json"
    with serving_own(tmp_path, guest, words=["--platform", platform, "--own-weight", "3", "--json", str(report)]) as (own, other):
        words = ["--connect", str(own), "--connect", str(other), "--json", str(played)]
        assert play(["run", *STORIES, "first-request-on-vgpu", *words]) == 0
    summary = json.loads(played.read_text())
    assert (summary["passed"], summary["failed"], summary["skipped"]) == (len(STORIES) + 1, 0, 0)
    assert [(served["number"], served["socket"]) for kind in ("hosts", "vgpus") for served in summary[kind]] == [(0, str(own)), (1, str(other))]
    told = json.loads(report.read_text())
    host, (vgpu,) = told["host"], told["vgpus"]
    assert told["gpu"]["isolation_violations"] == 0
    assert (host["socket"], host["number"], host["schedule"]["weight"]) == (str(own), 0, 3)
    assert host["pv"]["detected"] and host["mmio"]["passed"] > 0 and host["interrupts"] > 0
    assert min(host["requests"].values()) > 0 and min(vgpu["requests"].values()) > 0


def test_both_work_at_the_same_time_and_each_in_its_own_memory(tmp_path: Path) -> None:
    with serving_own(tmp_path, "GVTg_V5_8") as sockets:
        with connect(sockets[0], 64 * MIB) as own, connect(sockets[1], 64 * MIB) as guest:
            drivers = [probed(GuestDriver(machine, vgpu_required=True)) for machine in (own, guest)]
            for round_ in range(4):
                for engine in (Engine.RCS0, Engine.BCS0, Engine.VCS0, Engine.VECS0):
                    pending = [stores(driver, engine, 0x100 * round_ + number) for number, driver in enumerate(drivers)]
                    for number, (target, request) in enumerate(pending):
                        request.wait(30 * SECOND_NS)
                        assert target.read_dword(0) == 0x100 * round_ + number
            assert [driver.log.complaints() for driver in drivers] == [(), ()]


def test_accesses_of_both_kinds_of_registers_are_recorded_in_order(tmp_path: Path) -> None:
    trace = tmp_path / "trace.tsv"
    with serving_own(tmp_path, "GVTg_V5_8", words=["--trace", str(trace)]) as sockets, connect(sockets[0], MIB) as machine:
        registers = machine.gpu.bar(0)
        assert registers is not None
        registers.write(0x45400, 4, 0x11)
        magic = registers.read(PVINFO_BASE, 8)
        registers.write(0x4F100, 4, 0xABCD)
        assert registers.read(0x4F100, 4) == 0xABCD
        registers.write(8 * MIB + 8, 8, 0x5001)
        assert registers.read(8 * MIB + 8, 8) == 0x5001
    rows = [row[1:5] for row in read_trace(tmp_path / "0-trace.tsv") if row.op not in (Op.CONFIG_READ, Op.CONFIG_WRITE)]
    assert rows == [
        (Op.WRITE, 4, 0x45400, 0x11), (Op.READ, 4, PVINFO_BASE, magic & 0xFFFFFFFF), (Op.READ, 4, PVINFO_BASE + 4, magic >> 32),
        (Op.WRITE, 4, 0x4F100, 0xABCD), (Op.READ, 4, 0x4F100, 0xABCD), (Op.GGTT_WRITE, 8, 8, 0x5001),
        (Op.GGTT_READ, 8, 8, 0x5001),
    ]  # fmt: skip
    assert (tmp_path / "1-trace.tsv").exists()


# ---- its screen ----


def test_its_screen_is_the_physical_one_which_goes_dark_when_its_machine_leaves_and_is_remembered(tmp_path: Path) -> None:
    host = ServedHost("skl", [ServedType(None, tmp_path / "a.sock")], own=OwnPlace(tmp_path / "own.sock", 3), wanted=Wanted(pictures=True))
    with closing(host):
        view = View(Site("skl", host.screens, host.report, host.totals))
        own, guest = host.screens
        client = Raw(tmp_path / "own.sock", lambda: host.step(0.005))
        for offset, value in lit_by(64, 48, 0x123456):
            client.ask(region_write(0, offset, value.to_bytes(4, "little")), 32)
        shown = own.screen.look()
        assert shown is not None and (shown.width, shown.height) == (64, 48) and guest.screen.look() is None
        assert scan_out(host.host.gpu) is not None
        page = b"".join(list(view.answer("/").wire(chunked=False))[1:]).decode()
        assert page.index('<h2 id="head-0"') < page.index('<h2 id="head-1"')
        assert "<tr><th>weight</th><td>3</td></tr>" in page and "the host&#x27;s own device" in page
        client.close()
        while own.connected():
            host.step(0.005)
        last = own.screen.look()
        assert last is not None and same_picture(last, shown) and scan_out(host.host.gpu) is None
    assert list(tmp_path.iterdir()) == []


# ---- its memory ----


def dma_map(address: int, size: int) -> DmaMap:
    return DmaMap(32, DmaMapFlags.of(readable=1, writable=1, mmap=1), 0, address, size)


def test_its_memory_is_found_at_the_machines_own_addresses_until_it_goes() -> None:
    memory = HostMemory()
    ram = SharedHostRam(memory)
    fd = memfd(4 * PAGE_SIZE, b"first page")
    try:
        ram.map(dma_map(0x10_0000, 4 * PAGE_SIZE), fd)
    finally:
        os.close(fd)
    page = memory.page(BusAddress(0x10_0000))
    assert page is not None and bytes(page[:10]) == b"first page"
    page[:5] = b"FIRST"
    assert ram.ram.read(0x10_0000, 10) == b"FIRST page"
    del page
    assert memory.page(BusAddress(0x10_0000 + 4 * PAGE_SIZE)) is None
    revision, gone = memory.revision, []
    ram.on_leaving = lambda: gone.append(memory.page(BusAddress(0x10_0000)) is not None)
    ram.disconnect()
    assert gone == [True] and memory.revision > revision and memory.page(BusAddress(0x10_0000)) is None
    ram.close()
    HostRam(MIB, memory).close()


@pytest.mark.parametrize(("address", "size"), [(HOST_RAM_END, PAGE_SIZE), (HOST_RAM_END - PAGE_SIZE, 2 * PAGE_SIZE), (4 * GIB, MIB)])
def test_memory_where_the_gpu_and_the_host_keep_theirs_is_refused(address: int, size: int) -> None:
    memory = HostMemory()
    ram = SharedHostRam(memory)
    fd = memfd(MIB)
    try:
        with pytest.raises(PeerError, match="RAM of the host's own machine ends at 0x7c000000, where firmware's begins"):
            ram.map(dma_map(address, size), fd)
        ram.map(dma_map(HOST_RAM_END - PAGE_SIZE, PAGE_SIZE), fd)
    finally:
        os.close(fd)
    assert memory.page(BusAddress(HOST_RAM_END - PAGE_SIZE)) is not None
    assert memory.owner_of(memory.allocate_page()) == 0
    ram.close()


# ---- what is refused ----


def test_a_host_has_one_driver_of_its_own_on_whatever_clock() -> None:
    host = Host(clock=RealClock())
    ram = SharedHostRam(host.memory)
    device = host.create_own_device(ram, weight=5)
    assert host.own is device and device.weight == 5
    with pytest.raises(UsageError, match="it has one driver; close the first"):
        host.create_own_device(ram)
    with pytest.raises(UsageError, match="it has one driver; close the first"):
        host.own_device()
    device.close()
    with pytest.raises(UsageError, match="runs on virtual time, but the host's clock is real"):
        host.own_device()
    host.create_own_device(SharedHostRam(host.memory)).close()


def test_what_cannot_be_served_leaves_nothing(tmp_path: Path) -> None:
    before = open_fds()
    place = OwnPlace(tmp_path / "own.sock")
    for refused, why in (
        ({"own": place._replace(weight=0)}, "weight 0 for the host's own device"),
        ({"own": place, "monitor": MonitorChoice("DP-Z")}, "DP-Z"),
        ({"own": place._replace(path=tmp_path / "no" / "own.sock")}, "own.sock"),
    ):
        with pytest.raises((UsageError, SetupError), match=why):
            ServedHost("skl", [ServedType(None, tmp_path / "a.sock")], **refused)
        assert list(tmp_path.iterdir()) == []
    assert open_fds() == before


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--own", "a", "--own", "b"], "--own a --own b: a host has one driver of its own"),
        (["--own", "a", "--physical", "--socket", "b"], "--own with --physical: there a machine has the whole GPU, and no mediator has a part of it for anybody"),
        (["--socket", "a", "--own-weight", "3"], "--own-weight 3 is of the host's own device: it goes with --own"),
        (["--own", "a", "--own-weight", "17"], "weight 17 for the host's own device: weights go from 1 to 16"),
        (["--own", "a", "--opregion", "b"], "--opregion is of vGPUs: the host's own machine (--own) has firmware of its own"),
        ([], "nothing to serve: give --socket PATH, --vgpu T=PATH, --own PATH or --mdev DIR"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: Sequence[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *words]) == 2
    assert capsys.readouterr() == ("", f"host-model serve: error: {why}\n")
    assert list(tmp_path.iterdir()) == []
