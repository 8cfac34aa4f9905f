"""Copies: from a surface, with a colour key or without, from bits, and the fast copy, which only moves pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.commands.blt import (
    XY_FAST_COPY_BLT,
    XY_MONO_SRC_COPY_BLT,
    XY_MONO_SRC_COPY_IMMEDIATE_BLT,
    XY_SRC_COPY_BLT,
    XY_SRC_COPY_CHROMA_BLT,
    FastCopyDepth,
    FastCopyTiling,
    XyFastCopyBlt,
    XyMonoSrcCopyBlt,
    XyMonoSrcCopyImmediateBlt,
    XySrcCopyBlt,
    XySrcCopyChromaBlt,
)

from ..surface.rectangle import signed16
from ..surface.tiling import TILE_X, TILE_Y, TILE_YF, TILE_YS, Tiling
from .depth import BPP_8, BPP_16_565, BPP_32, Depth
from .drawing import Drawing
from .execution import draws
from .frame import Frame, IllegalBlit, surface_of
from .raster_operation import COPY_SOURCE
from .reading import bits_of_memory, color_key, corners, drawing_frame, mono_source, source_surface

if TYPE_CHECKING:
    from ..engine_state import EngineState

__all__ = ()

_FAST_DEPTHS: Final[dict[int, Depth]] = {
    FastCopyDepth.BPP_8: BPP_8,
    FastCopyDepth.BPP_16: BPP_16_565,
    FastCopyDepth.BPP_32: BPP_32,
    FastCopyDepth.BPP_64: Depth("64 bits", 8, (), None),
    FastCopyDepth.BPP_128: Depth("128 bits", 16, (), None),
}


@draws(XY_SRC_COPY_BLT, XySrcCopyBlt)
def copy(engine: EngineState, command: XySrcCopyBlt, immediate: bytes) -> Drawing | None:
    """Copy from a surface."""
    header, control, top_left, bottom_right, destination, source_corner, pitch, base = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    source = source_surface(engine, base, pitch.pitch, tiled=header.source_tiled)
    return frame.copy(source, signed16(source_corner.x), signed16(source_corner.y))


@draws(XY_SRC_COPY_CHROMA_BLT, XySrcCopyChromaBlt)
def copy_chroma(engine: EngineState, command: XySrcCopyChromaBlt, immediate: bytes) -> Drawing | None:
    """Copy from a surface where a colour key allows it."""
    header, control, top_left, bottom_right, destination, source_corner, pitch, base, low, high = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    source = source_surface(engine, base, pitch.pitch, tiled=header.source_tiled)
    key = color_key(frame.depth, header.key_mode, low, high, has_source=True)
    return frame.copy(source, signed16(source_corner.x), signed16(source_corner.y), key=key)


@draws(XY_MONO_SRC_COPY_BLT, XyMonoSrcCopyBlt)
def copy_mono(engine: EngineState, command: XyMonoSrcCopyBlt, immediate: bytes) -> Drawing | None:
    """Draw bits from memory in two colours."""
    header, control, top_left, bottom_right, destination, address, background, foreground = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    return frame.draw(source=mono_source(frame, control, background, foreground, header.first_bit, bits_of_memory(engine, address)))


@draws(XY_MONO_SRC_COPY_IMMEDIATE_BLT, XyMonoSrcCopyImmediateBlt)
def copy_mono_immediate(engine: EngineState, command: XyMonoSrcCopyImmediateBlt, immediate: bytes) -> Drawing | None:
    """Draw bits that the command carries in two colours."""
    header, control, top_left, bottom_right, destination, background, foreground = command
    frame = drawing_frame(engine, header, control, top_left, bottom_right, destination)
    return frame.draw(source=mono_source(frame, control, background, foreground, header.first_bit, immediate))


def _fast_tiling(tiling: int, bytes_per_pixel: int, *, newer: bool) -> Tiling | None:
    if tiling == FastCopyTiling.LINEAR:
        return None
    if tiling == FastCopyTiling.X:
        return TILE_X
    if tiling == FastCopyTiling.YS:
        return TILE_YS[bytes_per_pixel]
    return TILE_YF[bytes_per_pixel] if newer else TILE_Y


@draws(XY_FAST_COPY_BLT, XyFastCopyBlt)
def fast_copy(engine: EngineState, command: XyFastCopyBlt, immediate: bytes) -> Drawing | None:
    """Copy pixels as they are, between surfaces of any two tilings; nothing clips."""
    header, control, top_left, bottom_right, destination, source_corner, pitch, base = command
    depth = _FAST_DEPTHS.get(control.depth)
    if depth is None:
        raise IllegalBlit("blt-fast-copy-depth", f"colour depth {int(control.depth)} is none that the fast copy has")
    size = depth.bytes_per_pixel
    target_tiles = _fast_tiling(header.destination_tiling, size, newer=control.destination_yf)
    source_tiles = _fast_tiling(header.source_tiling, size, newer=control.source_yf)
    frame = Frame(
        surface_of("destination", destination, control.pitch, target_tiles), corners(top_left, bottom_right), None, depth, COPY_SOURCE, None
    )  # fmt: skip
    return frame.copy(surface_of("source", base, pitch.pitch, source_tiles), signed16(source_corner.x), signed16(source_corner.y))
