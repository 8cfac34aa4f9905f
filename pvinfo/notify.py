"""What a guest says to its host by writing ``g2v_notify``."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ("NOTIFICATION_DOC", "Notification")

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_pvinfo.h"


class Notification(IntEnum):
    """The kernel's ``enum vgt_g2v_type``. The page-table roots are written to ``pdp`` first."""

    PPGTT_L3_PAGE_TABLE_CREATE = 2
    PPGTT_L3_PAGE_TABLE_DESTROY = 3
    PPGTT_L4_PAGE_TABLE_CREATE = 4
    PPGTT_L4_PAGE_TABLE_DESTROY = 5
    EXECLIST_CONTEXT_CREATE = 6
    EXECLIST_CONTEXT_DESTROY = 7


NOTIFICATION_DOC: Final[dict[Notification, str]] = {
    Notification.PPGTT_L3_PAGE_TABLE_CREATE: "a 3-level page table with the four roots in pdp now exists",
    Notification.PPGTT_L3_PAGE_TABLE_DESTROY: "the 3-level page table with the four roots in pdp is about to be freed",
    Notification.PPGTT_L4_PAGE_TABLE_CREATE: "a 4-level page table whose root is pdp[0] now exists",
    Notification.PPGTT_L4_PAGE_TABLE_DESTROY: "the 4-level page table whose root is pdp[0] is about to be freed",
    Notification.EXECLIST_CONTEXT_CREATE: "an execlist context was created; accepted, no action",
    Notification.EXECLIST_CONTEXT_DESTROY: "an execlist context was destroyed; accepted, no action",
}
