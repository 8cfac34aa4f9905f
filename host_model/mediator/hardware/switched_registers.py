"""Which registers go with the turn, from the table beside this module."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from pvinfo.errors import LayoutError

__all__ = ("SwitchedRegister", "switched_registers")

_COLUMNS: Final = "offset\tdwords\tengine\tsince\tuntil\tmasked\tin_context\tkept\tname"


class SwitchedRegister(NamedTuple):
    """A register that each vGPU has for itself."""

    offset: int
    engine: str
    """Name of the engine that it belongs to, as :class:`~pvinfo.platform.Engine` has it; some GPU may lack it."""
    masked: bool
    """The upper half enables the write of the lower."""
    in_context: bool
    """The images of the engine's contexts hold it, too."""
    kept: int
    """Bits that stay the host's."""


@cache
def switched_registers(graphics_version: int) -> tuple[SwitchedRegister, ...]:
    """The registers of a generation. Raises: LayoutError for a row of the table that is none."""
    found: list[SwitchedRegister] = []
    lines = files(__package__).joinpath("switched_registers.tsv").read_text("ascii").splitlines()
    rows = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if rows[0][1] != _COLUMNS:
        raise LayoutError(f"switched_registers.tsv line {rows[0][0]}: the columns are not {_COLUMNS.split()}")
    for number, line in rows[1:]:
        try:
            first, count, engine, since, until, masked, in_context, kept, _name = line.split("\t")
            if int(since) <= graphics_version <= int(until):
                found += [
                    SwitchedRegister(int(first, 16) + 4 * index, engine, masked == "1", in_context == "1", int(kept, 0))
                    for index in range(int(count))
                ]
        except ValueError:
            raise LayoutError(f"switched_registers.tsv line {number}: {line!r} is no row of the table") from None
    return tuple(found)
