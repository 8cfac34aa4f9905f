"""How the driver hands work to the engines: the part of it that a version of the driver may lack.

Starting the GT is the same up to the point where the first requests must come back. What happens there is asked
of a :class:`Submission`; the driver is made with one. :class:`NoSubmission` is the one there is so far: it hands
nothing over, so nothing comes back, and the driver goes the way that the real one goes on a GPU whose engines do
not answer: the GT is given up, the rest of the driver lives on.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol, final

from .engine_setup import ContextObjects, EngineSetup

__all__ = ("GtState", "NoSubmission", "Submission")


class GtState(Enum):
    """What became of the engines."""

    UNINITIALISED = "uninitialised"
    """The driver has not come to them yet."""
    RUNNING = "running"
    """Every engine has completed its first requests."""
    NOT_STARTED = "not started"
    """They were set up and given up again, because submission is not part of this version of the driver.
    Nothing is said about the device."""
    WEDGED = "wedged"
    """They did not answer, or could not be initialised: there is no GPU work until the driver is loaded anew."""


class Submission(Protocol):
    """A way to hand work to the engines."""

    @property
    def unanswered(self) -> GtState:
        """What to call a GT whose first requests did not come back."""

    def park(self, engine: EngineSetup) -> None:
        """Have ``engine`` switch to its kernel context, as it does whenever it falls idle."""

    def record_default(self, context: ContextObjects) -> None:
        """Have a context run once, so that its image holds the engine's state after a reset."""

    def wait_for_idle(self, timeout_ns: int) -> bool:
        """Wait until everything handed over has come back; False when it has not in time."""


@final
class NoSubmission:
    """Hands nothing to the engines."""

    @property
    def unanswered(self) -> GtState:
        """It cannot be said that the engines failed."""
        return GtState.NOT_STARTED

    def park(self, engine: EngineSetup) -> None:
        """Nothing happens."""

    def record_default(self, context: ContextObjects) -> None:
        """Nothing happens."""

    def wait_for_idle(self, timeout_ns: int) -> bool:
        """Nothing was handed over that could come back; there is no use in waiting."""
        return False
