"""A transcoder that runs, as a function of time: how many frames it has sent, and which line it is sending.

Nothing is counted while nobody looks: both follow from the time since the start, in whole numbers.
"""

from __future__ import annotations

from typing import final

from .refresh import Timing

__all__ = ("Raster",)


@final
class Raster:
    """Frames sent since ``start_ns``. A frame ends, and is counted, where its vertical blank begins; the first begins with a blank.

    ``frames`` were sent before ``start_ns``.
    """

    __slots__ = ("_denominator", "_frames", "_numerator", "_start_ns", "timing")

    def __init__(self, timing: Timing, start_ns: int, frames: int = 0) -> None:
        self.timing = timing
        self._start_ns = start_ns
        self._frames = frames
        self._numerator = timing.period_ns.numerator
        self._denominator = timing.period_ns.denominator

    @property
    def start_ns(self) -> int:
        """Since when the timing is as it is."""
        return self._start_ns

    @property
    def frames_before(self) -> int:
        """Frames that were sent before."""
        return self._frames

    def frames(self, now_ns: int) -> int:
        """Frames sent by now."""
        return self._frames + (now_ns - self._start_ns) * self._denominator // self._numerator

    def end_ns(self, frames: int) -> int:
        """The first instant at which ``frames`` have been sent."""
        return self._start_ns - -(frames - self._frames) * self._numerator // self._denominator

    def line(self, now_ns: int) -> int:
        """The line being sent, counted from the first visible one."""
        timing = self.timing
        phase = (now_ns - self._start_ns) * self._denominator % self._numerator
        return (timing.vblank_start + phase * timing.lines // self._numerator) % timing.lines

    def shown_line(self, now_ns: int, last_ns: int = 0) -> int:
        """The line as the register has it: behind by a line or two, and never 0, for which drivers would look again and again.

        The last visible line is shown for the last ``last_ns`` of a frame, or an eighth of it where that is less.
        """
        timing = self.timing
        left_ns = self.end_ns(self.frames(now_ns) + 1) - now_ns
        line = timing.vblank_start - 1 if left_ns <= min(last_ns, timing.period_ns // 8) else self.line(now_ns)
        return (line - timing.scan_line_lead) % timing.lines or 1

    def second_field(self, now_ns: int) -> bool:
        """The second field of an interlaced picture is being sent."""
        return self.timing.interlaced and self.frames(now_ns) % 2 == 1

    def retimed(self, timing: Timing, now_ns: int) -> Raster:
        """The same, with another timing from now on: as far in its frame as before, so that none is lost or counted twice."""
        frames = self.frames(now_ns)
        phase = (now_ns - self._start_ns) * self._denominator % self._numerator
        period = timing.period_ns
        behind_ns = phase * period.numerator // (self._numerator * period.denominator)
        return Raster(timing, now_ns - behind_ns, frames)
