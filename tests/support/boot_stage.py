"""``host-model boot`` with a QEMU that is a shell script, and with a host that counts what it is asked for."""

from __future__ import annotations

import argparse
import gc
import json
import os
import selectors
import struct
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host_model.boot import HostRequest, HostSide, NoDevices, Picture
from host_model.boot.command import add_boot_arguments, run_boot
from pvinfo.command_line import end_with_status

__all__ = ("END", "HANGS", "NOT_PROBED", "POST_FAILS", "PRINTS_MORE", "PROBED", "SPEAKS", "CountedHost", "Stage", "staged")

PROBED = """\
<5>[    0.000000] Linux version 6.12.1-amd64
<6>[    0.500000] pci 0000:00:02.0: [8086:1912] type 00 class 0x030000 conventional PCI endpoint
<12>[    3.100000] host-model: 3.10 stage init 6.12.1-amd64
<12>[    3.200000] host-model: 3.20 stage modules
<12>[    4.000000] host-model: 4.00 stage probe
<6>[    4.100000] i915 0000:00:02.0: [drm] Virtual GPU for Intel GVT-g detected.
<6>[    4.200000] [drm] Initialized i915 1.6.0 20230929 for 0000:00:02.0 on minor 0
<12>[    5.500000] host-model: 5.50 stage probed
<12>[    5.600000] host-model: 5.60 node card0
<12>[    5.600000] host-model: 5.60 node renderD128
"""
POST_FAILS = PROBED + "<12>[    5.7] host-model: 5.70 stage post\n<12>[    5.8] host-model: 5.80 post 7\n"
END = "<12>[    5.9] host-model: 5.90 stage end\n"
NOT_PROBED = PROBED.replace("Initialized i915", "Failed i915")
SPEAKS = 'cat "$here/log" >&3\n'
PRINTS_MORE = 'printf "drawn 12 boxes\\r\\n" >&4\n'
HANGS = "sleep 1000 & sleep 1000\n"


class Stage:
    """Everything a run needs, with a QEMU whose behaviour a test writes as a shell script."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        image = bytearray(0x600)
        image[0x202:0x206] = b"HdrS"
        (folder / "vmlinuz").write_bytes(image)
        busybox = bytearray(64)
        busybox[:6] = b"\x7fELF\x02\x01"
        struct.pack_into("<H", busybox, 18, 62)
        struct.pack_into("<H", busybox, 54, 56)
        (folder / "busybox").write_bytes(busybox)
        (folder / "modules").mkdir()
        (folder / "modules/modules.dep").write_text("i915.ko:\n")
        (folder / "modules/i915.ko").write_bytes(b"module")
        self.play(SPEAKS, PROBED + END)

    def add_mediator(self) -> None:
        names = ("vfio", "mdev", "kvmgt", "kvm", "vfio_iommu_type1", "vfio-pci", "kvm-amd")
        with (self.folder / "modules/modules.dep").open("a") as listing:
            for name in names:
                listing.write(f"{name}.ko:\n")
                (self.folder / f"modules/{name}.ko").write_bytes(b"module")

    def play(self, script: str, log: str = "") -> None:
        (self.folder / "log").write_text(log)
        head = """\
            #!/bin/sh
            here=$(dirname "$0")
            case "$*" in
            "-device help") echo 'name "vfio-user-pci", bus PCI'; exit 0 ;;
            -help) echo "QEMU emulator version 11.1.3"; exit 0 ;;
            esac
            echo $$ >>"$here/pids"
            for word in "$@"; do
                case "$word" in
                file,id=console,path=*) exec 3>"${word#*path=}" ;;
                file,id=post,path=*,input-path=*) post="${word#*path=}"; exec 4>"${post%,input-path=*}" 5<"${word##*path=}" ;;
                file,id=post,path=*) exec 4>"${word#*path=}" ;;
                esac
            done
        """
        program = self.folder / "qemu"
        program.write_text(textwrap.dedent(head) + script)
        program.chmod(0o755)

    def words(self, *more: str) -> list[str]:
        parts = (("qemu", "qemu"), ("kernel", "vmlinuz"), ("modules", "modules"), ("busybox", "busybox"))
        given = [word for option, name in parts for word in (f"--{option}", str(self.folder / name))]
        return [*given, "--accel", "tcg", *more]

    def run(self, *more: str, host: Callable[[HostRequest], HostSide] | None = None) -> int:
        parser = argparse.ArgumentParser()
        add_boot_arguments(parser)
        make_host = host or (lambda request: NoDevices())
        arguments = parser.parse_args(self.words(*more))
        return end_with_status("host-model boot", lambda: run_boot(arguments, make_host))

    def report(self, *more: str, host: Callable[[HostRequest], HostSide] | None = None) -> dict[str, Any]:
        target = self.folder / "report.json"
        status = self.run("--json", str(target), *more, host=host)
        report: dict[str, Any] = json.loads(target.read_text())
        assert (status == 0) is report["ok"]
        return report

    def processes_left(self) -> list[int]:
        """What still runs of all that a QEMU started; what was just killed has a moment to go."""
        sessions = {int(line) for line in (self.folder / "pids").read_text().split()}
        deadline = time.monotonic() + 10
        while (left := living_processes(sessions)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return left


def living_processes(sessions: set[int]) -> list[int]:
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _parent, _group, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) in sessions and state != "Z":
                found.append(int(entry.name))
    return found


class CountedHost:
    """A host that says what it was asked for and whether it was ended."""

    view_url: str | None = None

    def __init__(self, request: HostRequest, report: dict[str, object]) -> None:
        self.request = request
        self.closed = False
        self.pictures: list[int] = []
        self.steps = 0
        self._report = report
        self._inner = NoDevices()

    @property
    def selector(self) -> selectors.BaseSelector:
        return self._inner.selector

    def step(self, timeout_s: float) -> None:
        self.steps += 1
        self._inner.step(timeout_s)

    def picture(self, guest: int) -> Picture:
        self.pictures.append(guest)
        return Picture(b"picture %d of guest %d" % (len(self.pictures), guest))

    def opregion(self, guest: int) -> bytes | None:
        return b"OpRegion of guest %d\n" % guest

    def report(self) -> dict[str, object]:
        return self._report

    def close(self) -> None:
        self.closed = True
        self._inner.close()


def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage for one test, which must leave nothing behind."""
    made = Stage(tmp_path)
    monkeypatch.setenv("TMPDIR", str(made.temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    gc.collect()  # what tests before this one left to be found must not go away meanwhile
    before = sorted(os.listdir("/proc/self/fd"))
    yield made
    assert sorted(os.listdir("/proc/self/fd")) == before, "the run left file descriptors open"
    assert list(made.temporary.iterdir()) == [], "the run left temporary files"
