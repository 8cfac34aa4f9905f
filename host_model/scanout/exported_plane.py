"""Planes the VFIO way: a virtual machine monitor asks what a plane shows, and gets the very memory that it shows.

A *buffer* is a surface that was asked for: its pages, held whatever the guest does with its table. The same surface is the same
buffer; another number stands for another picture, so that a monitor knows when to look anew. A buffer lives until everybody who has
fetched it has let it go, and one that nobody fetches until many others have been asked for.

This way is for programs in the same process: to hand a buffer to another one takes a file descriptor of shared memory whose pages the kernel
chooses (a dma-buf), which only a kernel driver can make. Over a vfio-user socket the picture is to be had as a region of the device
(:mod:`.frame_region`), as VFIO foresees for devices whose planes are no shared buffers.

Where this differs from the kernel's mediator, on purpose: a buffer is the same only if all its pages are (there, the first); what this
way cannot express, a turned plane or one that begins in the middle of a tile, is refused instead of shown wrongly; and a buffer
shows nothing any more once its vGPU has gone.

Source: linux:drivers/gpu/drm/i915/gvt/dmabuf.c
"""

from __future__ import annotations

import errno
from typing import Final, NamedTuple, final

from pvinfo.drm_format import DrmFormat, DrmModifier
from pvinfo.errors import PeerError, UsageError
from pvinfo.frame import NO_HOT_SPOT
from pvinfo.gfx_plane import GFX_PLANE_INFO, DrmPlaneType, GfxPlaneFlags, GfxPlaneInfo
from pvinfo.registers.plane import PlaneRotation, PlaneTiling
from pvinfo.units import PAGE_MASK

from ..gpu.address_space import TranslationFault
from .cursor import cursor_view
from .frame import hot_spot
from .memory import ForeignMemory, HeldPages
from .pixels import bytes_per_pixel
from .planes import PlaneView, ScannedDevice, Unshown, primary_view

__all__ = ("ExportedPlanes", "PlaneBuffer", "SharedSurface")

_MODIFIERS: Final = {
    PlaneTiling.LINEAR: DrmModifier.LINEAR, PlaneTiling.X: DrmModifier.I915_X_TILED,
    PlaneTiling.Y: DrmModifier.I915_Y_TILED, PlaneTiling.YF: DrmModifier.I915_YF_TILED,
}  # fmt: skip
_ALL: Final = 0xFFFFFFFF
_NEVER_FETCHED: Final = 16
"""Buffers that are kept for somebody who asked, but has not fetched them."""
_PROBE: Final = GfxPlaneFlags.of(probe=True, dmabuf=True)


class SharedSurface(NamedTuple):
    """What makes two pictures the same buffer."""

    address: int
    pages: tuple[int, ...]
    """Bus addresses."""
    size: int
    """Bytes: whole rows of tiles."""
    modifier: DrmModifier
    pixel_format: DrmFormat
    width: int
    height: int
    pitch: int


