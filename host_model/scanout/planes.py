"""What a pipe shows, out of its registers: planes from the lowest to the highest.

A plane is a rectangle of a surface at a place of the pipe. One that this model cannot show is a plain rectangle there.

Source: linux:drivers/gpu/drm/i915/display/skl_universal_plane.c, linux:drivers/gpu/drm/i915/display/i9xx_plane.c,
linux:drivers/gpu/drm/i915/display/intel_sprite.c
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from pvinfo.drm_format import DrmFormat
from pvinfo.finding import FindingLog
from pvinfo.platform import Platform
from pvinfo.registers.cursor import Cursor
from pvinfo.registers.pipe import GammaMode, Pipe, PipeColor, PipePalette
from pvinfo.registers.plane import (
    PLANES_PER_PIPE,
    BroadwellPlaneControl,
    BroadwellPlaneFormat,
    BroadwellSpriteControl,
    BroadwellSpriteFormat,
    Plane,
    PlaneAlpha,
    PlaneFormat,
    PlaneKey,
    PlaneRotation,
    PlaneTiling,
    Size,
    YuvOrder,
)
from pvinfo.registers.scaler import Scaler
from pvinfo.registers.transcoder import Transcoder
from pvinfo.units import PAGE_MASK

from ..device.display.display import Display
from ..device.mmio.registers import RegisterPage
from ..gpu.surface.rectangle import Rectangle
from ..gpu.surface.surface import Surface
from ..gpu.surface.tiling import TILE_X, TILE_Y, TILE_YF, Tiling
from .blending import ColorKey
from .memory import DisplayMemory
from .pixels import IDENTITY, Colors, ColorTables, bytes_per_pixel, is_yuv

__all__ = (
    "Blend",
    "PipeSize",
    "PlaneView",
    "ScannedDevice",
    "Unshown",
    "background",
    "pipe_gamma",
    "pipe_name",
    "pipe_size",
    "plane_views",
    "primary_view",
    "surface_shown",
)

_X_BITS: Final = 0x1FFF
_Y_BITS: Final = 0xFFF
"""Widths and columns have 13 bits, heights and rows 12: no picture is larger than 8192 by 4096."""
_BROADWELL_STRIDE: Final = 0xFFC0
_LINEAR_STRIDE: Final = 64
_ALL: Final = 0xFFFFFFFF


class ScannedDevice(Protocol):
    """A GPU whose picture can be taken."""

    @property
    def platform(self) -> Platform:
        """Which GPU it is."""

    @property
    def registers(self) -> RegisterPage:
        """What is stored."""

    @property
    def findings(self) -> FindingLog:
        """Where remarks go."""

    @property
    def display(self) -> Display:
        """What it drives."""

    @property
    def display_memory(self) -> DisplayMemory:
        """What its planes can show."""


class PipeSize(NamedTuple):
    """The pipe's picture, before a scaler for the whole of it."""

    width: int
    height: int


class Blend(Enum):
    """How a plane meets what is below it."""

    OPAQUE = auto()
    PREMULTIPLIED = auto()
    STRAIGHT = auto()


class PlaneView(NamedTuple):
    """One plane or cursor that is shown."""

    name: str
    """As findings call it."""
    surface: Surface
    pixel_format: DrmFormat
    tiling: PlaneTiling
    offset_x: int
    """First column of the surface that is shown; of a surface that is mapped turned, of the turned one."""
    offset_y: int
    x: int
    """Place on the pipe; may be left of it."""
    y: int
    width: int
    height: int
    rotation: PlaneRotation = PlaneRotation.DEGREES_0
    blend: Blend = Blend.OPAQUE
    key: ColorKey | None = None
    gamma: bool = False
    """Colours go through the pipe's gamma correction."""
    colors: Colors = Colors()

    @property
    def area(self) -> Rectangle:
        """Where it is on the pipe."""
        return Rectangle(self.x, self.y, self.x + self.width, self.y + self.height)

    @property
    def mapped_turned(self) -> bool:
        """The tiles stand in memory in the order of the turned surface."""
        return self.rotation in (PlaneRotation.DEGREES_90, PlaneRotation.DEGREES_270)


class Unshown(NamedTuple):
    """A plane that this model cannot show."""

    name: str
    area: Rectangle
    rule: str
    why: str
    value: int
    """Of the register that asks for it."""


