"""Turns: for how long an engine may be at one piece of work while others wait, and how long it may take to leave it.

A turn lasts a millisecond, and ends early when the engine says that its context polls in vain. A turn that is over is not
taken away: the driver hands over something else, and what runs has a while to give way. What has not by then never will.
Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c, linux:drivers/gpu/drm/i915/Kconfig.profile
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from .work import Alarm, Work

if TYPE_CHECKING:
    from .request import Request

__all__ = ("Turns",)

_TURN_NS: Final = 1_000_000
_GIVE_WAY_NS: Final = 640_000_000
_GIVE_WAY_BANNED_NS: Final = 1_000_000
"""For what nobody wants to see finished."""


@final
class Turns:
    """The turns of one engine. What is asked of it concerns the request that the engine is at, by what it has said so far."""

    def __init__(self, work: Work, look: Callable[[], None]) -> None:
        """``look`` is called when a turn is over, or the time to give way is."""
        self._turn = Alarm(work, look)
        self._deadline = Alarm(work, look)
        self._leaving: Request | None = None
        self._yielding: int | None = None

    # ---- turns ----

    @property
    def counted(self) -> bool:
        """A turn has begun that others wait to see end."""
        return self._turn.is_set

    def yields(self, ccid: int) -> None:
        """The context of that name polls in vain."""
        self._yielding = ccid

    def over(self, running: Request) -> bool:
        """Whether ``running`` has had its turn, if somebody waits for its end (``timeslice_expired``)."""
        if running.no_preemption and running.started:
            return False
        return self._turn.went_off or running.context.ccid == self._yielding

    def count(self, running: Request) -> bool:
        """Somebody waits for ``running``; True when it has had its turn already (``start_timeslice``)."""
        if self._turn.went_off and self.over(running):
            return True
        if self._turn.went_off or not self._turn.is_set:
            # What may not be preempted has all the time it needs; it is looked at again and again.
            self._turn.set(_TURN_NS)
        return False

    def stop_counting(self) -> None:
        """Nobody waits any more, or somebody else runs now."""
        self._turn.cancel()

    # ---- giving way ----

    def submitted(self) -> None:
        """Something new was handed over: who has polled in vain may try again."""
        self._yielding = None

    def give_way(self, running: Request | None) -> None:
        """Let ``running``, if there is anything, make room for what was handed over (``set_preempt_timeout``)."""
        self._leaving = running
        if running is None:
            self._deadline.cancel()
            return
        unwanted = running.context.banned or (running.error is not None and running.started)
        self._deadline.set(_GIVE_WAY_BANNED_NS if unwanted else _GIVE_WAY_NS)

    def late(self, running: Request | None) -> bool:
        """Whether ``running`` should have given way by now; something else that runs gets its own time to do so."""
        if not self._deadline.went_off:
            return False
        self._deadline.cancel()
        if running is self._leaving:
            return True
        self.give_way(running)
        return False

    def rest(self) -> None:
        """There is nobody to take turns."""
        self._turn.cancel()
        self._deadline.cancel()
