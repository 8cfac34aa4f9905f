"""The policy of a device like a virtual function: a fixed part of the GPU, used without a shadow.

What its driver writes to its part of the global table, to page tables and contexts is used by the GPU as it stands, as addresses of
the partition's own IOMMU domain (:mod:`.domain`), in which a page is pinned when the GPU first asks for it. Its work waits for its
turn among everybody's (:mod:`.device`), and runs as it was made. Nobody looks through it, so the GPU keeps the engines that work for
it inside its bounds (:mod:`.function`).

What such a device has not: a screen. Nothing is plugged into its display.

Source: linux:drivers/gpu/drm/xe/xe_gt_sriov_pf_config.c, linux:drivers/gpu/drm/xe/xe_ggtt.c (xe_ggtt_assign: a table entry's VF number)
"""

from __future__ import annotations

from .device import FIRST_NUMBER, PartitionDevice
from .domain import PartitionDomain
from .policy import PartitionPolicy

__all__ = ("FIRST_NUMBER", "PartitionDevice", "PartitionDomain", "PartitionPolicy")
