"""What shows a surface and can be flipped to another one: the planes and cursors of the pipes."""

from __future__ import annotations

from itertools import chain
from typing import Final, NamedTuple

from pvinfo.platform import Platform
from pvinfo.registers.cursor import Cursor
from pvinfo.registers.pipe import PIPE_BASES
from pvinfo.registers.plane import PLANES_PER_PIPE, Plane

from ..interrupts import Event, event_places

__all__ = ("SURFACES", "Surface", "cursor_of", "surfaces_of")

_FLIP: Final = {
    "PIPE_A": Event.PIPE_A_PRIMARY_FLIP, "PIPE_B": Event.PIPE_B_PRIMARY_FLIP, "PIPE_C": Event.PIPE_C_PRIMARY_FLIP,
}  # fmt: skip
"""The events of a pipe's other planes stand above that of its first."""
_PLANES_THAT_TELL: Final = {8: 2, 9: PLANES_PER_PIPE}


class Surface(NamedTuple):
    """A plane, or a cursor."""

    pipe: str
    surf: int
    """Dword of what was asked for."""
    live: int
    """Dword of what is shown."""
    event: int
    """The bit that tells of a flip; 0 where nothing tells of it."""
    counted: bool


def cursor_of(pipe: str) -> str:
    """What :meth:`~.pipes.Pipes.flip` calls the cursor of ``pipe``."""
    return f"{pipe}_CURSOR"


_PLANE_NAMES: Final = {pipe: tuple(f"{pipe}_PLANE_{number}" for number in range(1, PLANES_PER_PIPE + 1)) for pipe in PIPE_BASES}
SURFACES: Final = frozenset(chain(*_PLANE_NAMES.values(), map(cursor_of, PIPE_BASES)))
"""What can be flipped: planes and cursors."""


def surfaces_of(platform: Platform) -> dict[str, Surface]:
    """Those of ``platform``, by name."""
    places, telling = event_places(platform), _PLANES_THAT_TELL[platform.graphics_version]
    surfaces = {}
    for pipe in PIPE_BASES:
        for number, name in enumerate(_PLANE_NAMES[pipe], 1):
            event = 1 << places[_FLIP[pipe]].bit + number - 1 if number <= telling else 0
            surfaces[name] = Surface(pipe, Plane.surf.at(name) >> 2, Plane.surflive.at(name) >> 2, event, number == 1)
        surfaces[cursor_of(pipe)] = Surface(pipe, Cursor.surf.at(pipe) >> 2, Cursor.surflive.at(pipe) >> 2, 0, False)
    return surfaces
