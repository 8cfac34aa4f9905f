"""Which handler executes a command, by its header.

A table is per engine and graphics version. A header says what the command is and how long; what was looked up once is
kept under the whole of it, as drivers write the same few headers again and again. Commands that no handler executes are passed over by their length: they take their time, and are
reported once for each kind.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from pvinfo.commands import Client, Command, command_for
from pvinfo.platform import Engine

from ..blitter import commands as _drawing
from ..cost import command_cost
from . import atomic, batch, control, flush, math, pipe_control, predicate, register_access, semaphore, store
from .execution import HANDLERS, Handler, Stop

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ("CommandTable", "TableEntry", "command_table")

# Importing a module registers what executes its commands.
assert all((_drawing, atomic, batch, control, flush, math, pipe_control, predicate, register_access, semaphore, store))

_SLICE_SHARE_NS: Final = 20_000
"""A command that has made the slice this long is the last one of it."""
_WORK: Final = ("PRIMITIVE", "OBJECT", "WALKER", "IECP")
"""In the name of a pipeline command: it draws or computes. The others set state up for those."""
_HEADERS_KEPT: Final = 4096
"""Software that writes more of them is no driver."""
_EXECUTED_ALWAYS: Final = frozenset({"MI_SET_PREDICATE", "MI_BATCH_BUFFER_START", "MI_BATCH_BUFFER_END"})
"""Commands that MI_SET_PREDICATE does not make no-operations of."""


class TableEntry(NamedTuple):
    """How a command is executed."""

    handler: Handler
    length: int
    """Dwords of the command."""
    cost_ns: int


def _skip(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    """The command is a no-operation."""
    return None


def _illegal(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
    header = dwords[at]
    return engine.illegal("illegal-command", f"{header:#010x} begins no command of this engine", at, header)


_ILLEGAL: Final = TableEntry(_illegal, 1, 0)


def _too_short(least: int) -> Handler:
    """A handler for a command that ends before its shortest form does."""

    def refuse(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
        return engine.illegal("short-command", f"a command of {length} dwords, which has at least {least}", at, dwords[at])

    return refuse



def _passing_over(command: Command[Any]) -> Handler:
    """A handler for a command that is timed and counted, but not executed."""
    name = command.name

    def pass_over(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
        engine.not_executed(name, dwords[at])
        if engine.pending and engine.arbitration:
            return Stop.ARBITRATE  # draws and grids of threads can be left
        return Stop.YIELD if engine.charged_ns > _SLICE_SHARE_NS else None

    def set_state(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
        engine.state_passed_over()
        return None

    does_something = command.client is not Client.PIPELINE or any(word in name for word in _WORK)
    return pass_over if does_something else set_state


def _taking_turns(handler: Handler) -> Handler:
    """A handler for a command whose work grows with what it is told to do: after much of it, others have their turn."""

    def execute(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
        stop = handler(engine, dwords, at, length)
        return Stop.YIELD if stop is None and engine.charged_ns > _SLICE_SHARE_NS else stop

    return execute


def _handler(command: Command[Any]) -> Handler:
    handler = HANDLERS.get(command.name)
    if handler is None:
        return _passing_over(command)
    return _taking_turns(handler) if command.client is Client.BLITTER else handler


@final
class CommandTable:
    """The commands of one engine, and how each is executed."""

    def __init__(self, engine: Engine, graphics_version: int, *, only_flow: bool = False) -> None:
        self._engine = engine
        self._graphics_version = graphics_version
        self._only_flow = only_flow
        self.known: dict[int, TableEntry] = {}
        """By header, what was looked up."""
        self.predicated = self if only_flow else CommandTable(engine, graphics_version, only_flow=True)
        """The table while MI_SET_PREDICATE makes no-operations of commands."""

    def entry(self, header: int) -> TableEntry:
        """What executes the command that begins with ``header``."""
        command = command_for(self._engine, header, self._graphics_version)
        if command is None:
            return _ILLEGAL
        length = command.length.of(header)
        least = min((form.dwords for form in command.forms), default=1)
        if length < least:
            handler = _too_short(least)
        elif self._only_flow and command.name not in _EXECUTED_ALWAYS:
            handler = _skip
        else:
            handler = _handler(command)
        entry = TableEntry(handler, length, command_cost(command).fixed_ns)
        if len(self.known) >= _HEADERS_KEPT:
            self.known.clear()
        self.known[header] = entry
        return entry


@cache
def command_table(engine: Engine, graphics_version: int) -> CommandTable:
    """The table of ``engine`` on hardware of ``graphics_version``."""
    return CommandTable(engine, graphics_version)
