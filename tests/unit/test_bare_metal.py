"""The physical GPU as one machine's own: its windows, its aperture through fences, and served over a socket."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guest_driver.transport.vfio_user import connect
from host_model.bare_metal import bare_machine
from host_model.gpu.aperture import untiled
from pvinfo.bus import Region
from pvinfo.page import PVINFO_BASE
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress

GTT_OFFSET = 8 * MIB


def region(found: Region | None) -> Region:
    assert found is not None
    return found


def fence(start: int, size: int, pitch: int, *, tiling_y: bool = False) -> int:
    last = start + size - PAGE_SIZE
    return last << 32 | (pitch // 128 - 1) << 32 | start | tiling_y << 1 | 1


def test_there_is_no_page_on_bare_metal() -> None:
    gpu, machine = bare_machine("skl")
    assert region(machine.gpu.bar(0)).read(PVINFO_BASE, 8) == 0


def test_a_table_entry_reads_back_and_leads_the_aperture_to_memory() -> None:
    gpu, machine = bare_machine("skl")
    registers, aperture = region(machine.gpu.bar(0)), region(machine.gpu.bar(2))
    registers.write(GTT_OFFSET + 8 * 5, 8, 0x7000 | 1)
    assert registers.read(GTT_OFFSET + 8 * 5, 8) == 0x7001
    aperture.write(5 * PAGE_SIZE + 0x10, 4, 0xCAFE)
    assert machine.memory.read(GuestAddress(0x7010), 4) == (0xCAFE).to_bytes(4, "little")
    assert aperture.read(6 * PAGE_SIZE, 4) == 0xFFFFFFFF, "an entry that nobody wrote leads nowhere"


@pytest.mark.parametrize(
    ("tiling_y", "address", "place"),
    [
        (False, 0x10_0000, 0x10_0000),
        (False, 0x10_0000 + 512, 0x10_0000 + 4096),  # the next tile of the same row
        (False, 0x10_0000 + 1024, 0x10_0000 + 512),  # the next row
        (True, 0x10_0000 + 16, 0x10_0000 + 512),  # the next column of the same tile
        (True, 0x10_0000 + 128, 0x10_0000 + 4096),
        (True, 0x10_0000 + 1024, 0x10_0000 + 16),
        (True, 0x10_0000 + 32 * 1024, 0x10_0000 + 8 * 4096),
    ],
)
def test_a_fence_sends_a_byte_where_its_tiling_keeps_it(tiling_y: bool, address: int, place: int) -> None:
    assert untiled(fence(0x10_0000, 64 * PAGE_SIZE, 1024, tiling_y=tiling_y), address) == place


def test_every_byte_of_a_whole_surface_has_a_place_of_its_own() -> None:
    for tiling_y, pitch, rows in ((False, 1024, 16), (True, 256, 64)):
        value = fence(0x10_0000, pitch * rows, pitch, tiling_y=tiling_y)
        places = {untiled(value, 0x10_0000 + offset) for offset in range(pitch * rows)}
        assert places == set(range(0x10_0000, 0x10_0000 + pitch * rows))


def test_nothing_is_reached_behind_a_fence_that_holds_no_whole_tiles() -> None:
    assert untiled(fence(0x10_0000, PAGE_SIZE, 1024), 0x10_0000 + 512) is None


def test_the_aperture_detiles_through_a_fence() -> None:
    gpu, machine = bare_machine("skl")
    registers, aperture = region(machine.gpu.bar(0)), region(machine.gpu.bar(2))
    for page in range(16):
        registers.write(GTT_OFFSET + 8 * (256 + page), 8, (0x20_0000 + page * PAGE_SIZE) | 1)
    value = fence(0x10_0000, 16 * PAGE_SIZE, 512, tiling_y=True)
    registers.write32(FENCE_BASE, value & 0xFFFFFFFF)
    registers.write32(FENCE_BASE + 4, value >> 32)
    aperture.write(0x10_0000 + 512 * 3 + 130, 2, 0xBEEF)
    assert machine.memory.read(GuestAddress(0x20_0000 + 4096 + 3 * 16 + 2), 2) == b"\xef\xbe"
    assert aperture.read(0x10_0000 + 512 * 3 + 130, 2) == 0xBEEF


def test_the_physical_gpu_is_served_to_a_client(tmp_path: Path) -> None:
    socket, report = tmp_path / "gpu.sock", tmp_path / "report.json"
    command = [sys.executable, "-m", "host_model", "serve", "--physical", "--socket", str(socket), "--once", "--json", str(report)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == f"ready {socket}\n"
        with connect(socket, 4 * MIB) as machine:
            registers, aperture = region(machine.gpu.bar(0)), region(machine.gpu.bar(2))
            registers.write(GTT_OFFSET, 8, 0x3000 | 1)
            aperture.write(8, 4, 0x1234)
            deadline = time.monotonic() + 10
            while machine.memory.read(GuestAddress(0x3008), 2) != b"\x34\x12" and time.monotonic() < deadline:
                registers.read32(0)
            assert machine.memory.read(GuestAddress(0x3008), 2) == b"\x34\x12"
        assert server.wait(10) == 0
    seen = json.loads(report.read_text())
    assert (seen["ok"], seen["vgpus"], seen["gpu"]["ggtt_writes"]) == (True, [], 1)


@pytest.mark.parametrize(
    "arguments", [["--physical"], ["--physical", "--socket", "x", "--type", "GVTg_V5_8"], ["--physical", "--vgpu", "GVTg_V5_8=x"]]
)
def test_the_physical_gpu_is_one_device_without_a_type(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "host_model", "serve", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--physical serves one device" in done.stderr
