"""The destination of a drawing: a rectangle of a surface, what clips it, and how its pixels are stored."""

from __future__ import annotations

from typing import Final, NamedTuple, final

from ..surface.rectangle import Rectangle, signed16
from ..surface.surface import Surface
from ..surface.tiling import Tiling
from .color_key import ColorKey
from .depth import Depth
from .drawing import Drawing
from .pattern import Pattern
from .source import MonoSource, SurfaceSource

__all__ = ("ADDRESS_MASK", "Frame", "IllegalBlit", "channels_of", "surface_of")

ADDRESS_MASK: Final = (1 << 48) - 1

_EVERYWHERE: Final = Rectangle(0, 0, 1 << 15, 1 << 15)
"""Negative coordinates are clipped to 0. Source: prm:skl:vol11 (Introduction)"""
_RGB: Final = 0x00FFFFFF
_ALPHA: Final = 0xFF000000


@final
class IllegalBlit(Exception):
    """A command whose encoding the engine cannot execute. It stays inside the GPU: the engine stops and reports it."""

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        self.text = text
        super().__init__(f"{rule}: {text}")


def surface_of(what: str, base: int, pitch: int, tiling: Tiling | None) -> Surface:
    """A surface as commands describe it, with the pitch in bytes, or in dwords of a tiled one.

    Raises: IllegalBlit where tiles would not begin at a multiple of their size.
    """
    base &= ADDRESS_MASK
    if tiling is None:
        return Surface(base, signed16(pitch), None)
    pitch_bytes = 4 * signed16(pitch)
    if base % tiling.size:
        raise IllegalBlit("blt-tiled-base", f"the {what} at {base:#x} is tiled ({tiling.name}): its base is a multiple of {tiling.size:#x}")
    if pitch_bytes % tiling.width:
        raise IllegalBlit(
            "blt-tiled-pitch", f"the {what}'s pitch of {pitch_bytes} bytes: that of a tiled one ({tiling.name}) is a multiple of {tiling.width}"
        )
    return Surface(base, pitch_bytes, tiling)


def channels_of(depth: Depth, *, rgb: bool, alpha: bool) -> int | None:
    """The bits of a pixel that are written; None: all. The choice is there for 32 bits only."""
    if depth.bytes_per_pixel != 4 or (rgb and alpha):
        return None
    return (_RGB if rgb else 0) | (_ALPHA if alpha else 0)


class Frame(NamedTuple):
    """What all drawing commands have in common."""

    surface: Surface
    rectangle: Rectangle
    """As the command gives it."""
    clip: Rectangle | None
    depth: Depth
    code: int
    """Of the raster operation."""
    channels: int | None

    def refuse_negative_pitch(self) -> None:
        """Raises: IllegalBlit. Some commands take surfaces only whose rows go up in memory."""
        if self.surface.pitch < 0:
            raise IllegalBlit("blt-negative-pitch", f"a pitch of {self.surface.pitch} bytes: this command takes positive ones only")

    def draw(self, *, pattern: Pattern | None = None, source: MonoSource | None = None, key: ColorKey | None = None) -> Drawing:
        """Draw with operands that have no rectangle of their own."""
        return self._draw(self.rectangle, pattern, source, key)

    def copy(
        self, surface: Surface, left: int, top: int, *, pattern: Pattern | None = None, key: ColorKey | None = None
    ) -> Drawing:
        """Draw with the pixels of ``surface`` from column ``left``, row ``top`` on.

        Where these are negative, as many pixels of the destination are left out.
        """
        area = self.rectangle
        source = SurfaceSource(surface, left - area.left, top - area.top)
        return self._draw(area._replace(left=area.left - min(left, 0), top=area.top - min(top, 0)), pattern, source, key)

    def _draw(self, area: Rectangle, pattern: Pattern | None, source: SurfaceSource | MonoSource | None, key: ColorKey | None) -> Drawing:
        area = area.clipped(_EVERYWHERE)
        if self.clip is not None:
            area = area.clipped(self.clip)
        return Drawing(
            self.surface, area, self.depth, self.code, pattern=pattern, source=source, key=key, channels=self.channels
        )  # fmt: skip
