"""How a drawing command is executed: read once into a drawing, which is then drawn strip by strip, a strip a slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pvinfo.commands.command import Command

from ..commands.execution import Stop, executes
from ..cost import command_cost
from .drawing import Drawing
from .frame import IllegalBlit

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ("draws",)

R = TypeVar("R", bound=tuple[Any, ...])
R_contra = TypeVar("R_contra", bound=tuple[Any, ...], contravariant=True)


class Reader(Protocol[R_contra]):
    """Makes of a command what it draws; None where it draws nothing. Raises: IllegalBlit, TranslationFault."""

    def __call__(self, engine: EngineState, command: R_contra, immediate: bytes, /) -> Drawing | None: ...


def draws(command: Command[Any], form: type[R]) -> Callable[[Reader[R]], Reader[R]]:
    """Register the decorated function as what reads ``command``, whose only form is ``form``.

    The function is given the bytes that follow the form, the command's *immediate* data.
    """
    codec = next(known.codec for known in command.forms if known.record is form)
    cost_ps = command_cost(command).per_byte_ps

    def register(read: Reader[R]) -> Reader[R]:
        def handler(engine: EngineState, dwords: memoryview, at: int, length: int) -> Stop | None:
            drawing = engine.progress
            if not isinstance(drawing, Drawing):
                data = dwords[at : at + length].tobytes()
                try:
                    known = command.form_of(length)
                    if known is None:
                        raise IllegalBlit("blt-length", f"{command.name} of {length} dwords: it has {codec.size // 4}")
                    drawing = read(engine, codec.unpack_from(data), data[codec.size :])
                except IllegalBlit as fault:
                    return engine.illegal(fault.rule, f"{command.name}: {fault.text}", at, dwords[at])
                if drawing is None or drawing.done:
                    return None
            size = drawing.step(engine.ppgtt)
            engine.charge(cost_ps * size // 1000)
            if drawing.done:
                return None
            engine.progress = drawing
            return Stop.CONTINUE

        executes(command)(handler)
        return read

    return register
