"""Failsafe mode: a guest that cannot be trusted keeps a page of plain memory instead of a GPU.

Source: linux:drivers/gpu/drm/i915/gvt/handlers.c (enter_failsafe_mode)
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, final

from ..device.mmio.policy import storage_policy
from .policy import policy_for

if TYPE_CHECKING:
    from .vgpu import Vgpu

__all__ = ("Failsafe", "FailsafeReason")


class FailsafeReason(Enum):
    """Why the mediator stopped serving a guest."""

    UNSUPPORTED_GUEST = "unsupported guest"
    INSUFFICIENT_RESOURCE = "insufficient resource"
    GUEST_ERROR = "guest error"


_ADVICE: Final = {
    FailsafeReason.UNSUPPORTED_GUEST: "the guest's driver does not know GVT-g, or asks for what GVT-g never offered",
    FailsafeReason.INSUFFICIENT_RESOURCE: "the guest says that its share of the GPU is not enough for it",
    FailsafeReason.GUEST_ERROR: "the guest submitted work that the audit refused",
}


@final
class Failsafe:
    """Whether the vGPU is in failsafe mode, and since which act of its guest. Only a device reset leads out."""

    def __init__(self, vgpu: Vgpu) -> None:
        self._vgpu = vgpu
        self.reason: FailsafeReason | None = None
        self.entered = 0
        """How often the mode was entered since the vGPU was made."""

    def __bool__(self) -> bool:
        return self.reason is not None

    def enter(self, reason: FailsafeReason, where: str, value: int | None = None) -> None:
        """Stop trusting the guest because of what it did at ``where``."""
        if self.reason is not None:
            return
        self.reason = reason
        self.entered += 1
        self._vgpu.findings.fault(
            "failsafe", where, f"failsafe mode entered, {reason.value}: {_ADVICE[reason]}; a device reset leads out", value=value
        )
        self._vgpu.display.pipes.settle()  # what frames have shown by now; from here on nobody looks
        self._vgpu.submission.enabled = False
        self._vgpu.mmio.use(storage_policy())

    def take_over(self, reason: FailsafeReason | None, entered: int) -> None:
        """Go on where another host has stopped; ``reason``: what the mode was entered for, if it was."""
        self.reason, self.entered = reason, entered
        if reason is not None:
            self._vgpu.submission.enabled = False
            self._vgpu.mmio.use(storage_policy())

    def leave(self) -> None:
        """A device reset makes the guest a new one."""
        if self.reason is not None:
            self.reason = None
            self._vgpu.mmio.use(policy_for(self._vgpu.platform.name))
