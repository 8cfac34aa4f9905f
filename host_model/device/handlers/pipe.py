"""Transcoders, pipes and planes: what software writes to them reaches the display, and its counters are read.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (pipeconf_mmio_write, pri_surf_mmio_write, reg50080_mmio_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pvinfo.registers.cursor import Cursor
from pvinfo.registers.gt import GtClock
from pvinfo.registers.pipe import PIPE_BASES, Pipe, ScanLine
from pvinfo.registers.plane import BroadwellPlaneControl, FlipKind, FlipTarget, Plane, PlaneControl, PlaneFlip, PlaneSurface
from pvinfo.registers.transcoder import DdiFunctionControl, LinkRatio, TotalTiming, Transcoder, TranscoderConfig, TranscoderSwitch

from ..display.surfaces import cursor_of
from . import on_read, on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice

_NS_PER_US: Final = 1000
_PIPE_AT: Final = {base: name for name, base in PIPE_BASES.items()}
_PIPE_SPACE: Final = ~0xFFF
_PLANE_AT: Final = {base: name for name, base in Plane.bases.items()}
_CURSOR_AT: Final = {base: cursor_of(name) for name, base in Cursor.bases.items()}
_FLIPPED_AT: Final = {base: name for name, base in PlaneFlip.bases.items()}
_PAGE: Final = PlaneSurface.page.mask
assert PlaneControl.async_flip.mask == BroadwellPlaneControl.async_flip.mask


# ---- transcoders ----


@on_write(TranscoderSwitch.conf)
def transcoder_switched(device: RegisterDevice, offset: int, value: TranscoderConfig) -> int:
    """It runs at once when switched on, and stands at once when switched off."""
    device.registers.write32(offset, TranscoderConfig.of(value, state=value.enable))
    device.display.pipes.switched()
    return device.registers.read32(offset)


def _timing_written(device: RegisterDevice, offset: int, value: int) -> int:
    device.registers.write32(offset, value)
    device.display.pipes.retimed()
    return device.registers.read32(offset)


@on_write(Transcoder.htotal)
def line_length_written(device: RegisterDevice, offset: int, value: TotalTiming) -> int:
    return _timing_written(device, offset, value)


@on_write(Transcoder.vtotal)
def frame_length_written(device: RegisterDevice, offset: int, value: TotalTiming) -> int:
    return _timing_written(device, offset, value)


@on_write(Transcoder.link_n1)
def link_ratio_written(device: RegisterDevice, offset: int, value: LinkRatio) -> int:
    """The write of N makes M and N take effect."""
    return _timing_written(device, offset, value)


@on_write(Transcoder.ddi_func_ctl)
def function_written(device: RegisterDevice, offset: int, value: DdiFunctionControl) -> int:
    return _timing_written(device, offset, value)


# ---- pipes ----


@on_read(Pipe.dsl)
def scan_line_read(device: RegisterDevice, offset: int) -> int:
    line, second = device.display.pipes.scan_line(_PIPE_AT[offset & _PIPE_SPACE])
    return ScanLine.of(line=line, field=second)


@on_read(Pipe.frmcount)
def frames_read(device: RegisterDevice, offset: int) -> int:
    return device.display.pipes.frame_count(_PIPE_AT[offset & _PIPE_SPACE])


@on_read(Pipe.frame_timestamp)
def frame_time_read(device: RegisterDevice, offset: int) -> int:
    return device.display.pipes.frame_time_us(_PIPE_AT[offset & _PIPE_SPACE])


@on_read(Pipe.flip_timestamp)
def flip_time_read(device: RegisterDevice, offset: int) -> int:
    device.display.pipes.settle()
    return device.registers.read32(offset)


on_read(Pipe.flipcount)(flip_time_read)


@on_read(GtClock.timestamp_ctr)
def display_time_read(device: RegisterDevice, offset: int) -> int:
    """Microseconds; pipes stamp frames and flips by it."""
    return device.clock.now_ns() // _NS_PER_US & 0xFFFFFFFF


@on_write(Pipe.frmcount)
def counter_written(device: RegisterDevice, offset: int, value: int) -> int:
    """Only the hardware counts."""
    return device.registers.read32(offset)


on_write(Pipe.frame_timestamp)(counter_written)
on_write(Pipe.flip_timestamp)(counter_written)
on_write(GtClock.timestamp_ctr)(counter_written)


@on_write(Pipe.dsl)
def scan_line_written(device: RegisterDevice, offset: int, value: ScanLine) -> int:
    return device.registers.read32(offset)


# ---- planes and cursors ----


@on_write(Plane.surf)
def surface_written(device: RegisterDevice, offset: int, value: PlaneSurface) -> int:
    base = offset - Plane.surf.offset
    device.registers.write32(offset, value)
    device.display.pipes.flip(_PLANE_AT[base], asynchronous=PlaneControl(device.registers.read32(base)).async_flip)
    return device.registers.read32(offset)


@on_write(Cursor.surf)
def cursor_surface_written(device: RegisterDevice, offset: int, value: PlaneSurface) -> int:
    device.registers.write32(offset, value)
    device.display.pipes.flip(_CURSOR_AT[offset - Cursor.surf.offset])
    return device.registers.read32(offset)


@on_write(PlaneFlip.target)
def flip_written(device: RegisterDevice, offset: int, value: FlipTarget) -> int:
    name = _FLIPPED_AT[offset]
    plane = Plane(device.registers, name)
    plane.surf = PlaneSurface(plane.surf & ~_PAGE | value & _PAGE)
    device.registers.write32(offset, value)
    device.display.pipes.flip(name, asynchronous=value.kind == FlipKind.ASYNCHRONOUS)
    return device.registers.read32(offset)


@on_read(Plane.surflive)
def shown_surface_read(device: RegisterDevice, offset: int) -> int:
    device.display.pipes.settle()
    return device.registers.read32(offset)


on_read(Cursor.surflive)(shown_surface_read)


@on_write(Plane.surflive)
def shown_surface_written(device: RegisterDevice, offset: int, value: PlaneSurface) -> int:
    return device.registers.read32(offset)


on_write(Cursor.surflive)(shown_surface_written)
