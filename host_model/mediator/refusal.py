"""How a part of the mediator says no to a guest: inside the mediator only, where submission turns it into a finding."""

from __future__ import annotations

from enum import Enum
from typing import final

__all__ = ("Consequence", "Refused")


class Consequence(Enum):
    """What becomes of the vGPU whose work was refused. Source: linux:drivers/gpu/drm/i915/gvt/scheduler.c"""

    FLUSH = "flush"
    """what the engine's queue holds is dropped; the guest sees a hang and resets the engine"""
    FAILSAFE = "failsafe"
    """the guest is not trusted any more"""


@final
class Refused(Exception):
    """A guest's act that the mediator does not carry out."""

    def __init__(
        self, rule: str, where: str, text: str, *, value: int | None = None, nearest: str = "", consequence: Consequence = Consequence.FLUSH
    ) -> None:
        super().__init__(f"{rule} at {where}: {text}")
        self.rule = rule
        """Short stable name, as of a finding."""
        self.where = where
        self.text = text
        self.value = value
        self.nearest = nearest
        """What would have passed."""
        self.consequence = consequence
