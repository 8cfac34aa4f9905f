"""Which command begins with a header, and how long it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from ..errors import UsageError
from ..platform import Engine
from .blt import BLT_COMMANDS
from .command import Command
from .mi import MI_COMMANDS
from .pipe_control import PIPE_CONTROL
from .pipelines import pipeline_commands

__all__ = ("UNKNOWN_LENGTH", "Step", "build", "command_for", "command_named", "declared_commands", "length_table", "walk")

UNKNOWN_LENGTH: Final = (0, 0)
"""What a length table holds for a header that begins no command."""


@cache
def declared_commands() -> tuple[Command[Any], ...]:
    """Every command that is declared: the streamer's, the blitter's, then those of the pipelines by header."""
    pipelines: list[Command[Any]] = [PIPE_CONTROL, *pipeline_commands()]
    pipelines.sort(key=lambda command: command.match)
    return (*MI_COMMANDS, *BLT_COMMANDS, *pipelines)


@cache
def _known(engine: Engine, graphics_version: int) -> dict[int, Command[Any]]:
    """The commands of ``engine`` by every value of a header's bits 31:16."""
    known: dict[int, Command[Any]] = {}
    for command in declared_commands():
        if engine in command.engines and command.exists(graphics_version):
            first = command.match >> 16
            for upper in range(first, first + (~command.mask >> 16 & 0xFFFF) + 1):
                known[upper] = command
    return known


def command_for(engine: Engine, header: int, graphics_version: int = 9) -> Command[Any] | None:
    """The command that begins with ``header`` on ``engine``; None when hardware of that version has none."""
    return _known(engine, graphics_version).get(header >> 16)


@cache
def length_table(engine: Engine, graphics_version: int = 9) -> tuple[tuple[int, int], ...]:
    """For each value of a header's bits 31:16 a mask and a number: the length is the masked header plus the number.

    This is for loops that step over commands::

        mask, added = table[header >> 16]
        length = (header & mask) + added

    The length of what begins no command comes out as 0 (:data:`UNKNOWN_LENGTH`).
    """
    table = [UNKNOWN_LENGTH] * 0x10000
    for upper, command in _known(engine, graphics_version).items():
        table[upper] = (command.length.mask, command.length.added)
    return tuple(table)


@cache
def _by_name() -> dict[str, Command[Any]]:
    return {command.name: command for command in declared_commands()}


def command_named(name: str) -> Command[Any]:
    """The command called ``name``, as the kernel or the manual calls it. Raises: UsageError when there is none."""
    try:
        return _by_name()[name]
    except KeyError:
        raise UsageError(f"no command {name!r} is declared") from None


@cache
def _by_record() -> dict[type, Command[Any]]:
    return {form.record: command for command in declared_commands() for form in command.forms}


def build(record: tuple[Any, ...], tail: bytes | Iterable[tuple[Any, ...]] = b"") -> bytes:
    """The bytes of the command that ``record`` is a form of, see :meth:`Command.build`.

    Raises: UsageError when it is a form of none, or as :meth:`Command.build`; WireError for a value that does not fit.
    """
    command = _by_record().get(type(record))
    if command is None:
        raise UsageError(f"{type(record).__name__} is a form of no command")
    return command.build(record, tail)


class Step(NamedTuple):
    """A command met on the way through a buffer."""

    at: int
    """Dword at which it begins."""
    length: int
    """In dwords; 0 for what is no command."""
    command: Command[Any] | None
    """None for what is no command: no step follows, since nobody knows where the next one begins."""


def walk(engine: Engine, dwords: Sequence[int], start: int = 0, end: int | None = None, *, graphics_version: int = 9) -> Iterator[Step]:
    """The commands in ``dwords`` from ``start`` to ``end``, in the order in which they stand there. Batches are not followed.

    The last one may reach beyond ``end``.
    """
    known = _known(engine, graphics_version)
    at, stop = start, len(dwords) if end is None else end
    while at < stop:
        command = known.get(dwords[at] >> 16)
        if command is None:
            yield Step(at, 0, None)
            return
        length = command.length.of(dwords[at])
        yield Step(at, length, command)
        at += length
