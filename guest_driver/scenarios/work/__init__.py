"""Scenarios of engines that execute, one module per idea. They use what a driver offers and nothing else, and so can be
told of any device whose engines work."""

from __future__ import annotations

from ..needs import DeviceKind, Needs

TITLE = "Engines at work"

ORDER = ("first_request", "store", "fill", "copy", "page_tables", "rewritten_tables", "context", "ports", "semaphore", "hang", "masked_interrupts", "fenced_aperture")
"""The modules in the order in which they are best read; others follow by name."""

NEEDS = Needs(devices=(DeviceKind.PHYSICAL, DeviceKind.VGPU, DeviceKind.HOST))
"""Where these stories are told; one that holds on some kind of device only names it itself."""
