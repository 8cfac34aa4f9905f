"""Suspend and resume: the device sleeps in D3hot, in which it may lose everything but what its host keeps for it.

A vGPU that is reset while it sleeps, as when its machine wakes up, forgets registers and table entries, which the driver writes anew, but not
the address spaces that were announced: nothing announces them twice.

Source: linux:drivers/gpu/drm/i915/i915_driver.c (i915_drm_suspend, i915_drm_suspend_late, i915_drm_resume_early, i915_drm_resume)
"""

from __future__ import annotations

from typing import Final

from .device import Device
from .faults import check_and_clear_faults
from .probe import setup_private_pat

__all__ = ("i915_drm_resume", "i915_drm_suspend")

_IDLE_NS: Final = 500_000_000
"""How long engines get to finish. Source: linux:drivers/gpu/drm/i915/gt/intel_gt_pm.h (I915_GT_SUSPEND_IDLE_TIMEOUT)"""


def i915_drm_suspend(device: Device) -> None:
    """Let the engines finish, or give up what they do not finish; leave the device quiet, and put it to sleep."""
    gt = device.gt
    if not gt.wait_for_idle(_IDLE_NS):
        device.log.error("suspend-busy", "engines do not finish before the suspend: their work is given up")
        gt.set_wedged()
    device.interrupts.reset()
    check_and_clear_faults(device.uncore)
    gt.suspend()
    device.pci.sleep()


def i915_drm_resume(device: Device) -> None:
    """Wake the device up and write everything again: the table, fences, interrupts, engines."""
    device.pci.wake()
    with device.uncore.held_awake():
        check_and_clear_faults(device.uncore)
        device.ggtt.resume()
        device.fences.restore()
        setup_private_pat(device.uncore)
        device.interrupts.reopen()
        device.gt.resume()
