"""The way back: from a registered driver to none, in the real driver's order.

Nothing tells the host that the display is no longer ready; it learns of the address spaces that go.
Source: linux:drivers/gpu/drm/i915/i915_driver.c
"""

from __future__ import annotations

from .device import Device

__all__ = ("i915_driver_release", "i915_driver_remove")


def i915_driver_remove(device: Device) -> None:
    """Clients go, the GT is quiesced, interrupts end."""
    for client in tuple(device.clients):
        client.close()
    device.gt.unregister()
    device.interrupts.uninstall(device.machine.gpu)
    device.gt.remove()
    device.pci.disable_msi()


def i915_driver_release(device: Device) -> None:
    """The last memory is given back, and the balloons are let out."""
    device.gt.release()
    device.ggtt.cleanup()
    device.balloon.deflate()