class _Refused(Exception):
    """No answer; a finding says why."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


@final
class PlaneBuffer:
    """The memory of one surface. Whoever has fetched it lets it go once."""

    def __init__(self, number: int, surface: SharedSurface, held: HeldPages) -> None:
        self.number = number
        self.surface = surface
        self._held = held
        self.users = 0
        """Who has fetched it and not let it go."""

    def pages(self) -> list[memoryview] | None:
        """The pages in order, for reading only and at once; None once the machine has lost one, or the buffer was let go."""
        return self._held.views()

    def let_go(self) -> None:
        """The memory is not held any more."""
        self._held.release()


@final
class ExportedPlanes:
    """The planes of one device, for its virtual machine monitor."""

    def __init__(self, device: ScannedDevice) -> None:
        self._device = device
        self._buffers: dict[int, PlaneBuffer] = {}
        self._by_surface: dict[SharedSurface, int] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._buffers)

    # ---- the question ----

    def answer(self, request: bytes) -> bytes:
        """What VFIO_DEVICE_QUERY_GFX_PLANE answers: the record, filled in.

        Raises: WireError for another length; PeerError with EINVAL for what this way does not know or cannot show, EFAULT for
        memory that is not the guest's.
        """
        asked = GFX_PLANE_INFO.parse(request)
        if asked.flags == _PROBE:
            return request
        if asked.flags != GfxPlaneFlags.dmabuf.mask:
            raise PeerError(errno.EINVAL, f"plane query with flags {asked.flags:#x}: a plane is had as a buffer, flags 0x2")
        if asked.drm_plane_type not in (DrmPlaneType.PRIMARY, DrmPlaneType.CURSOR):
            raise PeerError(errno.EINVAL, f"plane query for type {asked.drm_plane_type}: 1 is the primary plane, 2 the cursor")
        try:
            return GFX_PLANE_INFO.pack(self._query(DrmPlaneType(asked.drm_plane_type)))
        except _Refused as refused:
            raise PeerError(refused.number, "the plane cannot be shown; the vGPU's findings say why") from None

    def query(self, plane: DrmPlaneType) -> GfxPlaneInfo | None:
        """What the primary plane or the cursor shows; all 0 where it shows nothing. None: it cannot be had, and a finding says why.

        Raises: UsageError for another plane.
        """
        if plane not in (DrmPlaneType.PRIMARY, DrmPlaneType.CURSOR):
            raise UsageError(f"plane {plane.name}: {DrmPlaneType.PRIMARY.name} and {DrmPlaneType.CURSOR.name} can be had")
        try:
            return self._query(plane)
        except _Refused:
            return None

    def _query(self, plane: DrmPlaneType) -> GfxPlaneInfo:
        device = self._device
        pipes = device.display.pipes
        pipes.settle()
        view: PlaneView | Unshown | None = None
        if pipes.running:
            view = (cursor_view if plane is DrmPlaneType.CURSOR else primary_view)(device, pipes.running[0])
        nothing = GfxPlaneInfo(GFX_PLANE_INFO.size, GfxPlaneFlags.of(dmabuf=True), plane, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes(4))
        if view is None:
            return nothing
        if isinstance(view, Unshown):
            device.findings.not_modelled(view.rule, view.name, f"{view.why}; a client that asks for the plane is refused", value=view.value)
            raise _Refused(errno.EINVAL)
        buffer = self._buffer_of(view)
        surface = buffer.surface
        info = nothing._replace(
            drm_format=int(surface.pixel_format), drm_format_mod=int(surface.modifier), width=surface.width, height=surface.height, stride=surface.pitch,
            size=surface.size, dmabuf_id=buffer.number,
        )  # fmt: skip
        if plane is not DrmPlaneType.CURSOR:
            return info
        x_hot, y_hot = hot_spot(device.registers) or (NO_HOT_SPOT, NO_HOT_SPOT)
        return info._replace(x_pos=view.x & _ALL, y_pos=view.y & _ALL, x_hot=x_hot, y_hot=y_hot)

    # ---- buffers ----

    def fetch(self, number: int) -> PlaneBuffer:
        """The buffer that a question was answered with: VFIO_DEVICE_GET_GFX_DMABUF. To be given back by :meth:`release`.

        Raises: UsageError where there is none of that number.
        """
        buffer = self._buffers.get(number)
        if buffer is None:
            raise UsageError(f"plane buffer {number}: there are {', '.join(map(str, self._buffers)) or 'none'}")
        buffer.users += 1
        return buffer

    def release(self, buffer: PlaneBuffer) -> None:
        """Undo one :meth:`fetch`; the last one lets the memory go.

        Raises: UsageError for a buffer that nobody has fetched.
        """
        if not buffer.users:
            raise UsageError(f"plane buffer {buffer.number}: nobody has it")
        buffer.users -= 1
        if not buffer.users:
            self._drop(buffer)

    def close(self) -> None:
        """The device goes away: all memory is let go."""
        for buffer in list(self._buffers.values()):
            self._drop(buffer)

    def _drop(self, buffer: PlaneBuffer) -> None:
        if self._buffers.pop(buffer.number, None) is not None:
            del self._by_surface[buffer.surface]
            buffer.let_go()

    def _buffer_of(self, view: PlaneView) -> PlaneBuffer:
        """The buffer of what ``view`` shows; a new one where no other is the same."""
        address, size = self._extent(view)
        try:
            held = self._device.display_memory.hold(address, size)
        except ForeignMemory as foreign:
            self._device.findings.fault(
                "plane-outside-slice", view.name, f"a client asked for the plane; its surface, {size:#x} bytes, is not all the vGPU's",
                value=address, nearest=foreign.owned,
            )  # fmt: skip
            raise _Refused(errno.EFAULT) from None
        except TranslationFault as fault:
            self._device.findings.fault(
                "plane-not-mapped", view.name, "a client asked for the plane; part of its surface has no memory in the GGTT", value=fault.address
            )
            raise _Refused(errno.EINVAL) from None
        surface = SharedSurface(
            address, held.bus_addresses, size, _MODIFIERS[view.tiling], view.pixel_format, view.width, view.height, view.surface.pitch
        )
        known = self._by_surface.get(surface)
        if known is not None:
            held.release()
            return self._buffers[known]
        buffer = PlaneBuffer(self._next, surface, held)
        self._next += 1
        waiting = [other for other in self._buffers.values() if not other.users]
        for other in waiting[: max(len(waiting) + 1 - _NEVER_FETCHED, 0)]:
            self._drop(other)
        self._buffers[buffer.number] = buffer
        self._by_surface[surface] = buffer.number
        return buffer

    def _extent(self, view: PlaneView) -> tuple[int, int]:
        """First address and length of the surface from the first pixel shown."""
        pixel, (base, pitch, tiling) = bytes_per_pixel(view.pixel_format), view.surface
        if view.rotation is not PlaneRotation.DEGREES_0:
            raise self._cannot(view, f"it is turned by {90 * view.rotation} degrees", view.rotation)
        across, down, tile = (tiling.width, tiling.height, tiling.size) if tiling is not None else (1, 1, 1)
        left, top = view.offset_x * pixel, view.offset_y
        if left % across or top % down:
            raise self._cannot(view, "it begins in the middle of a tile", view.offset_y << 16 | view.offset_x)
        address = base + top * pitch + left // across * tile
        if address & PAGE_MASK:
            raise self._cannot(view, "it begins in the middle of a page", address)
        size = pitch * -(-view.height // down) * down
        if not size:
            self._device.findings.fault("plane-without-rows", view.name, "a client asked for the plane, whose rows are 0 bytes apart", value=pitch)
            raise _Refused(errno.EINVAL)
        return address, size

    def _cannot(self, view: PlaneView, why: str, value: int) -> _Refused:
        self._device.findings.not_modelled("plane-export", view.name, f"{why}, which a client that asks for the plane cannot be told; it is refused", value=value)
        return _Refused(errno.EINVAL)
