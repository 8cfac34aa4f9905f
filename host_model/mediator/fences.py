"""A client's fences: which hardware fence stands behind each of them.

Its driver's fence ``n`` is the hardware's ``client.resources.fences[n]``; graphics addresses are the same on both sides, so a
value is passed on as it is. Where this differs from the kernel's mediator, on purpose: a fence that covers graphics memory
outside the client's slices never reaches the hardware, where it would change what others see through the aperture.

Source: linux:drivers/gpu/drm/i915/gvt/aperture_gm.c (intel_vgpu_write_fence)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from pvinfo.registers.fence import FENCE_BASE, FenceHigh, FenceLow, FenceRegister
from pvinfo.units import PAGE_SHIFT, format_range

if TYPE_CHECKING:
    from .client import Client

__all__ = ("ClientFences",)


@final
class ClientFences:
    """The fences of one client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __len__(self) -> int:
        return len(self._client.resources.fences)

    def store(self, number: int, offset: int, half: int) -> None:
        """Its driver writes the register at ``offset``, which is half of its own fence ``number``."""
        registers = self._client.registers
        registers.write32(offset, half)
        fence = FenceRegister(registers, f"FENCE{number}")
        self.write(number, fence.hi << 32 | fence.lo)

    def write(self, number: int, value: int) -> None:
        """Put the 64-bit ``value`` of its driver's fence ``number`` into effect. The number must be one of its own."""
        low, high = FenceLow(value & 0xFFFFFFFF), FenceHigh(value >> 32)
        if not low.valid:
            value = 0
        elif not self._is_owned(low, high):
            start, end = self._range(low, high)
            self._client.findings.fault(
                "fence-outside-slice", f"fence {number} ({FENCE_BASE + 8 * number:#x})",
                f"the fence covers {format_range(start, end) if start < end else f'{start:#x} to before {end:#x}'}, "
                "which is not all in one of its slices; it stays out of use",
                value=value, nearest=self._client.resources.owned,
            )  # fmt: skip
            value = 0
        self._client.gpu.write_fence(self._client.resources.fences[number], value)

    @staticmethod
    def _range(low: FenceLow, high: FenceHigh) -> tuple[int, int]:
        return low.start_page << PAGE_SHIFT, (high.last_page + 1) << PAGE_SHIFT

    def _is_owned(self, low: FenceLow, high: FenceHigh) -> bool:
        start, end = self._range(low, high)
        return start < end and self._client.ggtt.owns(start, end - start)

    def clear(self) -> None:
        """Take every fence of the client out of use in the hardware."""
        for hardware in self._client.resources.fences:
            self._client.gpu.write_fence(hardware, 0)
