"""Pipes and planes: a transcoder runs as soon as it is switched on, a new surface is shown as soon as it is written.

Frames are not counted and there are no vertical blanks yet, so a guest that shows a picture waits for them in vain.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (pipeconf_mmio_write, pri_surf_mmio_write, reg50080_mmio_write)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pvinfo.registers.pipe import Pipe
from pvinfo.registers.plane import FlipKind, FlipTarget, Plane, PlaneFlip, PlaneSurface
from pvinfo.registers.transcoder import TranscoderConfig, TranscoderSwitch

from ..interrupts import Event
from . import on_write

if TYPE_CHECKING:
    from ..base import RegisterDevice


@on_write(TranscoderSwitch.conf)
def transcoder_switched(device: RegisterDevice, offset: int, value: TranscoderConfig) -> int:
    if value.enable:
        device.findings.not_modelled(
            "vblank", f"TRANSCONF ({offset:#x})", "a transcoder was switched on; it runs, but no vertical blank is reported", value=value
        )
    return TranscoderConfig.of(value, state=value.enable)


class _PlanePlace(NamedTuple):
    plane: str
    pipe: str
    number: int


_PLANES: Final = {
    base: _PlanePlace(name, name[: len("PIPE_A")], int(name[-1])) for name, base in Plane.bases.items()
}
_FLIP_TARGETS: Final = {base: name for name, base in PlaneFlip.bases.items()}
_FLIP_EVENTS: Final = {
    ("PIPE_A", 1): Event.PIPE_A_PRIMARY_FLIP,
    ("PIPE_B", 1): Event.PIPE_B_PRIMARY_FLIP,
    ("PIPE_C", 1): Event.PIPE_C_PRIMARY_FLIP,
    ("PIPE_A", 2): Event.PIPE_A_SPRITE_FLIP,
    ("PIPE_B", 2): Event.PIPE_B_SPRITE_FLIP,
    ("PIPE_C", 2): Event.PIPE_C_SPRITE_FLIP,
}
"""Planes that report a flip, by pipe and number; plane 1 is the primary plane, plane 2 the sprite."""


def _show(device: RegisterDevice, place: _PlanePlace, surface: int, asynchronous: bool) -> None:
    Plane(device.registers, place.plane).surflive = PlaneSurface(surface)
    if place.number == 1:
        pipe = Pipe(device.registers, place.pipe)
        pipe.flipcount = (pipe.flipcount + 1) & 0xFFFFFFFF
    event = _FLIP_EVENTS.get((place.pipe, place.number))
    if asynchronous and event is not None:
        device.interrupts.raise_event(event)


@on_write(Plane.surf)
def surface_written(device: RegisterDevice, offset: int, value: PlaneSurface) -> int:
    place = _PLANES[offset - Plane.surf.offset]
    device.registers.write32(offset, value)
    _show(device, place, value, Plane(device.registers, place.plane).ctl.async_flip)
    return device.registers.read32(offset)


@on_write(PlaneFlip.target)
def flip_written(device: RegisterDevice, offset: int, value: FlipTarget) -> int:
    place = _PLANES[Plane.base_of(_FLIP_TARGETS[offset])]
    _show(device, place, value, value.kind == FlipKind.ASYNCHRONOUS)
    return value
