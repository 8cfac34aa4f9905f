"""How a command is executed: a handler, and what it tells the engine that called it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from pvinfo.commands.command import Command

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ("HANDLERS", "Handler", "Stop", "executes")


class Stop(Enum):
    """Why the engine does not simply go on with the next command. A handler that says nothing lets it."""

    JUMP = auto()
    """the handler has settled the position and chosen another buffer"""
    REFETCH = auto()
    """translations were dropped, or may lead elsewhere now: read the commands anew"""
    ARBITRATE = auto()
    """the command was a point at which the context may be switched away from, and something is pending"""
    SPIN = auto()
    """as JUMP, and the batch is waiting for the processor by going round and round"""
    YIELD = auto()
    """the command took long: let others have their turn"""
    WAIT_SEMAPHORE = auto()
    """the command is to be executed again, until memory has the value waited for"""
    WAIT_SIGNAL = auto()
    """the command is to be executed again when another engine signals"""
    WAIT_EVENT = auto()
    """the command is to be executed again, until display is where it is waited for"""
    CONTINUE = auto()
    """the command is not finished: it is to be executed again in the next slice, and knows how far it is"""
    HANG = auto()
    """the engine stands at the command until it is reset"""
    END = auto()
    """the ring is at its end; never said by a handler"""
    STARVED = auto()
    """the ring ends in the middle of a command; never said by a handler"""
    SPENT = auto()
    """the slice is used up; never said by a handler"""


Handler = Callable[["EngineState", memoryview, int, int], "Stop | None"]
"""Executes the command of ``length`` dwords at index ``at`` of ``dwords``, called as ``handler(engine, dwords, at, length)``.
The command has as many dwords as its shortest form. Raises: TranslationFault."""

HANDLERS: Final[dict[str, Handler]] = {}
"""By the name of the command."""


def executes(*commands: Command[Any]) -> Callable[[Handler], Handler]:
    """Register the decorated function as what executes ``commands``."""

    def register(handler: Handler) -> Handler:
        for command in commands:
            HANDLERS[command.name] = handler
        return handler

    return register
