"""Commands that have to do with display, which a vGPU has to itself: the mediator flips, and no engine waits for it.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from typing import Final

from pvinfo.commands.mi.display import DisplayFlipHeader, FlipKind, FlipPitch, FlipSurface, WaitForEventHeader
from pvinfo.registers.plane import BroadwellPlaneControl, Plane, PlaneControl, PlaneStride, PlaneSurface

from .flow import wrong_length
from .scan import Scan

__all__ = ("display_flip", "wait_for_event")

_FLIPS_WAITED_FOR: Final = (
    WaitForEventHeader.plane_a_flip.mask | WaitForEventHeader.sprite_a_flip.mask | WaitForEventHeader.plane_b_flip.mask
    | WaitForEventHeader.sprite_b_flip.mask | WaitForEventHeader.plane_c_flip.mask | WaitForEventHeader.sprite_c_flip.mask
)  # fmt: skip


_GEN8_PLANES: Final = {
    0: "PIPE_A_PLANE_1", 1: "PIPE_B_PLANE_1", 2: "PIPE_A_PLANE_2", 3: "PIPE_B_PLANE_2", 4: "PIPE_C_PLANE_1", 5: "PIPE_C_PLANE_2",
}  # fmt: skip
"""Planes by the code in the header."""
_GEN9_PLANES: Final = {0: "PIPE_A_PLANE_1"}
"""The others the kernel's mediator compares wrongly, and refuses."""
_SURFACE: Final = FlipSurface.address.mask
_GEN8_STRIDE: Final = FlipPitch.pitch.mask
_GEN9_STRIDE: Final = 0x3FF


def wait_for_event(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """The mediator flips while it audits; the GPU, which has a display of its own, knows nothing of it to wait for."""
    if header & _FLIPS_WAITED_FOR:
        dwords[at] = 0
    return at + 1


def display_flip(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """Show another surface on a plane of the vGPU, at its next vertical blank or at once."""
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


def _flip(scan: Scan, name: str, pitch: FlipPitch, surface: int) -> None:
    plane = Plane(scan.vgpu.registers, name)
    plane.surf = PlaneSurface(plane.surf & ~_SURFACE | surface & _SURFACE)
    if scan.graphics_version >= 9:
        plane.stride = PlaneStride(plane.stride & ~_GEN9_STRIDE | pitch.pitch)
        plane.ctl = PlaneControl(plane.ctl & ~PlaneControl.tiling.mask | pitch.tiling << PlaneControl.tiling.low)
    else:
        plane.stride = PlaneStride(plane.stride & ~_GEN8_STRIDE | pitch & _GEN8_STRIDE)
        tiled = BroadwellPlaneControl.tiled_x
        plane.ctl = PlaneControl(plane.ctl & ~tiled.mask | (pitch.tiling & 1) << tiled.low)
    scan.vgpu.display.pipes.flip(name, asynchronous=surface & FlipSurface.kind.mask == FlipKind.ASYNCHRONOUS)
