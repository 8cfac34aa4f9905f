"""Whose turn it is: one vGPU has the whole GPU, all engines of it, and after a while another one that has work.

A vGPU that is alone keeps the GPU for as long as it likes. While others wait, it is given nothing new once its slice is
used up, and the GPU changes hands as soon as what it still has is done. What does not end is ended: an engine that a
waiting vGPU has been kept from for too long is reset, and the vGPU whose work that was finds it hung.

Source: linux:drivers/gpu/drm/i915/gvt/sched_policy.c (one owner of all engines at a time; the policy itself is ours)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..clock import HostClock, Timer
from .cost import HANDING_OVER

if TYPE_CHECKING:
    from .hardware.hardware import Hardware
    from .vgpu import Vgpu

__all__ = ("Turn",)

SLICE_NS: Final = 2_000_000
"""How long a vGPU keeps the GPU while others wait: some requests' time, and many times what changing hands costs."""
PATIENCE_NS: Final = 2_000_000_000
"""How long work may keep others waiting after its slice, before its engine is reset.
The kernel's driver lets a context that does not give way live about as long.
Source: linux:drivers/gpu/drm/i915/Kconfig.profile (heartbeat interval)"""


@final
class Turn:
    """The order of the vGPUs of one GPU."""

    def __init__(self, clock: HostClock, hardware: Hardware) -> None:
        self._clock = clock
        self._hardware = hardware
        self._line: dict[Vgpu, None] = {}
        """Whoever may have work, the one that has waited longest first. Who turns out to have none is taken out when it would be
        its turn: no look at the line costs more for its being long."""
        self._current: Vgpu | None = None
        self._until_ns = 0
        self._look: Timer | None = None
        self._limit: Timer | None = None
        self.changes = 0
        """Times the GPU has changed hands."""

    @property
    def current(self) -> Vgpu | None:
        """Who has the GPU."""
        return self._current

    # ---- what vGPUs say ----

    def work_came(self, vgpu: Vgpu) -> None:
        """``vgpu`` has something for the GPU."""
        self._line.setdefault(vgpu)
        self._look_soon()

    def work_done(self, vgpu: Vgpu) -> None:
        """Something of ``vgpu`` is done, or has been taken back."""
        if vgpu.submission.has_work:
            self._line.setdefault(vgpu)
        elif not vgpu.submission.is_running:
            self._line.pop(vgpu, None)
        self._look_soon()

    def leave(self, vgpu: Vgpu) -> None:
        """``vgpu`` is no more; nothing of it runs."""
        self._line.pop(vgpu, None)
        if vgpu is self._current:
            self._current = None
        self._hardware.forget(vgpu)
        self._look_soon()

    # ---- looking ----

    def _look_soon(self) -> None:
        """Not at once: whoever speaks here may be in the middle of a register access, or of an interrupt."""
        self._look_at(self._clock.now_ns())

    def _look_at(self, deadline_ns: int) -> None:
        if self._look is not None:
            if self._look.deadline_ns <= deadline_ns:
                return
            self._look.cancel()
        self._look = self._clock.call_at(deadline_ns, self._pass)

    def _pass(self) -> None:
        self._look = None
        now = self._clock.now_ns()
        current, following = self._current, self._next_in_line()
        if current is not None:
            if following is not None and now >= self._until_ns:
                if current.submission.is_running:
                    self._set_limit(current)
                    return
            elif current.submission.has_work or current.submission.is_running:
                self._cancel_limit()
                self._hardware.give(current)
                current.submission.dispatch()
                if following is not None:
                    self._look_at(self._until_ns)
                return
        self._cancel_limit()
        if following is not None:
            self._hand_over(following, now)

    def _next_in_line(self) -> Vgpu | None:
        """Who has waited longest for somebody else's turn to end."""
        line = self._line
        while True:
            first = next((vgpu for vgpu in line if vgpu is not self._current), None)
            if first is None or first.submission.has_work:
                return first
            del line[first]

    def _hand_over(self, following: Vgpu, now: int) -> None:
        """The GPU goes to whoever has waited longest, and nobody has work on it."""
        self._line[following] = self._line.pop(following)
        self._current = following
        self.changes += 1
        following.time.charge(HANDING_OVER)
        self._hardware.give(following)
        self._until_ns = now + SLICE_NS
        following.submission.dispatch()
        if self._next_in_line() is not None:
            self._look_at(self._until_ns)

    # ---- what does not end ----

    def _set_limit(self, current: Vgpu) -> None:
        if self._limit is None:
            self._limit = self._clock.call_after(PATIENCE_NS, lambda: self._out_of_patience(current))

    def _cancel_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _out_of_patience(self, vgpu: Vgpu) -> None:
        self._limit = None
        if vgpu is self._current:
            for queue in vgpu.submission.queues.values():
                queue.give_up_running()
            self._look_soon()
