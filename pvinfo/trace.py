"""Traces: every access of a driver, in order, as a table that people and programs read.

Tab-separated, optionally ``.xz``; ``#`` starts a comment line; then a header row and one row per run of equal
accesses. The columns are those of :class:`TraceRow`. The host writes traces (``--trace``), ``pvinfo trace``
shows and compares them, tests replay them.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import IO, Final, NamedTuple, cast, final

from .errors import WireError

__all__ = ("NumberedRow", "Op", "TraceRow", "TraceWriter", "open_trace", "read_numbered_trace", "read_trace")

HEADER: Final = "ms\top\tsize\toffset\tvalue\trepeat"


class Op(Enum):
    """What was accessed, and which way.

    All but the last two are the driver's accesses. Those two are what engines tell it in memory, where no access shows:
    a trace of the physical GPU holds them.
    """

    READ = "R"
    WRITE = "W"
    GGTT_READ = "GR"
    GGTT_WRITE = "GW"
    APERTURE_READ = "AR"
    APERTURE_WRITE = "AW"
    CONFIG_READ = "CR"
    CONFIG_WRITE = "CW"
    STATUS_EVENT = "SE"
    """an engine tells of a context"""
    BREADCRUMB = "BC"
    """a ring has its engine leave a number in graphics memory"""


class TraceRow(NamedTuple):
    """A run of equal accesses."""

    ms: int
    """Milliseconds since the device was made."""
    op: Op
    size: int
    """Bytes; 0 where the trace does not say."""
    offset: int
    """Inside BAR0 for register accesses; inside the table window, the aperture or configuration space for the others.
    Of an event, the entry of the engine's status buffer; of a breadcrumb, the first register of the engine."""
    value: int
    """Of an event, the entry: status, and context id in bits 63:32; of a breadcrumb, the number, and the graphics address
    where it was left in bits 63:32."""
    repeat: int
    """How many times in a row."""


class NumberedRow(NamedTuple):
    """A row, and where in its file it stands."""

    line: int
    row: TraceRow


@final
class TraceWriter:
    """Writes a trace, folding runs of equal accesses. A context manager: the last run is written at its end."""

    def __init__(self, file: IO[str], comment: str = "") -> None:
        self._file = file
        self._last: TraceRow | None = None
        for line in comment.splitlines():
            file.write(f"# {line}\n")
        file.write(f"{HEADER}\n")

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, ms: int, op: Op, size: int, offset: int, value: int) -> None:
        """Append one access."""
        last = self._last
        if last is not None:
            if (op, size, offset, value) == last[1:5]:
                self._last = TraceRow(last.ms, op, size, offset, value, last.repeat + 1)
                return
            self._write(last)
        self._last = TraceRow(ms, op, size, offset, value, 1)

    def _write(self, row: TraceRow) -> None:
        size = str(row.size) if row.size else "-"
        self._file.write(f"{row.ms}\t{row.op.value}\t{size}\t{row.offset:#x}\t{row.value:#x}\t{row.repeat}\n")

    def flush(self) -> None:
        """Write what is pending; a run that goes on afterwards becomes two rows."""
        if self._last is not None:
            self._write(self._last)
            self._last = None
        self._file.flush()

    def close(self) -> None:
        """Write what is pending and close the file."""
        if not self._file.closed:
            self.flush()
            self._file.close()


def open_trace(path: Path, comment: str = "") -> TraceWriter:
    """A writer onto ``path``, compressed when the name ends in ``.xz``. Raises: OSError."""
    if path.suffix == ".xz":
        return TraceWriter(cast(IO[str], lzma.open(path, "wt", encoding="ascii")), comment)
    return TraceWriter(path.open("w", encoding="ascii"), comment)


def _parse(line: str, number: int) -> TraceRow:
    parts = line.split("\t")
    try:
        ms, op, size, offset, value, repeat = parts
        return TraceRow(int(ms), Op(op), 0 if size == "-" else int(size), int(offset, 16), int(value, 16), int(repeat))
    except ValueError:
        raise WireError("trace", f"line {number}", 0, f"{line!r} is not a row of the columns {HEADER.split()}") from None


def numbered_rows(lines: Iterable[str]) -> Iterator[NumberedRow]:
    """The rows of a trace given as lines, numbered. Raises: WireError naming the line that is none."""
    header_seen = False
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not line or line.startswith("#"):
            continue
        if not header_seen:
            if line != HEADER:
                raise WireError("trace", f"line {number}", 0, f"the header row is {HEADER.split()}, not {line!r}")
            header_seen = True
            continue
        yield NumberedRow(number, _parse(line, number))
    if not header_seen:
        raise WireError("trace", "", 0, "no header row: this is not a trace")


def read_rows(lines: Iterable[str]) -> Iterator[TraceRow]:
    """The rows of a trace given as lines. Raises: WireError naming the line that is none."""
    return (numbered.row for numbered in numbered_rows(lines))


def read_trace(path: Path) -> list[TraceRow]:
    """Read a trace file, compressed when its name ends in ``.xz``.

    Raises: WireError for content that is no trace; OSError.
    """
    return [numbered.row for numbered in read_numbered_trace(path)]


def read_numbered_trace(path: Path) -> list[NumberedRow]:
    """As :func:`read_trace`, with the number of each line."""
    try:
        if path.suffix == ".xz":
            with lzma.open(path, "rt", encoding="ascii") as file:
                return list(numbered_rows(cast(IO[str], file)))
        with path.open(encoding="ascii") as file:
            return list(numbered_rows(file))
    except (lzma.LZMAError, UnicodeDecodeError, EOFError) as error:
        raise WireError("trace", "", 0, f"{path} is not a trace: {error}") from None
