"""The host's own path: its graphics driver as one more client of the mediator, beside the vGPUs.

The driver finds a device in its slot (:class:`~.device.HostDevice`) whose registers are, by a table (:mod:`.ways`), either the
physical GPU's own, such as all of display, clocks and power, or emulated, where guests have their share of them as well: engines,
fences, interrupts, and the page that says which part of graphics memory is its own. The driver is trusted: its contexts run as they are,
without shadow and audit, on its own memory; but they wait their turn.

Source: linux:drivers/gpu/drm/i915/gvt/gvt.h (the host's share)
"""
