"""One guest of a run: its machine, its process, and what it has said so far."""

from __future__ import annotations

import os
import re
import selectors
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, TypeAlias, final

from host_model.boot.guest_log import GuestReport, Stage, asked_picture, judge, parse_line, stage_of
from host_model.boot.parts import QemuProgram
from host_model.boot.process import QemuProcess
from host_model.boot.qemu import GuestMachine, command_line
from host_model.boot.stream import GuestStream

__all__ = ("AskedPicture", "Guest", "StageObserver")

StageObserver: TypeAlias = Callable[[int, Stage, float], None]
"""Told of each new stage: the guest's number, the stage, and the seconds since QEMU started."""

_EXPECTED_WARNING: Final = 'warning: externally provided fw_cfg item names should be prefixed with "opt/"'
"""The name is SeaBIOS's."""

_KVM_GAVE_UP: Final = b"KVM internal error"
_WISH: Final = re.compile(rb"gvt-screenshot ([!-~]+)\r?")
_LONGEST_WISH: Final = 256


class AskedPicture(NamedTuple):
    """A picture that a guest asks for; ``waits`` tells whether it wants to hear what came of it."""

    name: str
    waits: bool


@final
class Guest:
    """A guest that runs from construction until its QEMU ends or the context is left.

    Its streams wait in ``selector``. ``copies`` names a folder that gets the kernel's log, the post
    script's output and QEMU's messages as they come. ``physical`` tells the judge what the GPU is.
    """

    def __init__(
        self,
        number: int,
        qemu: QemuProgram,
        machine: GuestMachine,
        selector: selectors.BaseSelector,
        observe: StageObserver,
        copies: Path | None = None,
        physical: bool = False,
    ) -> None:
        self.number: Final = number
        self.stage = Stage.STARTING
        self.timed_out = False
        self.halted = False
        self.asked: list[AskedPicture] = []
        """Pictures that the guest has asked for and had no answer about."""
        self._physical: Final = physical
        self._observe: Final = observe
        self._started: Final = time.monotonic()
        self._ended: float | None = None
        self._partial_line = b""
        self._partial_output = b""
        observe(number, self.stage, 0.0)
        with ExitStack() as stack:

            def stream(name: str, follow: Callable[[bytes], None] | None = None) -> GuestStream:
                copy = None if copies is None else copies / f"guest{number}-{name}.log"
                made = GuestStream(copy) if follow is None else GuestStream(copy, follow)
                stack.callback(made.close)
                return made

            # The pipes have their readers before QEMU starts: it could not open them otherwise.
            self._console: Final = stream("console", self._follow_stage)
            self._console.follow(_named_pipe(machine.console), selector)
            self._post: Final = stream("post", self._follow_output)
            self._post.follow(_named_pipe(machine.post_output), selector)
            self._answers: int | None = None
            if machine.answers is not None:
                os.mkfifo(machine.answers, 0o600)
                # Open to read as well: neither end waits for the other, and a guest that has gone breaks no pipe.
                self._answers = os.open(machine.answers, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                stack.callback(os.close, self._answers)
            self._qemu: Final = stream("qemu", self._follow_messages)
            reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self._qemu.follow(reader, selector)
            os.set_blocking(writer, True)
            try:
                process = QemuProcess(command_line(qemu, machine), writer)
            finally:
                os.close(writer)
            self._process: Final = stack.enter_context(process)
            self._resources: Final = stack.pop_all()

    def running(self) -> bool:
        """Whether QEMU still runs; once it has ended, whatever it left in the pipes is read."""
        if self.halted:
            self._process.kill()
        if self._ended is None and self._process.status() is not None:
            self._ended = time.monotonic()
            for stream in (self._console, self._post, self._qemu):
                stream.drain()
        return self._ended is None

    @property
    def seconds(self) -> float:
        """How long QEMU has run, in real time."""
        return (self._ended or time.monotonic()) - self._started

    @property
    def exit_status(self) -> int | None:
        """QEMU's exit status; None while it runs, or when it had to be stopped."""
        return None if self.timed_out or self.halted else self._process.status()

    def report(self) -> GuestReport:
        """The judgement of everything the guest's kernel said until now."""
        return judge(self._console.text(), physical=self._physical)

    def post_output(self) -> str:
        """What the post script printed until now."""
        return self._post.text()

    def qemu_messages(self) -> str:
        """What QEMU itself had to say, normally nothing."""
        return "".join(line for line in self._qemu.text().splitlines(keepends=True) if _EXPECTED_WARNING not in line)

    def answer(self, text: str) -> None:
        """Tells the guest, if it waits for that, what came of the oldest picture that it asked for: in one line."""
        if self.asked.pop(0).waits and self._answers is not None:
            with suppress(BlockingIOError):
                os.write(self._answers, f"{' '.join(text.split())}\n".encode())

    def stop(self) -> None:
        """Ends a guest that takes too long."""
        self.timed_out = True
        self._process.kill()
        self.running()

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def _follow_messages(self, data: bytes) -> None:
        """QEMU does not end when KVM gives up on a guest, it stops the machine and waits."""
        self.halted = self.halted or _KVM_GAVE_UP in data

    def _follow_stage(self, data: bytes) -> None:
        *lines, self._partial_line = (self._partial_line + data).split(b"\n")
        for raw in lines:
            line = raw.decode("utf-8", "replace")
            stage = stage_of(line)
            if stage is None and self.stage is Stage.STARTING and parse_line(line) is not None:
                stage = Stage.KERNEL
            if stage is not None:
                self.stage = stage
                self._observe(self.number, stage, self.seconds)
            elif self._answers is not None and (name := asked_picture(line)) is not None:
                self.asked.append(AskedPicture(name, waits=True))

    def _follow_output(self, data: bytes) -> None:
        """A post script may ask by a line of what it prints; it goes on meanwhile."""
        *lines, self._partial_output = (self._partial_output + data).split(b"\n")
        self._partial_output = self._partial_output[-_LONGEST_WISH:]
        if self._answers is not None:
            for line in lines:
                if match := _WISH.fullmatch(line):
                    self.asked.append(AskedPicture(match[1].decode(), waits=False))


def _named_pipe(path: Path) -> int:
    """A new named pipe's read end, non-blocking."""
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
