"""Real guests one by one, beside a server of their own: for those who end, or are ended, at a moment that a test chooses."""

from __future__ import annotations

import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import final

from host_model.boot import GuestMachine, QemuProgram, choose_accelerator, find_parts
from host_model.boot.guest import Guest
from host_model.boot.initramfs import AddedFile, build_image
from host_model.boot.parts import kernel_release

__all__ = ("Machines",)

_MEMORY_MIB = 512


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
    def started(self, socket: Path, opregion: Path, *environment: str) -> Iterator[Guest]:
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
