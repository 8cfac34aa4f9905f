"""Screens written to files by ``host-model serve``: at its end, and whenever a signal asks for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

from pvinfo.command_line import write_whole
from pvinfo.errors import SetupError, UsageError

from ..scanout import Frame, png, raw_frame
from .shows import file_of
from .view import Viewed

__all__ = ("ScreenshotFiles",)

_FORMATS: Final[dict[str, Callable[[Frame], bytes]]] = {".png": png, ".raw": raw_frame}


@final
class ScreenshotFiles:
    """What ``--screenshot`` names: one file, or with several devices one each.

    Raises: UsageError for a name that tells no format; SetupError for a folder that cannot be written.
    """

    def __init__(self, path: Path) -> None:
        encode = _FORMATS.get(path.suffix.lower())
        if encode is None:
            raise UsageError(f"--screenshot {path}: the name ends in {' or '.join(_FORMATS)}, which tells the format")
        if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
            raise SetupError(f"--screenshot: {path} cannot be written: {path.parent} must be a folder that this user may write in")
        self._path: Final = path
        self._encode: Final = encode
        self.failed = False
        """A picture that was there could not be written."""

    def write(self, devices: Sequence[Viewed]) -> None:
        """Write what each device shows. What is missing, and why, is said on standard error."""
        for device in devices:
            path = file_of(self._path, device.number, alone=len(devices) == 1)
            frame = device.screen.look()
            if frame is None:
                print(f"{device.screen.nothing_shown}; {path} is not written", file=sys.stderr, flush=True)
                continue
            try:
                write_whole(path, self._encode(frame))
            except SetupError as error:
                self.failed = True
                print(f"{device.screen.title}: {error}", file=sys.stderr, flush=True)
