"""What commands write at their end: checked before anything is played, and written whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from pvinfo.command_line import write_whole
from pvinfo.errors import SetupError

from .outcome import Json

__all__ = ("insist_on_targets", "write_json")


def insist_on_targets(json_target: str | None, folders: Iterable[Path | None]) -> None:
    """What is to be written can be; folders are made. Raises: SetupError."""
    if json_target not in (None, "-") and not Path(json_target).parent.is_dir():
        raise SetupError(f"{json_target} cannot be written: {Path(json_target).parent} is no directory")
    for folder in folders:
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SetupError(f"{folder} cannot be made: {error.strerror}") from error


def write_json(target: str | None, content: Json) -> list[str]:
    """Write ``content`` to a file, or for ``-`` to standard output; the files that were written."""
    if target is None:
        return []
    text = json.dumps(content, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return []
    write_whole(Path(target), text)
    return [target]
