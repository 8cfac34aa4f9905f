"""A vGPU without a virtual machine: the example, and many processes each on a socket of one server."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from guest_driver.__main__ import main
from support.serving import serving

EXAMPLE: Final = Path(__file__).with_name("vgpu_without_a_machine.py")


def test_the_example_draws_in_process_and_behind_a_socket(tmp_path: Path) -> None:
    with serving(tmp_path, "GVTg_V5_8") as sockets:
        for words in ([], [str(sockets[0])]):
            done = subprocess.run([sys.executable, "-W", "error", str(EXAMPLE), *words], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout, done.stderr) == (0, "996633ff996633ff996633ff ffffffffffffffff996633ff\n", "")


# ---- many processes ----

CONTAINERS: Final = """\
[container]
low_mib = 64
high_mib = 128
fences = 1
weight = 2
resolution = "1024x768"
"""
"""The kernel's types fit seven times into a GPU at most."""
MANY: Final = 8
STORIES: Final = ("store-and-read-back-on-vgpu", "fill-x-tiles-on-vgpu", "copy-within-surface-on-vgpu", "clients-apart-on-vgpu")


@contextmanager
def many(folder: Path) -> Iterator[tuple[list[Path], int, Path]]:
    """A server of many vGPUs: their sockets, its process, where its report will be."""
    types, report = folder / "types.toml", folder / "report.json"
    types.write_text(CONTAINERS)
    with serving(folder, *["container"] * MANY, words=["--types", str(types), "--json", str(report)]) as sockets:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(sockets[0]))
            (server, _, _) = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        yield sockets, server, report


def held_by(server: int) -> tuple[int, int]:
    """What a server holds of its clients: file descriptors, and mappings of their memory."""
    maps = Path(f"/proc/{server}/maps").read_text()
    return len(list(Path(f"/proc/{server}/fd").iterdir())), maps.count("memfd:guest-ram")


def gives_back(server: int, idle: tuple[int, int]) -> bool:
    """The server holds no more than when it was idle."""
    return all(now <= before for now, before in zip(held_by(server), idle, strict=True))


class Busy:
    """A process that keeps a vGPU busy."""

    def __init__(self, path: Path, color: int) -> None:
        command = [sys.executable, "-m", "support.vgpu_client", str(path), hex(color)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hears(self, word: str) -> None:
        assert self.process.stdout is not None and self.process.stdout.readline() == f"{word}\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Its exit status, when it is asked to end."""
        self.process.communicate(timeout=60)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.end()


@pytest.mark.full
def test_eight_processes_tell_their_stories_at_once_each_on_its_own_vgpu(tmp_path: Path) -> None:
    with many(tmp_path) as (sockets, _, report):
        commands = [[sys.executable, "-m", "guest_driver", "run", *STORIES, "--slower", "20", "--seed", str(index), "--connect", str(path)] for index, path in enumerate(sockets)]
        runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        told = [run.communicate(timeout=120)[0] for run in runs]
        assert [run.returncode for run in runs] == [0] * MANY, "".join(told)
        assert all(f": {len(STORIES)} passed, 0 failed, 0 skipped" in text for text in told)
    found = json.loads(report.read_text())
    assert (found["ok"], found["gpu"]["isolation_violations"]) == (True, 0)
    assert all(min(vgpu["requests"].values()) > 0 for vgpu in found["vgpus"]), "each engine of each vGPU had work"


@pytest.mark.full
def test_of_eight_busy_processes_one_is_killed_and_the_others_its_socket_and_their_shares_are_as_they_were(tmp_path: Path) -> None:
    with many(tmp_path) as (sockets, server, report), ExitStack() as held:
        idle = held_by(server)
        assert idle[1] == 0
        clients = [Busy(path, 0x11111111 * (index + 1)) for index, path in enumerate(sockets)]
        for client in clients:
            held.callback(client.kill)
            client.hears("ready")
        assert held_by(server)[1] == MANY
        for client in clients:
            client.go()
        for client in clients * 2:
            client.hears("drawn")
        killed = clients.pop(3)
        killed.kill()
        assert killed.process.returncode == -signal.SIGKILL
        for client in clients * 2:
            client.hears("drawn")
        assert held_by(server)[1] == MANY - 1
        clients.append(Busy(sockets[3], 0xFEDCBA98))
        held.callback(clients[-1].kill)
        clients[-1].hears("ready")
        clients[-1].go()
        for client in clients * 2:
            client.hears("drawn")
        assert [client.end() for client in clients] == [0] * MANY
        assert main(["run", STORIES[0], "--connect", str(sockets[3])]) == 0
        # The server hears of the last one's end in its own time, as it did of the one that asked for its number.
        end = time.monotonic() + 20
        while not gives_back(server, idle) and time.monotonic() < end:
            time.sleep(0.01)
        assert gives_back(server, idle), (held_by(server), idle)
    found = json.loads(report.read_text())
    assert (found["ok"], found["gpu"]["isolation_violations"]) == (True, 0)
    schedules = [vgpu["schedule"] for vgpu in found["vgpus"]]
    del schedules[3]
    assert all(schedule["share"] > 1 / (4 * MANY) for schedule in schedules), [schedule["text"] for schedule in schedules]
