"""What the mediator knows of its guest through the PVINFO page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, final

from pvinfo.notify import Notification
from pvinfo.page import (
    PVINFO_BASE,
    VGT_IF,
    VGT_MAGIC,
    VGT_VERSION_MAJOR,
    VGT_VERSION_MINOR,
    Capability,
    GraphicsRange,
    VgtIf,
)

if TYPE_CHECKING:
    from .vgpu import Vgpu

__all__ = ("ALL_CAPABILITIES", "PvState")

ALL_CAPABILITIES = Capability.FULL_PPGTT | Capability.HWSP_EMULATION | Capability.HUGE_GTT


@final
class PvState:
    """The page's contents at reset, and what the guest has said through it since."""

    def __init__(
        self, vgpu: Vgpu, *, capabilities: Capability = ALL_CAPABILITIES, version: tuple[int, int] = (VGT_VERSION_MAJOR, VGT_VERSION_MINOR)
    ) -> None:
        self._vgpu = vgpu
        self.capabilities = capabilities
        self.version = version
        self.guest_is_aware = False
        """The guest has read the page: it knows GVT-g."""
        self.display_ready = False
        self.notifications: Counter[Notification] = Counter()
        self.unknown_notifications = 0

    def initial_page(self) -> VgtIf:
        """The page as a guest first finds it."""
        resources = self._vgpu.resources
        blank = VGT_IF.unpack_from(bytes(VGT_IF.size))
        return blank._replace(
            magic=VGT_MAGIC,
            version_major=self.version[0],
            version_minor=self.version[1],
            vgt_id=self._vgpu.number,
            vgt_caps=int(self.capabilities),
            avail_rs=blank.avail_rs._replace(
                mappable_gmadr=GraphicsRange(resources.low.start, len(resources.low)),
                nonmappable_gmadr=GraphicsRange(resources.high.start, len(resources.high)),
                fence_num=len(resources.fences),
            ),
            cursor_x_hot=0xFFFFFFFF,
            cursor_y_hot=0xFFFFFFFF,
        )

    def publish(self) -> None:
        """Write the initial page into the vGPU's registers."""
        VGT_IF.pack_into(self._vgpu.registers.bytes, PVINFO_BASE, self.initial_page())

    def forget_guest(self) -> None:
        """A new guest: nothing is known of it."""
        self.guest_is_aware = False
        self.display_ready = False
