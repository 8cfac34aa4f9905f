"""Planes: the registers by which a pipe is told what to show.

What is written takes effect together, at the vertical blank after the surface's address was written.
Source: linux:drivers/gpu/drm/i915/display/skl_universal_plane.c, linux:drivers/gpu/drm/i915/display/i9xx_plane.c
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.display_mode import DisplayMode
from pvinfo.registers import (
    BroadwellPlaneControl,
    BroadwellPlaneFormat,
    Plane,
    PlaneControl,
    PlaneFormat,
    PlaneStride,
    PlaneSurface,
    PlaneTiling,
    Point,
    Size,
)
from pvinfo.units import PAGE_SIZE

from ..uncore import Uncore
from .framebuffer import Framebuffer
from .watermarks import plane_mark, write_marks

__all__ = ("PrimaryPlane",)

_ASYNC: Final = PlaneControl.async_flip.mask
"""The same bit on gen8."""


@final
class PrimaryPlane:
    """The first plane of a pipe."""

    def __init__(self, uncore: Uncore, pipe: str, mode: DisplayMode, latency_us: int) -> None:
        self._uncore = uncore
        self._pipe = pipe
        self._mode = mode
        self._latency_us = latency_us
        self._plane = Plane(uncore.regs, f"{pipe}_PLANE_1")
        self.framebuffer: Framebuffer | None = None
        """What it was told to show last."""

    @property
    def live_address(self) -> int:
        """Graphics address of what it shows now."""
        return self._plane.surflive.page * PAGE_SIZE

    def show(self, framebuffer: Framebuffer, *, asynchronous: bool = False) -> None:
        """Show ``framebuffer`` from its first pixel on, from the next vertical blank, or from now on."""
        if self._uncore.platform.graphics_version == 8:
            self._show_gen8(framebuffer, asynchronous)
        else:
            self._show_gen9(framebuffer, asynchronous)
        self.framebuffer = framebuffer

    def _show_gen9(self, framebuffer: Framebuffer, asynchronous: bool) -> None:
        plane = self._plane
        plane.stride = PlaneStride.of(stride=framebuffer.stride)
        plane.pos = Point(0)
        plane.size = Size.of(width=self._mode.hdisplay - 1, height=self._mode.vdisplay - 1)
        write_marks(self._uncore, self._pipe, plane_mark(self._mode, self._mode.hdisplay, framebuffer.tiling, self._latency_us))
        plane.keyval = plane.keymsk = plane.keymax = 0
        plane.offset = Point(0)
        plane.aux_offset = Point(0)
        plane.ctl = PlaneControl.of(
            enable=1, gamma_disable=1, pixel_format=PlaneFormat.XRGB8888, tiling=framebuffer.tiling, async_flip=asynchronous
        )
        plane.surf = PlaneSurface(framebuffer.address)

    def _show_gen8(self, framebuffer: Framebuffer, asynchronous: bool) -> None:
        uncore, plane, base = self._uncore, self._plane, f"{self._pipe}_PLANE_1"
        write_marks(uncore, self._pipe, plane_mark(self._mode, self._mode.hdisplay, framebuffer.tiling, self._latency_us))
        uncore.write(Plane.stride, framebuffer.pitch, base)
        plane.offset = Point(0)
        control = BroadwellPlaneControl.of(
            enable=1, pixel_format=BroadwellPlaneFormat.BGRX8888, tiled_x=framebuffer.tiling is PlaneTiling.X, async_flip=asynchronous
        )
        uncore.write(Plane.ctl, control, base)
        plane.surf = PlaneSurface(framebuffer.address)

    def aim(self, surface: PlaneSurface) -> None:
        """Write another surface and nothing else."""
        self._plane.surf = surface

    def show_nothing(self) -> None:
        """Switch it off, from the next vertical blank on."""
        self._plane.ctl = PlaneControl(0)
        self._plane.surf = PlaneSurface(0)
        self.framebuffer = None
