"""Commands that have to do with display, which a vGPU has to itself: the mediator flips, and no engine waits for it.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.commands.mi.display import DisplayFlipHeader, FlipKind, FlipPitch, FlipSurface, WaitForEventHeader
from pvinfo.registers.pipe import Pipe
from pvinfo.registers.plane import BroadwellPlaneControl, Plane, PlaneControl, PlaneStride, PlaneSurface

from ...device.interrupts import Event
from .flow import wrong_length
from .scan import Scan

__all__ = ("display_flip", "wait_for_event")

_FLIPS_WAITED_FOR: Final = (
    WaitForEventHeader.plane_a_flip.mask | WaitForEventHeader.sprite_a_flip.mask | WaitForEventHeader.plane_b_flip.mask
    | WaitForEventHeader.sprite_b_flip.mask | WaitForEventHeader.plane_c_flip.mask | WaitForEventHeader.sprite_c_flip.mask
)  # fmt: skip


class _Flipped(NamedTuple):
    """What a plane code stands for."""

    pipe: str
    plane: int
    event: Event


_GEN8_PLANES: Final = {
    0: _Flipped("PIPE_A", 1, Event.PIPE_A_PRIMARY_FLIP),
    1: _Flipped("PIPE_B", 1, Event.PIPE_B_PRIMARY_FLIP),
    2: _Flipped("PIPE_A", 2, Event.PIPE_A_SPRITE_FLIP),
    3: _Flipped("PIPE_B", 2, Event.PIPE_B_SPRITE_FLIP),
    4: _Flipped("PIPE_C", 1, Event.PIPE_C_PRIMARY_FLIP),
    5: _Flipped("PIPE_C", 2, Event.PIPE_C_SPRITE_FLIP),
}
_GEN9_PLANES: Final = {0: _Flipped("PIPE_A", 1, Event.PIPE_A_PRIMARY_FLIP)}
"""The others the kernel's mediator compares wrongly, and refuses."""
_SURFACE: Final = FlipSurface.address.mask
_GEN8_STRIDE: Final = FlipPitch.pitch.mask
_GEN9_STRIDE: Final = 0x3FF


def wait_for_event(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """A flip is done as soon as it is asked for."""
    if header & _FLIPS_WAITED_FOR:
        dwords[at] = 0
    return at + 1


def display_flip(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """Show another surface on a plane of the vGPU. There is no vertical blank to wait for: the flip is done, and told, at once."""
    length = (header & 0xFF) + 2
    wanted = 4 if length > 2 and dwords[at + 2] & FlipSurface.kind.mask == FlipKind.STEREO else 3
    if length != wanted:
        raise wrong_length(scan, dwords, at, length, str(wanted))
    planes = _GEN9_PLANES if scan.graphics_version >= 9 else _GEN8_PLANES
    code = DisplayFlipHeader(header).plane_gen9 if scan.graphics_version >= 9 else DisplayFlipHeader(header).plane_gen8
    flipped = planes.get(code)
    if flipped is None:
        raise scan.refusal("audit-flip", dwords, at, f"plane code {code} is none that flips", nearest=f"one of {', '.join(map(str, planes))}")
    pitch, surface = FlipPitch(dwords[at + 1]), dwords[at + 2]
    for index in range(at + length - 1, at - 1, -1):  # a command that is not all there flips nothing
        dwords[index] = 0
    _flip(scan, flipped, pitch, surface)
    return at + length


def _flip(scan: Scan, flipped: _Flipped, pitch: FlipPitch, surface: int) -> None:
    registers = scan.vgpu.registers
    plane = Plane(registers, f"{flipped.pipe}_PLANE_{flipped.plane}")
    plane.surf = plane.surflive = PlaneSurface(plane.surf & ~_SURFACE | surface & _SURFACE)
    if scan.graphics_version >= 9:
        plane.stride = PlaneStride(plane.stride & ~_GEN9_STRIDE | pitch.pitch)
        plane.ctl = PlaneControl(plane.ctl & ~PlaneControl.tiling.mask | pitch.tiling << PlaneControl.tiling.low)
    else:
        plane.stride = PlaneStride(plane.stride & ~_GEN8_STRIDE | pitch & _GEN8_STRIDE)
        tiled = BroadwellPlaneControl.tiled_x
        plane.ctl = PlaneControl(plane.ctl & ~tiled.mask | (pitch.tiling & 1) << tiled.low)
    if flipped.plane == 1:
        pipe = Pipe(registers, flipped.pipe)
        pipe.flipcount = pipe.flipcount + 1 & 0xFFFFFFFF
    scan.vgpu.interrupts.raise_event(flipped.event)