# ---- the pipe ----


def pipe_name(pipe: str) -> str:
    """As findings call it."""
    return f"pipe {pipe[-1]}"


def pipe_size(registers: RegisterPage, pipe: str) -> PipeSize:
    """The size of the picture."""
    source = Transcoder(registers, f"TRANSCODER_{pipe[-1]}").pipesrc
    return PipeSize((source >> 16 & _X_BITS) + 1, (source & _Y_BITS) + 1)


def background(device: ScannedDevice, pipe: str) -> bytes:
    """The pixel where no plane is."""
    if device.platform.graphics_version < 9:
        return bytes(4)
    color = Pipe(device.registers, pipe).bottom_color
    return bytes((color.blue >> 2, color.green >> 2, color.red >> 2, 0))


def _palette(registers: RegisterPage, pipe: str) -> ColorTables:
    first = PipePalette.entry.at(pipe) >> 2
    return ColorTables.of_entries(registers.dwords[first : first + 256].tolist())


def pipe_gamma(device: ScannedDevice, pipe: str) -> ColorTables | None:
    """The pipe's gamma correction; None where it changes nothing."""
    mode = PipeColor(device.registers, pipe).gamma_mode.mode
    if mode != GammaMode.LEGACY_8BIT:
        device.findings.not_modelled(
            "gamma-mode", f"GAMMA_MODE of {pipe_name(pipe)}", "gamma correction of more than 8 bits; colours are shown without it", value=int(mode)
        )
        return None
    tables = _palette(device.registers, pipe)
    return None if tables == IDENTITY else tables


# ---- planes ----

_TILINGS: Final[dict[PlaneTiling, Tiling]] = {PlaneTiling.X: TILE_X, PlaneTiling.Y: TILE_Y}

_SKYLAKE_FORMATS: Final[dict[int, tuple[DrmFormat, DrmFormat | None]]] = {
    PlaneFormat.XRGB2101010: (DrmFormat.XRGB2101010, DrmFormat.XBGR2101010),
    PlaneFormat.XRGB8888: (DrmFormat.XRGB8888, DrmFormat.XBGR8888),
    PlaneFormat.XRGB16161616F: (DrmFormat.XRGB16161616F, DrmFormat.XBGR16161616F),
    PlaneFormat.RGB565: (DrmFormat.RGB565, None),
    PlaneFormat.INDEXED: (DrmFormat.C8, DrmFormat.C8),
}
"""Blue in the lowest bits, and red."""
_WITH_ALPHA: Final = {
    DrmFormat.XRGB8888: DrmFormat.ARGB8888,
    DrmFormat.XBGR8888: DrmFormat.ABGR8888,
    DrmFormat.XRGB16161616F: DrmFormat.ARGB16161616F,
    DrmFormat.XBGR16161616F: DrmFormat.ABGR16161616F,
}
_YUV: Final = {YuvOrder.YUYV: DrmFormat.YUYV, YuvOrder.UYVY: DrmFormat.UYVY, YuvOrder.YVYU: DrmFormat.YVYU, YuvOrder.VYUY: DrmFormat.VYUY}
_BLENDS: Final[dict[int, Blend]] = {PlaneAlpha.PREMULTIPLIED: Blend.PREMULTIPLIED, PlaneAlpha.STRAIGHT: Blend.STRAIGHT}
_BROADWELL_FORMATS: Final[dict[int, DrmFormat]] = {
    BroadwellPlaneFormat.INDEXED8: DrmFormat.C8,
    BroadwellPlaneFormat.BGRX565: DrmFormat.RGB565,
    BroadwellPlaneFormat.BGRX8888: DrmFormat.XRGB8888,
    BroadwellPlaneFormat.RGBX101010: DrmFormat.XBGR2101010,
    BroadwellPlaneFormat.BGRX101010: DrmFormat.XRGB2101010,
    BroadwellPlaneFormat.RGBX161616F: DrmFormat.XBGR16161616F,
    BroadwellPlaneFormat.RGBX8888: DrmFormat.XBGR8888,
}
_SPRITE_FORMATS: Final[dict[int, tuple[DrmFormat, DrmFormat]]] = {
    BroadwellSpriteFormat.RGBX101010: (DrmFormat.XRGB2101010, DrmFormat.XBGR2101010),
    BroadwellSpriteFormat.RGBX888: (DrmFormat.XRGB8888, DrmFormat.XBGR8888),
    BroadwellSpriteFormat.RGBX161616F: (DrmFormat.XRGB16161616F, DrmFormat.XBGR16161616F),
}


