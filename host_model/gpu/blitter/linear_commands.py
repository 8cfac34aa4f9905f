"""The commands without coordinates: a fill and a copy of rows of bytes, at an address and of a size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.commands.blt import COLOR_BLT, SRC_COPY_BLT, ColorBlt, LinearHeader, Size, SrcCopyBlt

from ..surface.rectangle import Rectangle
from .depth import DEPTHS
from .drawing import Drawing
from .execution import draws
from .frame import Frame, channels_of, surface_of
from .pattern import solid_pattern

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()


def _frame(header: LinearHeader, size: Size, depth: int, code: int, address: int, pitch: int) -> Frame:
    known = DEPTHS[depth]
    return Frame(
        surface_of("destination", address, pitch, None), Rectangle(0, 0, size.width // known.bytes_per_pixel, size.height), None, known, code,
        channels_of(known, rgb=header.write_rgb, alpha=header.write_alpha),
    )  # fmt: skip


@draws(COLOR_BLT, ColorBlt)
def color(engine: EngineState, command: ColorBlt, immediate: bytes) -> Drawing | None:
    """Fill with a colour."""
    header, control, size, destination, value = command
    frame = _frame(header, size, control.depth, control.raster_operation, destination, control.pitch)
    return frame.draw(pattern=solid_pattern(frame.depth, value))


@draws(SRC_COPY_BLT, SrcCopyBlt)
def copy(engine: EngineState, command: SrcCopyBlt, immediate: bytes) -> Drawing | None:
    """Copy rows; from right to left, the addresses are those of the last byte of a row."""
    header, control, size, destination, pitch, source = command
    back = max(size.width - 1, 0) if control.backwards else 0
    frame = _frame(header, size, control.depth, control.raster_operation, destination - back, control.pitch)
    return frame.copy(surface_of("source", source - back, pitch.pitch, None), 0, 0)
