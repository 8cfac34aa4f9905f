"""Fills and copies: batches for the copy engine, of whole surfaces or rectangles of them."""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.commands.blt import FastCopyTiling
from pvinfo.errors import UsageError

from .batch import Batch, BlitSurface, Rectangle
from .buffer import BufferObject
from .tiling import Tiling

__all__ = ("copy", "fill")

_LARGEST: Final = 0x7FFF
"""The last row or column that a command can name."""
_FAST_ALIGNMENT: Final = 16
"""What columns and pitches of the fast copy are multiples of, in bytes. Source: prm:skl:vol2a"""
_FAST_TILINGS: Final = {Tiling.LINEAR: FastCopyTiling.LINEAR, Tiling.X: FastCopyTiling.X, Tiling.Y: FastCopyTiling.Y}


class _Shape(NamedTuple):
    width: int
    height: int


def _shape(surface: BufferObject) -> _Shape:
    """How many pixels fit into a row, and how many rows there are."""
    if not surface.pitch or not surface.bits_per_pixel:
        raise UsageError(f"{surface.owner} is no surface: it was made without a pitch or a depth")
    return _Shape(surface.pitch * 8 // surface.bits_per_pixel, surface.size // surface.pitch)


def _checked(surface: BufferObject, rectangle: Rectangle | None) -> Rectangle:
    """``rectangle``, by default all there is of ``surface``. Raises: UsageError when it is outside, or beyond the blitter."""
    shape = _shape(surface)
    if rectangle is None:
        rectangle = Rectangle(0, 0, *shape)
    x, y, width, height = rectangle
    if x < 0 or y < 0 or width <= 0 or height <= 0 or x + width > shape.width or y + height > shape.height:
        raise UsageError(f"{rectangle} of {surface.owner}, which has {shape.height} rows of {shape.width} pixels")
    if x + width > _LARGEST or y + height > _LARGEST:
        raise UsageError(f"{rectangle} of {surface.owner}: the blitter reaches up to {_LARGEST}")
    return rectangle


def _surface(buffer: BufferObject) -> BlitSurface:
    return BlitSurface(buffer.gpu_address, buffer.pitch, buffer.bits_per_pixel, buffer.tiling is not Tiling.LINEAR)


def fill(target: BufferObject, value: int, rectangle: Rectangle | None = None) -> Batch:
    """A batch that fills ``rectangle`` of ``target`` with pixels of ``value``. Raises: UsageError."""
    area = _checked(target, rectangle)
    if not 0 <= value < 1 << target.bits_per_pixel:
        raise UsageError(f"a pixel of {value:#x}: those of {target.owner} have {target.bits_per_pixel} bits")
    batch = Batch()
    if target.tiling is Tiling.Y:
        batch.blitter_tiling(destination_y=True)
    batch.xy_color_blt(_surface(target), area, value)
    if target.tiling is Tiling.Y:
        batch.blitter_tiling()
    return batch


def _fast(target: BufferObject, area: Rectangle, source: BufferObject, x: int) -> bool:
    """Whether the fast copy can do it."""
    pixel = target.bits_per_pixel // 8
    return target is not source and not (area.x * pixel | x * pixel | target.pitch | source.pitch) % _FAST_ALIGNMENT


def copy(
    target: BufferObject, source: BufferObject, rectangle: Rectangle | None = None, to: tuple[int, int] = (0, 0), *, fast: bool = False
) -> Batch:
    """A batch that copies ``rectangle`` of ``source`` to the place ``to`` of ``target``, by the fast copy if it can and ``fast``
    says that there is one. Raises: UsageError."""
    if source.bits_per_pixel != target.bits_per_pixel:
        raise UsageError(f"a copy of {source.owner} to {target.owner}: their pixels have {source.bits_per_pixel} and {target.bits_per_pixel} bits")
    x, y, width, height = _checked(source, rectangle)
    area = _checked(target, Rectangle(*to, width, height))
    batch = Batch()
    if fast and _fast(target, area, source, x):
        batch.xy_fast_copy_blt(
            _surface(target), area, _surface(source), x, y,
            target_tiling=_FAST_TILINGS[target.tiling], source_tiling=_FAST_TILINGS[source.tiling],
        )  # fmt: skip
        return batch
    y_tiles = Tiling.Y in (target.tiling, source.tiling)
    if y_tiles:
        batch.blitter_tiling(destination_y=target.tiling is Tiling.Y, source_y=source.tiling is Tiling.Y)
    batch.xy_src_copy_blt(_surface(target), area, _surface(source), x, y)
    if y_tiles:
        batch.blitter_tiling()
    return batch