def surface_shown(block: Plane | Cursor) -> int | None:
    """The graphics address that a plane or cursor shows; None where none has been latched yet, though one was written."""
    live, written = block.surflive & ~PAGE_MASK & _ALL, block.surf & ~PAGE_MASK & _ALL
    return None if not live and written else live


def _sized(size: Size) -> tuple[int, int]:
    return (size.width & _X_BITS) + 1, (size.height & _Y_BITS) + 1


def plane_views(device: ScannedDevice, pipe: str) -> list[PlaneView | Unshown]:
    """The planes that are shown, the lowest first."""
    if device.platform.graphics_version < 9:
        found = [_broadwell_primary(device, pipe), _broadwell_sprite(device, pipe)]
    else:
        found = [_universal(device, pipe, number) for number in range(1, PLANES_PER_PIPE + 1)]
    return [view for view in found if view is not None]


def primary_view(device: ScannedDevice, pipe: str) -> PlaneView | Unshown | None:
    """The lowest plane alone."""
    return _broadwell_primary(device, pipe) if device.platform.graphics_version < 9 else _universal(device, pipe, 1)


def _universal(device: ScannedDevice, pipe: str, number: int) -> PlaneView | Unshown | None:
    plane = Plane(device.registers, f"{pipe}_PLANE_{number}")
    control = plane.ctl
    address = surface_shown(plane)
    if not control.enable or address is None:
        return None
    name = f"{pipe_name(pipe)} plane {number} (PLANE_CTL {plane.base:#x})"
    width, height = _sized(plane.size)
    x, y = plane.pos.x & _X_BITS, plane.pos.y & _Y_BITS
    area = Rectangle(x, y, x + width, y + height)
    for scaler_name in Scaler.bases:
        scaler = Scaler(device.registers, scaler_name)
        if scaler_name.startswith(pipe) and scaler.ctrl.enable and scaler.ctrl.binding == number:
            left, top = scaler.win_pos.x, scaler.win_pos.y
            area = Rectangle(left, top, left + scaler.win_sz.width, top + scaler.win_sz.height)
            return Unshown(name, area, "plane-scaler", "its picture goes through a scaler", scaler.ctrl)
    if control.render_decompression:
        return Unshown(name, area, "plane-compression", "its surface is compressed", control)
    pixel_format = _universal_format(control.pixel_format, control.yuv_order, rgbx=control.order_rgbx)
    if pixel_format is None:
        return Unshown(name, area, "plane-format", f"its format is {_called(control.pixel_format)}", control)
    blend = _BLENDS.get(control.alpha, Blend.OPAQUE)
    if blend is not Blend.OPAQUE:
        pixel_format = _WITH_ALPHA.get(pixel_format, pixel_format)
    tiling = control.tiling
    if not isinstance(tiling, PlaneTiling):
        return Unshown(name, area, "plane-tiling", f"its tiling has number {tiling}", control)
    rotation = PlaneRotation(control.rotation)
    layout = _tiling(tiling, bytes_per_pixel(pixel_format))
    if rotation in (PlaneRotation.DEGREES_90, PlaneRotation.DEGREES_270):
        if layout is None or layout is TILE_X or is_yuv(pixel_format):
            return Unshown(name, area, "plane-rotation", "it is turned by 90 degrees, and neither Y-tiled nor Yf-tiled RGB", control)
    return PlaneView(
        name, Surface(address, plane.stride.stride * (_LINEAR_STRIDE if layout is None else layout.width), layout), pixel_format, tiling,
        plane.offset.x & _X_BITS, plane.offset.y & _Y_BITS, x, y, width, height, rotation,
        blend if pixel_format in _WITH_ALPHA.values() else Blend.OPAQUE,
        _key(plane, control.key == PlaneKey.SOURCE, control.key == PlaneKey.DESTINATION),
        control.pipe_gamma and pixel_format is not DrmFormat.C8,
        _colors(device.registers, pipe, pixel_format, bt709=control.yuv_bt709, full_range=control.yuv_range_correction_disable),
    )  # fmt: skip


