"""What a pipe's cursor shows, out of its registers: a small linear picture above all planes.

Of the modes without alpha all pixels are shown, as the kernel's mediator has it. There is no source for the colours of the one
with two bits a pixel.

Source: linux:drivers/gpu/drm/i915/display/intel_cursor.c, linux:drivers/gpu/drm/i915/gvt/fb_decoder.c
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.drm_format import DrmFormat
from pvinfo.registers.cursor import Cursor, CursorMode
from pvinfo.registers.plane import PlaneRotation, PlaneTiling

from ..gpu.surface.rectangle import Rectangle
from ..gpu.surface.surface import Surface
from .planes import Blend, PlaneView, ScannedDevice, Unshown, pipe_name, surface_shown

__all__ = ("cursor_view",)


class _CursorShape(NamedTuple):
    size: int
    alpha: bool


_CURSORS: Final[dict[int, _CursorShape]] = {
    CursorMode.X64_XRGB: _CursorShape(64, False),
    CursorMode.X128_XRGB: _CursorShape(128, False),
    CursorMode.X256_XRGB: _CursorShape(256, False),
    CursorMode.X64_ARGB: _CursorShape(64, True),
    CursorMode.X128_ARGB: _CursorShape(128, True),
    CursorMode.X256_ARGB: _CursorShape(256, True),
}
_MODE_BITS: Final = 0x27
_FEWER_LINES: Final = 1 << 31


def cursor_view(device: ScannedDevice, pipe: str) -> PlaneView | Unshown | None:
    """The cursor, if it is shown. It may lie outside the pipe, wholly or in part."""
    cursor = Cursor(device.registers, pipe)
    control = cursor.ctl
    address = surface_shown(cursor)
    mode = control.mode & _MODE_BITS
    if mode == CursorMode.DISABLE or address is None:
        return None
    name = f"{pipe_name(pipe)} cursor (CURCNTR {cursor.base:#x})"
    place = cursor.pos
    x = -place.x if place.x_negative else place.x
    y = -place.y if place.y_negative else place.y
    shape = _CURSORS.get(mode)
    if shape is None:
        return Unshown(name, Rectangle(x, y, x + 64, y + 64), "cursor-mode", f"its mode is {mode:#x}", control)
    height = shape.size
    if cursor.fbc_ctl & _FEWER_LINES and not control.rotate_180:
        height = min(height, (cursor.fbc_ctl & 0xFF) + 1)
    return PlaneView(
        name, Surface(address, 4 * shape.size, None), DrmFormat.ARGB8888 if shape.alpha else DrmFormat.XRGB8888, PlaneTiling.LINEAR,
        0, 0, x, y, shape.size, height, PlaneRotation.DEGREES_180 if control.rotate_180 else PlaneRotation.DEGREES_0,
        Blend.PREMULTIPLIED if shape.alpha else Blend.OPAQUE, gamma=control.pipe_gamma,
    )  # fmt: skip
