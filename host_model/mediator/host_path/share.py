"""The part of the GPU that the host's driver has for itself: of what the host keeps, the lower half.

The upper half is the mediator's, for shadow contexts and copies of batches, which are taken from its top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.units import PAGE_SIZE

from ..resources import VgpuResources
from ..types import HOST_FENCES, HOST_HIGH, HOST_LOW

if TYPE_CHECKING:
    from ...gpu.device import PhysicalGpu

__all__ = ("host_share",)


def host_share(gpu: PhysicalGpu) -> VgpuResources:
    """Graphics addresses and fences of the host's driver. Address 0 stands for no address in several registers, so it is left out."""
    aperture = gpu.aperture_size
    low = range(PAGE_SIZE, min(HOST_LOW, aperture) // 2)
    high = range(aperture, aperture + min(HOST_HIGH, gpu.ggtt_size - aperture) // 2)
    return VgpuResources(low, high, tuple(range(HOST_FENCES)))