def _universal_format(pixel_format: PlaneFormat | int, order: YuvOrder | int, *, rgbx: bool) -> DrmFormat | None:
    if pixel_format == PlaneFormat.YUV422:
        return _YUV[YuvOrder(order)]
    pair = _SKYLAKE_FORMATS.get(pixel_format)
    return pair[rgbx] if pair is not None else None


def _called(value: Enum | int) -> str:
    return value.name if isinstance(value, Enum) else f"number {value}"


def _tiling(tiling: PlaneTiling, size: int) -> Tiling | None:
    return TILE_YF[size] if tiling is PlaneTiling.YF else _TILINGS.get(tiling)


def _key(plane: Plane, source: bool, destination: bool) -> ColorKey | None:
    return ColorKey(plane.keyval, plane.keymsk, destination) if source or destination else None


def _colors(registers: RegisterPage, pipe: str, pixel_format: DrmFormat, *, bt709: bool, full_range: bool) -> Colors:
    return Colors(_palette(registers, pipe) if pixel_format is DrmFormat.C8 else IDENTITY, bt709, full_range)


def _broadwell_primary(device: ScannedDevice, pipe: str) -> PlaneView | Unshown | None:
    plane = Plane(device.registers, f"{pipe}_PLANE_1")
    control = BroadwellPlaneControl(plane.ctl)
    address = surface_shown(plane)
    if not control.enable or address is None:
        return None
    name = f"{pipe_name(pipe)} primary plane (DSPCNTR {plane.base:#x})"
    width, height = pipe_size(device.registers, pipe)
    coded = control.pixel_format
    pixel_format = _BROADWELL_FORMATS.get(coded)
    if pixel_format is None:
        return Unshown(name, Rectangle(0, 0, width, height), "plane-format", f"its format is {_called(coded)}", control)
    return PlaneView(
        name, Surface(address, plane.stride & _BROADWELL_STRIDE, TILE_X if control.tiled_x else None), pixel_format,
        PlaneTiling.X if control.tiled_x else PlaneTiling.LINEAR, plane.offset.x & _X_BITS, plane.offset.y & _Y_BITS,
        0, 0, width, height, PlaneRotation.DEGREES_180 if control.rotate_180 else PlaneRotation.DEGREES_0,
        gamma=control.pipe_gamma and pixel_format is not DrmFormat.C8,
        colors=_colors(device.registers, pipe, pixel_format, bt709=False, full_range=False),
    )  # fmt: skip


def _broadwell_sprite(device: ScannedDevice, pipe: str) -> PlaneView | Unshown | None:
    plane = Plane(device.registers, f"{pipe}_PLANE_2")
    control = BroadwellSpriteControl(plane.ctl)
    address = surface_shown(plane)
    if not control.enable or address is None:
        return None
    name = f"{pipe_name(pipe)} sprite (SPRCTL {plane.base:#x})"
    width, height = _sized(plane.size)
    x, y = plane.pos.x & _X_BITS, plane.pos.y & _Y_BITS
    coded = control.pixel_format
    pixel_format = None
    if coded == BroadwellSpriteFormat.YUV422 and not control.yuv_to_rgb_disable:
        pixel_format = _YUV[YuvOrder(control.yuv_order)]
    elif coded in _SPRITE_FORMATS:
        pixel_format = _SPRITE_FORMATS[coded][control.order_rgbx]
    if pixel_format is None:
        return Unshown(name, Rectangle(x, y, x + width, y + height), "plane-format", f"its format is {_called(coded)}", control)
    return PlaneView(
        name, Surface(address, plane.stride & _BROADWELL_STRIDE, TILE_X if control.tiled_x else None), pixel_format,
        PlaneTiling.X if control.tiled_x else PlaneTiling.LINEAR, plane.offset.x & _X_BITS, plane.offset.y & _Y_BITS,
        x, y, width, height, PlaneRotation.DEGREES_180 if control.rotate_180 else PlaneRotation.DEGREES_0,
        key=_key(plane, control.key_source, control.key_destination), gamma=control.pipe_gamma,
        colors=Colors(IDENTITY, control.yuv_bt709, control.yuv_range_correction_disable),
    )  # fmt: skip
