"""The window onto a rectangle of any surface."""

from __future__ import annotations

from .linear import LinearWindow
from .rectangle import Rectangle
from .surface import Space, Surface, Window
from .tiled import TiledWindow

__all__ = ("open_window",)


def open_window(space: Space, surface: Surface, area: Rectangle, *, write: bool, steady: bool = False) -> Window:
    """A window onto ``area``, columns counted in bytes. ``steady`` promises that nothing is stored there while it is read.

    Raises: what the space raises for an address that leads nowhere.
    """
    if surface.tiling is None:
        return LinearWindow(space, surface, area, write=write)
    return TiledWindow(space, surface, surface.tiling, area, write=write, steady=steady)
