"""Real guests one by one, beside a server of their own: for those who end, or are ended, at a moment that a test chooses."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import final

from host_model.boot import GuestMachine, QemuProgram, choose_accelerator, find_parts
from host_model.boot.guest import Guest
from host_model.boot.initramfs import AddedFile, build_image
from host_model.boot.parts import kernel_release

from support.watched_server import HELD_BY_NOBODY, WatchedServer, watched_server

__all__ = ("NEIGHBOUR", "OTHER", "Beside", "Machines", "beside_a_neighbour")

OTHER, NEIGHBOUR = 0, 1

_MEMORY_MIB = 512
_PATIENCE_S = 150
_NEIGHBOUR = """\
[ "$ROLE" = neighbour ] && while PATTERN_SEED=7 PATTERN_SECONDS=1 /bin/workload pattern; do sleep 1; done && exit 1
"""


@final
class Machines:
    """Machines alike but for their kernel's arguments, which are the environment of the script that they run.

    Their consoles are read whenever :meth:`step` is called, which whoever has machines does all the time.
    """

    def __init__(self, folder: Path, post: str, workload: Path, *, reboots: bool = False) -> None:
        """``reboots``: a guest that reboots goes on; otherwise its QEMU ends."""
        self._folder = folder
        self._parts = find_parts(None, None, None, None)
        self._selector = selectors.DefaultSelector()
        self._made = 0
        script = folder / "post.sh"
        script.write_text(f"#!/bin/sh\n{post}")
        image = build_image(
            self._parts.busybox, self._parts.modules, kernel_arguments=(), kernel_release=kernel_release(self._parts.kernel),
            post=script, added=(AddedFile(workload, PurePosixPath("/bin/workload")),),
        )  # fmt: skip
        self._initramfs = folder / "initramfs"
        self._initramfs.write_bytes(image.archive)
        self._arguments = tuple(image.kernel_arguments)
        self._qemu = _that_reboots(self._parts.qemu, folder) if reboots else self._parts.qemu

    def step(self, timeout_s: float = 0.0) -> None:
        """Read what the guests have said, for so long at most."""
        for key, events in self._selector.select(timeout_s):
            key.data(events)

    @contextmanager
    def started(self, socket: Path, opregion: Path | None, *environment: str) -> Iterator[Guest]:
        """A machine that runs; in the end its QEMU is killed, as by SIGKILL."""
        self._made += 1
        folder = self._folder / f"machine{self._made}"
        folder.mkdir()
        machine = GuestMachine(
            kernel=self._parts.kernel, initramfs=self._initramfs, kernel_arguments=(*self._arguments, *environment),
            memory_mib=_MEMORY_MIB, accelerator=choose_accelerator(), console=folder / "console", post_output=folder / "post",
            gpu_socket=socket, opregion=opregion,
        )  # fmt: skip
        with Guest(self._made, self._qemu, machine, self._selector, lambda number, stage, seconds: None, folder) as guest:
            yield guest

    def close(self) -> None:
        """There are no machines any more."""
        self._selector.close()


def _that_reboots(qemu: QemuProgram, folder: Path) -> QemuProgram:
    program = folder / "qemu"
    program.write_text(f'#!/bin/sh\nfor word; do shift; [ "$word" = -no-reboot ] || set -- "$@" "$word"; done\nexec {qemu.path} "$@"\n')
    program.chmod(0o755)
    return qemu._replace(path=program)


class Beside:
    """A server of two, a neighbour at work, and one other guest after another."""

    def __init__(self, server: WatchedServer, machines: Machines, opregions: list[Path], neighbour: Guest) -> None:
        self.server = server
        self.machines = machines
        self.opregions = opregions
        self.neighbour = neighbour

    @contextmanager
    def start(self, role: str) -> Iterator[Guest]:
        """The other guest, killed in the end; the script finds what it is to do in ``$ROLE``."""
        with self.machines.started(self.server.sockets[OTHER], self.opregions[OTHER], f"ROLE={role}") as guest:
            yield guest

    def until(self, happened: Callable[[], bool]) -> None:
        """Let the machines run until something has happened."""
        deadline = time.monotonic() + _PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline, f"not within {_PATIENCE_S} s; the neighbour: {self.neighbour.post_output()!r}"
            self.machines.step(0.02)

    def rounds(self) -> int:
        """How often the neighbour has drawn its pattern for a second, and found it."""
        self.machines.step()
        output = self.neighbour.post_output()
        assert "FAILED" not in output and "not-ok" not in output, output
        return output.count("ok pattern")

    def neighbour_goes_on(self) -> None:
        """It draws its pattern anew from now on, and finds it."""
        done = self.rounds()
        # One may have ended since; another one was begun before.
        self.until(lambda: self.rounds() >= done + 2)


@contextmanager
def beside_a_neighbour(folder: Path, post: str, workload: Path, *, reboots: bool = False) -> Iterator[Beside]:
    """In the end nothing is held that was not held before the first guest came, and nobody reached what was not its own."""
    opregion = folder / "opregion"
    opregions = [folder / f"{number}-opregion" for number in (1, 2)]
    with watched_server(folder, "GVTg_V5_8", "GVTg_V5_8", words=("--opregion", str(opregion))) as server:
        nothing = server.at_rest(OTHER)
        with (
            closing(Machines(folder, _NEIGHBOUR + post, workload, reboots=reboots)) as machines,
            machines.started(server.sockets[NEIGHBOUR], opregions[NEIGHBOUR], "ROLE=neighbour") as neighbour,
        ):
            beside = Beside(server, machines, opregions, neighbour)
            beside.until(lambda: beside.rounds() > 0)
            yield beside
            report = neighbour.report()
            assert report.warnings == () and not report.wedged
            told = server.vgpu(NEIGHBOUR)
            assert [finding for finding in told["findings"] if finding["kind"] != "note"] == []
            assert told["failsafe"] is None and "engine" not in told["resets_by_kind"]
        assert server.until(lambda vgpu: not vgpu["screen"]["connected"], NEIGHBOUR)
        assert server.at_rest(OTHER, nothing) == nothing
        assert server.vgpu(NEIGHBOUR)["held"] == HELD_BY_NOBODY
        assert server.state()["gpu"]["isolation_violations"] == 0
