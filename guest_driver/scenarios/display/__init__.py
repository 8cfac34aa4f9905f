"""Scenarios of monitors and what they show, one module per idea."""

from __future__ import annotations

TITLE = "Showing a picture"

ORDER = ("mode", "edid", "flip", "tiling", "drawing", "cursor", "hotplug", "apart", "dark", "bare")
"""The modules in the order in which they are best read; others follow by name."""
