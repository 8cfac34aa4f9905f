"""What a ring or batch buffer holds: commands, each a header and the dwords that belong to it.

Bits 31:29 of a header say which unit behind the streamer the command is for, the bits below which command it is:
``0`` the streamer itself (``MI_``), ``2`` the blitter, ``3`` the pipelines. A streamer that does not know a header, or
not on its engine, stops with an error: it cannot know where the next command begins.
"""

from __future__ import annotations

from .command import ALL_ENGINES, Audit, Client, Command, Decoded, Form, Length
from .lookup import UNKNOWN_LENGTH, Step, build, command_for, command_named, declared_commands, length_table, walk

__all__ = (
    "ALL_ENGINES",
    "UNKNOWN_LENGTH",
    "Audit",
    "Client",
    "Command",
    "Decoded",
    "Form",
    "Length",
    "Step",
    "build",
    "command_for",
    "command_named",
    "declared_commands",
    "length_table",
    "walk",
)
