"""Tables of what things cost in virtual time: nanoseconds at a time, and picoseconds per byte."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from pvinfo.errors import LayoutError

__all__ = ("Cost", "cost_named", "cost_table")


class Cost(NamedTuple):
    """A row of a table."""

    fixed_ns: int
    per_byte_ps: int
    why: str
    source: str

    def of(self, size: int) -> int:
        """Nanoseconds for work on ``size`` bytes."""
        return self.fixed_ns + self.per_byte_ps * size // 1000


def _parse(line: str, number: int) -> tuple[str, Cost]:
    try:
        name, fixed, per_byte, why, source = line.split("\t")
        cost = Cost(int(fixed), int(per_byte), why, source)
        if cost.fixed_ns < 0 or cost.per_byte_ps < 0:
            raise ValueError("time does not run backwards")
        return name, cost
    except ValueError as error:
        raise LayoutError(f"cost.tsv line {number}: {line!r} is no row of the table ({error})") from None


@cache
def cost_table(package: str) -> dict[str, Cost]:
    """The rows of ``cost.tsv`` of a package, by name. Raises: LayoutError."""
    text = files(package).joinpath("cost.tsv").read_text("ascii")
    rows = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line and not line.startswith("#")]
    table = dict(_parse(line, number) for number, line in rows[1:])
    if len(table) != len(rows) - 1:
        raise LayoutError("cost.tsv: a name stands there twice")
    return table


def cost_named(package: str, name: str) -> Cost:
    """The row called ``name`` of a package's table. Raises: LayoutError when there is none."""
    try:
        return cost_table(package)[name]
    except KeyError:
        raise LayoutError(f"cost.tsv has no row {name!r}") from None
