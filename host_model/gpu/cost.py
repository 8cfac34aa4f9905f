"""How long the GPU takes: nanoseconds per command and picoseconds per byte, from ``cost.tsv``.

The figures drive virtual time. They are of the right order for a GT2 part at about 1 GHz, not measurements: what matters is
that much work takes longer than little, and memory longer than registers.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from pvinfo.commands.command import Client, Command
from pvinfo.errors import LayoutError

__all__ = ("Cost", "command_cost", "cost_named")


class Cost(NamedTuple):
    """A row of the table."""

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
def _table() -> dict[str, Cost]:
    text = files("host_model.gpu").joinpath("cost.tsv").read_text("ascii")
    rows = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line and not line.startswith("#")]
    table = dict(_parse(line, number) for number, line in rows[1:])
    if len(table) != len(rows) - 1:
        raise LayoutError("cost.tsv: a name stands there twice")
    return table


def cost_named(name: str) -> Cost:
    """The row called ``name``. Raises: LayoutError when there is none."""
    try:
        return _table()[name]
    except KeyError:
        raise LayoutError(f"cost.tsv has no row {name!r}") from None


_BY_CLIENT = {
    Client.MEMORY_INTERFACE: "(other streamer command)",
    Client.BLITTER: "(other blitter command)",
    Client.PIPELINE: "(other pipeline command)",
}


def command_cost(command: Command[Any]) -> Cost:
    """The cost of ``command``: its own row, else that of its client's other commands."""
    return _table().get(command.name) or cost_named(_BY_CLIENT[command.client])
