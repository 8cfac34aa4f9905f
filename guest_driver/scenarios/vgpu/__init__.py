"""Scenarios of a driver on a vGPU, one module per idea."""

from __future__ import annotations

TITLE = "Being a guest"

ORDER = ("probe", "refusal", "balloon", "fence", "aperture", "sharing", "failsafe", "lifecycle", "interrupt", "reset", "suspend")
"""The modules in the order in which they are best read; others follow by name."""
