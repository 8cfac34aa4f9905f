"""How long the GPU takes: nanoseconds per command and picoseconds per byte, from ``cost.tsv``.

The figures drive virtual time. They are of the right order for a GT2 part at about 1 GHz, not measurements: what matters is
that much work takes longer than little, and memory longer than registers.
"""

from __future__ import annotations

from typing import Any, Final

from pvinfo.commands.command import Client, Command

from ..cost_table import Cost, cost_table
from ..cost_table import cost_named as row_named

__all__ = ("Cost", "command_cost", "cost_named")

_PACKAGE: Final = "host_model.gpu"
_BY_CLIENT: Final = {
    Client.MEMORY_INTERFACE: "(other streamer command)",
    Client.BLITTER: "(other blitter command)",
    Client.PIPELINE: "(other pipeline command)",
}


def cost_named(name: str) -> Cost:
    """The row called ``name``. Raises: LayoutError when there is none."""
    return row_named(_PACKAGE, name)


def command_cost(command: Command[Any]) -> Cost:
    """The cost of ``command``: its own row, else that of its client's other commands."""
    return cost_table(_PACKAGE).get(command.name) or cost_named(_BY_CLIENT[command.client])
