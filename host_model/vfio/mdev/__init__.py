"""Mediated devices the older way: a GPU offers types, a device of one is made by a UUID, and sysfs shows it all."""

from __future__ import annotations

from .attributes import AttributeFiles, AttributeTree
from .parent import MdevDevice, MdevParent, MdevType

__all__ = ("AttributeFiles", "AttributeTree", "MdevDevice", "MdevParent", "MdevType")
