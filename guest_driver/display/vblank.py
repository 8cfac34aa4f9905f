"""Vertical blanks of a pipe: heard of by interrupt, counted by the hardware, waited for.

Source: linux:drivers/gpu/drm/drm_vblank.c, linux:drivers/gpu/drm/i915/display/intel_vblank.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from pvinfo.errors import WaitTimeout
from pvinfo.registers import BroadwellPipeInterrupt, InterruptGroup, Pipe, PipeInterrupt

from ..interrupts import Interrupts
from ..uncore import Uncore
from ..work import Work

__all__ = ("Vblanks",)

_VBLANK: Final = PipeInterrupt.vblank.mask
_TIMEOUT_NS: Final = 100_000_000
_ALL: Final = 0xFFFF_FFFF


@final
class Vblanks:
    """The vertical blanks, and the finished flips, of one pipe. The pipe interrupts only while somebody wants to hear of it."""

    def __init__(self, uncore: Uncore, interrupts: Interrupts, work: Work, pipe: str) -> None:
        self._uncore = uncore
        self._interrupts = interrupts
        self._work = work
        self.pipe = pipe
        gen8 = uncore.platform.graphics_version == 8
        self._flip_done = BroadwellPipeInterrupt.primary_flip_done.mask if gen8 else PipeInterrupt.plane1_flip_done.mask
        self._wanted = {_VBLANK: 0, self._flip_done: 0}
        self.heard = 0
        """Vertical blanks that were heard of."""
        self.flips_heard = 0
        """Finished flips that were heard of."""
        self.time_ns = 0
        """When the last vertical blank was heard of."""
        self._once: list[Callable[[], None]] = []
        self._once_flipped: list[Callable[[], None]] = []
        interrupts.listen_to_display(pipe, self._interrupted)

    def close(self) -> None:
        """Hear no more."""
        self._run_once()
        self._run_once_flipped()
        for events in self._wanted:
            self._interrupts.mask_pipe(self.pipe, events, masked=True)
        self._interrupts.listen_to_display(self.pipe, None)

    def _interrupted(self, events: int) -> None:
        if events & _VBLANK:
            self.heard += 1
            self.time_ns = self._uncore.clock.now_ns()
            self._run_once()
        if events & self._flip_done:
            self.flips_heard += 1
            self._run_once_flipped()

    def _run_once(self) -> None:
        acts, self._once = self._once, []
        for act in acts:
            act()
            self.put()

    def _run_once_flipped(self) -> None:
        acts, self._once_flipped = self._once_flipped, []
        for act in acts:
            act()
            self._put(self._flip_done)

    # ---- hearing ----

    def _get(self, events: int) -> None:
        self._wanted[events] += 1
        if self._wanted[events] == 1:
            self._interrupts.mask_pipe(self.pipe, events, masked=False)

    def _put(self, events: int) -> None:
        self._wanted[events] -= 1
        if not self._wanted[events]:
            self._interrupts.mask_pipe(self.pipe, events, masked=True)

    def get(self) -> None:
        """Hear of vertical blanks from now on (``drm_crtc_vblank_get``)."""
        self._get(_VBLANK)

    def put(self) -> None:
        """Need not hear of them any more."""
        self._put(_VBLANK)

    def once(self, act: Callable[[], None]) -> None:
        """Call ``act`` at the next vertical blank, or when there are no more."""
        self.get()
        self._once.append(act)

    # ---- counting and waiting ----

    @property
    def count(self) -> int:
        """Frames that the pipe has counted."""
        return self._uncore.read(Pipe.frmcount, self.pipe)

    def _await(self, what: str, heard: Callable[[], int], timeout_ns: int) -> None:
        before = heard()
        if not self._work.wait_until(lambda: heard() != before, timeout_ns):
            place = f"{what} of {self.pipe}: {InterruptGroup.iir.title} at {InterruptGroup.iir.at(self.pipe):#x}, unmasked events"
            seen = int(self._uncore.read(InterruptGroup.iir, self.pipe)) & ~int(self._uncore.read(InterruptGroup.imr, self.pipe)) & _ALL
            raise WaitTimeout(place, seen, _VBLANK, timeout_ns)

    def wait(self, frames: int = 1, timeout_ns: int = _TIMEOUT_NS) -> int:
        """Wait for so many vertical blanks, each within ``timeout_ns``; the hardware's count after them. Raises: WaitTimeout."""
        self.get()
        try:
            for _ in range(frames):
                self._await("a vertical blank", lambda: self.heard, timeout_ns)
        finally:
            self.put()
        return self.count

    def once_flipped(self, act: Callable[[], None]) -> None:
        """Call ``act`` at the next finished flip that interrupts, or when there are no more."""
        self._get(self._flip_done)
        self._once_flipped.append(act)

    def await_flip(self, done: Callable[[], bool], timeout_ns: int = _TIMEOUT_NS) -> None:
        """Wait until ``done``, which a finished flip brings about. Raises: WaitTimeout."""
        if not self._work.wait_until(done, timeout_ns):
            raise WaitTimeout(f"a finished flip of {self.pipe}, by its interrupt", self.flips_heard, self.flips_heard + 1, timeout_ns)
