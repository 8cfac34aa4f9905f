"""Fills and copies: batches for the copy engine, of whole surfaces or rectangles of them.

Rectangles are in pixels. What the blitter cannot address in one command, a rectangle beyond 32767 rows or columns, is
refused. Y tiling is chosen by a register of the copy engine, which is loaded before the command and put back after it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.errors import UsageError
from pvinfo.platform import ENGINES, Engine
from pvinfo.register import masked_bits

from .batch import Batch
from .buffer import BufferObject
from .tiling import Tiling

__all__ = ("Rectangle", "copy", "fill")

_LARGEST: Final = 0x7FFF
_SWITCH_CONTROL: Final = ENGINES[Engine.BCS0].base + 0x200
"""BCS_SWCTRL. Source: linux:drivers/gpu/drm/i915/gt/intel_engine_regs.h"""
_SOURCE_Y: Final = 1 << 0
_DESTINATION_Y: Final = 1 << 1


class Rectangle(NamedTuple):
    """Pixels of a surface: the upper left corner, and how many in a row and how many rows."""

    x: int
    y: int
    width: int
    height: int


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
    if x + width > _LARGEST or y + height > _LARGEST or surface.pitch > _LARGEST * (1 if surface.tiling is Tiling.LINEAR else 4):
        raise UsageError(f"{rectangle} of {surface.owner}: the blitter reaches up to {_LARGEST}")
    return rectangle


def _pitch(surface: BufferObject) -> int:
    """The pitch as the blitter counts it: dwords where there are tiles."""
    return surface.pitch if surface.tiling is Tiling.LINEAR else surface.pitch // 4


def _switch(batch: Batch, target: BufferObject, source: BufferObject | None, *, on: bool) -> None:
    """Y tiles instead of X tiles, or back."""
    bits = (_DESTINATION_Y if target.tiling is Tiling.Y else 0) | (_SOURCE_Y if source is not None and source.tiling is Tiling.Y else 0)
    if bits:
        batch.flush_dw()
        batch.load_register_imm((_SWITCH_CONTROL, masked_bits(bits, on)))


def fill(target: BufferObject, value: int, rectangle: Rectangle | None = None) -> Batch:
    """A batch that fills ``rectangle`` of ``target`` with pixels of ``value``. Raises: UsageError."""
    x, y, width, height = _checked(target, rectangle)
    if not 0 <= value < 1 << target.bits_per_pixel:
        raise UsageError(f"a pixel of {value:#x}: those of {target.owner} have {target.bits_per_pixel} bits")
    batch = Batch()
    _switch(batch, target, None, on=True)
    batch.xy_color_blt(
        target.gpu_address, _pitch(target), x, y, x + width, y + height, value,
        bits_per_pixel=target.bits_per_pixel, tiled=target.tiling is not Tiling.LINEAR,
    )  # fmt: skip
    _switch(batch, target, None, on=False)
    return batch


def copy(target: BufferObject, source: BufferObject, rectangle: Rectangle | None = None, to: tuple[int, int] = (0, 0), graphics_version: int = 9) -> Batch:
    """A batch that copies ``rectangle`` of ``source`` to the place ``to`` of ``target``. Raises: UsageError."""
    if source.bits_per_pixel != target.bits_per_pixel:
        raise UsageError(f"a copy of {source.owner} to {target.owner}: their pixels have {source.bits_per_pixel} and {target.bits_per_pixel} bits")
    from_x, from_y, width, height = _checked(source, rectangle)
    x, y, _, _ = _checked(target, Rectangle(*to, width, height))
    batch = Batch()
    _switch(batch, target, source, on=True)
    batch.xy_src_copy_blt(
        target.gpu_address, _pitch(target), x, y, x + width, y + height, source.gpu_address, _pitch(source), from_x, from_y,
        bits_per_pixel=source.bits_per_pixel,
        destination_tiled=target.tiling is not Tiling.LINEAR, source_tiled=source.tiling is not Tiling.LINEAR,
    )  # fmt: skip
    _switch(batch, target, source, on=False)
    return batch
