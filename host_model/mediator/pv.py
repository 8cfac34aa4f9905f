"""What the mediator tells its guest through the PVINFO page, and what it knows of the guest from there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, final

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
    from .client import Client

__all__ = ("Announcement", "PvState")

_LEGACY_NOTIFICATION: Final = 1
"""Sent by guest drivers older than the enumeration; accepted without action."""
_EVERY_CAPABILITY: Final = Capability.FULL_PPGTT | Capability.HWSP_EMULATION | Capability.HUGE_GTT


class Announcement(NamedTuple):
    """How the host introduces itself. Tests of a guest's refusals announce something else than the truth."""

    magic: int = VGT_MAGIC
    version_major: int = VGT_VERSION_MAJOR
    version_minor: int = VGT_VERSION_MINOR
    capabilities: Capability = _EVERY_CAPABILITY


@final
class PvState:
    """The page's contents at reset, and what the guest has said through it since."""

    def __init__(self, client: Client, announcement: Announcement) -> None:
        self._client = client
        self.announcement = announcement
        self.guest_is_aware = False
        """The guest has read the page: it knows GVT-g."""
        self.display_ready = False
        self.notifications: Counter[Notification] = Counter()
        self.unknown_notifications = 0

    def initial_page(self) -> VgtIf:
        """The page as a guest first finds it."""
        resources = self._client.resources
        announced = self.announcement
        blank = VGT_IF.unpack_from(bytes(VGT_IF.size))
        return blank._replace(
            magic=announced.magic,
            version_major=announced.version_major,
            version_minor=announced.version_minor,
            vgt_id=self._client.number,
            vgt_caps=int(announced.capabilities),
            avail_rs=blank.avail_rs._replace(
                mappable_gmadr=GraphicsRange(resources.low.start, len(resources.low)),
                nonmappable_gmadr=GraphicsRange(resources.high.start, len(resources.high)),
                fence_num=len(resources.fences),
            ),
            cursor_x_hot=0xFFFFFFFF,
            cursor_y_hot=0xFFFFFFFF,
        )

    def publish(self) -> None:
        """Write the initial page into the client's registers."""
        VGT_IF.pack_into(self._client.registers.bytes, PVINFO_BASE, self.initial_page())
        self.display_ready = False

    def hear(self, value: int, where: str) -> Notification | None:
        """What the driver tells, counted; None where there is nothing to be done, as it means nothing."""
        if value == _LEGACY_NOTIFICATION:
            return None
        try:
            notification = Notification(value)
        except ValueError:
            self._client.findings.fault(
                "unknown-notification", where, "no such notification; it is ignored",
                value=value, nearest=f"{min(Notification)} to {max(Notification)}",
            )  # fmt: skip
            self.unknown_notifications += 1
            return None
        self.notifications[notification] += 1
        return notification

    def forget_guest(self) -> None:
        """A new guest: nothing is known of it."""
        self.guest_is_aware = False
        self.display_ready = False
