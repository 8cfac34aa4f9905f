"""Writing the rendered documentation to a directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..command_line import write_whole
from ..errors import SetupError, UsageError
from .c_header import render_c_header
from .html import render_html
from .markdown import render_markdown
from .model import Documentation

__all__ = ("FORMATS", "render", "write_documentation")

Renderer = Callable[[Documentation], Iterator[tuple[str, str]]]

FORMATS: Final[dict[str, Renderer]] = {"html": render_html, "markdown": render_markdown, "c-header": render_c_header}
"""What can be made of the documentation, by name. No two formats use the same file name."""


def render(documentation: Documentation, formats: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The files of ``formats``, as name and content. Raises: UsageError for a format that is none."""
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"no format {name!r}; there are {', '.join(FORMATS)}")
        yield from FORMATS[name](documentation)


def write_documentation(
    documentation: Documentation, directory: Path, formats: Sequence[str], *, progress: Callable[[str], None] | None = None
) -> list[Path]:
    """Write ``formats`` into ``directory``, which is made if need be, and return what was written.

    Each file appears whole or not at all. ``progress`` is told each file's name before it is written.

    Raises: SetupError when the directory cannot be made or written; UsageError for a format that is none.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{directory} is no directory that files can be written to: {error.strerror}") from error
    written = []
    for name, content in render(documentation, formats):
        if progress is not None:
            progress(name)
        path = directory / name
        write_whole(path, content)
        written.append(path)
    return written
