"""A frame in shared memory: the newest one, in a file that other programs map.

The file is a header (:mod:`pvinfo.frame`) and the pixels. It is written only when what is shown has changed, at the
display's rate at most; while nothing changes, and while nobody shows anything, it is looked at less and less often.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Final, final

from pvinfo.errors import SetupError

from ..clock import HostClock, Timer
from ..scanout import Frame, raw_size, same_picture, write_frame_into
from .screen import Screen

__all__ = ("SharedFrame",)

_SECOND_NS: Final = 1_000_000_000
_PERIOD_NS: Final = _SECOND_NS // 60
"""Between two looks at a screen that changes, where its mode says nothing else."""
_LONGEST_NS: Final = _SECOND_NS // 4
"""Between two looks at a screen that does not."""
_MOST_TIME: Final = 4
"""Of all time, the looks take this part at most: guests are served in the rest."""


@final
class SharedFrame:
    """The file at ``path``, kept up to date with ``screen`` by timers of ``clock`` until it is closed, and then removed.

    Who has an older file of that name open keeps it: this one is new. Raises: SetupError when it cannot be made.
    """

    def __init__(self, path: Path, screen: Screen, clock: HostClock) -> None:
        self._path: Final = path
        self._screen: Final = screen
        self._clock: Final = clock
        self._sequence = 0
        self._frame: Frame | None = None
        self._pause_ns = _PERIOD_NS
        self._file, self._memory = self._make()
        status = os.fstat(self._file)
        self._identity: Final = (status.st_dev, status.st_ino)
        self._timer: Timer = clock.call_after(0, self._refresh)

    def close(self) -> None:
        """Remove the file, unless another one has taken its place."""
        self._timer.cancel()
        self._write(None)
        self._memory.close()
        os.close(self._file)
        try:
            status = self._path.lstat()
            if (status.st_dev, status.st_ino) == self._identity:
                self._path.unlink()
        except OSError:
            pass

    def _make(self) -> tuple[int, mmap.mmap]:
        """The file with nothing shown, which appears complete."""
        size = raw_size(None)
        try:
            file, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            try:
                os.ftruncate(file, size)
                memory = mmap.mmap(file, size)
                write_frame_into(memoryview(memory), None, self._sequence)
                os.replace(name, self._path)
            except BaseException:
                os.unlink(name)
                os.close(file)
                raise
        except OSError as error:
            raise SetupError(f"--frame: {self._path} cannot be made: {error.strerror}") from None
        return file, memory

    def _refresh(self) -> None:
        began_ns = self._clock.now_ns()
        frame = self._screen.look()
        if same_picture(frame, self._frame):
            self._pause_ns = min(2 * self._pause_ns, _LONGEST_NS)
        else:
            self._write(frame)
            self._pause_ns = self._period_ns()
        took_ns = self._clock.now_ns() - began_ns
        self._timer = self._clock.call_at(began_ns + max(self._pause_ns, _MOST_TIME * took_ns), self._refresh)

    def _period_ns(self) -> int:
        pipes = self._screen.device.display.pipes
        running = pipes.running
        mode = pipes.mode(running[0]) if running else None
        return _PERIOD_NS if mode is None else int(mode.period_ns)

    def _write(self, frame: Frame | None) -> None:
        self._sequence += 2
        size = raw_size(frame)
        if size > len(self._memory):
            # It never shrinks: readers have it mapped.
            self._memory.close()
            os.ftruncate(self._file, size)
            self._memory = mmap.mmap(self._file, size)
        with memoryview(self._memory) as memory:
            write_frame_into(memory, frame, self._sequence)
        self._frame = frame
