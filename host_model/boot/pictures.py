"""The pictures of a run: of each guest one at its end, and one whenever its post script asks for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, final

from host_model.boot.host_side import HostSide
from pvinfo.command_line import write_whole
from pvinfo.errors import SetupError

__all__ = ("KEPT", "Pictures")

KEPT: Final = "kept"
"""What a guest is answered whose picture is in its file."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""It becomes part of a file's name, and a guest may say anything."""


@final
class Pictures:
    """Writes ``folder/guest0.png``, and ``folder/guest0-NAME.png`` for pictures with a name."""

    def __init__(self, folder: Path, host: HostSide) -> None:
        self._folder: Final = folder
        self._host: Final = host
        self._files: dict[int, list[Path]] = {}
        self._missing: dict[int, str] = {}

    def files(self, guest: int) -> tuple[Path, ...]:
        """The pictures of a guest, in the order in which they were first taken."""
        return tuple(self._files.get(guest, ()))

    def missing(self, guest: int) -> str | None:
        """Why there is no picture of the guest's end; None where there is one."""
        return self._missing.get(guest)

    def take(self, guest: int, name: str = "") -> str:
        """Keep what a guest shows; without ``name`` it is the picture of its end. What to answer the guest."""
        if name and not _NAME.fullmatch(name):
            return f"{name[:80]!r} cannot be part of a file name: letters, digits, _, . and - can, 64 at most"
        picture = self._host.picture(guest)
        why = picture.why
        if picture.png is not None:
            path = self._folder / (f"guest{guest}-{name}.png" if name else f"guest{guest}.png")
            try:
                write_whole(path, picture.png)
            except SetupError as error:
                why = str(error)
            else:
                files = self._files.setdefault(guest, [])
                if path not in files:
                    files.append(path)
                if not name:
                    self._missing.pop(guest, None)
                return KEPT
        if not name:
            self._missing[guest] = why
        return why

    def finish(self, guest: int) -> None:
        """The guest has ended: keep what it showed last, unless its end is in a picture or known to show nothing."""
        if guest not in self._missing and self._folder / f"guest{guest}.png" not in self.files(guest):
            self.take(guest)
