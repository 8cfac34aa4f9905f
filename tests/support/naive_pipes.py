"""The naive model's pipes: every frame is sent, one after the other, and each flip waits for the end of its frame.

Where the product differs from the kernel's mediator on purpose, so does this: each pipe has the period that its registers give,
surfaces change at the end of the frame, an event that is masked sends nothing anew, and a pipe that was switched off tells of no flip.

Source: linux:drivers/gpu/drm/i915/display/intel_dpll_mgr.c, linux:drivers/gpu/drm/i915/gvt/handlers.c (vgpu_update_refresh_rate)
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .naive_model import NaiveVgpu

__all__ = ("NaivePipes", "PIPES", "TRANSCODERS")

PIPES = (0x70000, 0x71000, 0x72000)
TRANSCODERS = (0x60000, 0x61000, 0x62000, 0x6F000)
EMBEDDED = 3
SIXTIETH = Fraction(10**9, 60)


# ---- how long a frame is ----


def port_clock(vgpu: NaiveVgpu, port: int) -> Fraction:
    """Symbols or characters in a second."""
    if port > 4:
        return Fraction(0)
    return {"bdw": broadwell_clock, "bxt": broxton_clock}.get(vgpu.platform, skylake_clock)(vgpu, port)


def skylake_clock(vgpu: NaiveVgpu, port: int) -> Fraction:
    routing = vgpu.get(0x6C05C)
    loop = routing >> 3 * port + 1 & 3
    if routing >> 15 + port & 1 or not routing >> 3 * port & 1 or not vgpu.get((0x46010, 0x46014, 0x46040, 0x46060)[loop]) >> 31:
        return Fraction(0)
    setting = vgpu.get(0x6C058) >> 6 * loop
    if not setting >> 5 & 1:
        return Fraction({0: 540, 1: 270, 2: 162, 3: 324, 4: 216, 5: 432}.get(setting >> 1 & 7, 0) * 10**6)
    if loop == 0:
        return Fraction(0)
    frequency, dividers = vgpu.get(0x6C038 + 8 * loop), vgpu.get(0x6C03C + 8 * loop)
    p = {0: 1, 1: 2, 2: 3, 4: 7, 5: 7}.get(dividers >> 2 & 7, 0)
    q = dividers >> 8 & 0xFF if dividers & 0x80 else 1
    k = (5, 2, 3, 1)[dividers >> 5 & 3]
    if not p * q:
        return Fraction(0)
    return Fraction(24 * 10**6 * ((frequency & 0x1FF) * 0x8000 + (frequency >> 9 & 0x7FFF)), 0x8000 * 5 * p * q * k)


def broadwell_clock(vgpu: NaiveVgpu, port: int) -> Fraction:
    source = vgpu.get(0x46100 + 4 * port) >> 29
    if source in (4, 5):
        loop = vgpu.get(0x46040 if source == 4 else 0x46060)
        divider = 5 * (loop & 0xFF) * (loop >> 8 & 0x3F)
        reference = (0, 135, 135, 2700)[loop >> 28 & 3] * 10**6
        return Fraction(reference * (loop >> 16 & 0xFF), divider) if loop >> 31 and divider else Fraction(0)
    rates = {0: 540, 1: 270, 2: 162}
    if source == 3:
        loop = vgpu.get(0x46020)
        return Fraction({0: 162, 1: 270, 2: 540}.get(loop >> 26 & 3, 0) * 10**6 if loop >> 31 else 0)
    return Fraction(0 if vgpu.get(0x130040) >> 31 else rates.get(source, 0) * 10**6)


def broxton_clock(vgpu: NaiveVgpu, port: int) -> Fraction:
    if port > 2 or not vgpu.get(0x46074 + 4 * port) >> 31:
        return Fraction(0)
    words, output = ((0x162100, 0x162034), (0x6C100, 0x6C034), (0x6C380, 0x6C340))[port]
    m2 = Fraction(vgpu.get(words) & 0xFF)
    if vgpu.get(words + 12) >> 16 & 1:
        m2 += Fraction(vgpu.get(words + 8) & 0x3FFFFF, 1 << 22)
    dividers = (vgpu.get(words + 4) >> 8 & 0xF) * 5 * (vgpu.get(output) >> 13 & 7) * (vgpu.get(output) >> 8 & 0x1F)
    return 100 * 10**6 * 2 * m2 / dividers if dividers else Fraction(0)


def pixel_clock(vgpu: NaiveVgpu, number: int) -> Fraction:
    base = TRANSCODERS[number]
    function = vgpu.get(base + 0x400)
    mode = function >> 24 & 7
    clock = port_clock(vgpu, 0 if number == EMBEDDED else function >> 28 & 7)
    if mode in (2, 3, 4):
        n = vgpu.get(base + 0x44) & 0xFFFFFF
        clock = clock * (vgpu.get(base + 0x40) & 0xFFFFFF) / n if n else Fraction(0)
    elif mode == 0:
        clock *= {1: Fraction(8, 10), 3: Fraction(8, 12)}.get(function >> 20 & 7, Fraction(1))
    return clock if number == EMBEDDED else clock / ((vgpu.get(base + 0x2C) & 3) + 1)


def timing(vgpu: NaiveVgpu, number: int) -> tuple[object, ...]:
    """The period of a frame or field, and all else whose change is a change of timing."""
    base = TRANSCODERS[number]
    width, height = vgpu.get(base), vgpu.get(base + 0xC)
    interlaced = vgpu.get(PIPES[number] + 8 if number != EMBEDDED else 0x7F008) >> 21 & 3 != 0
    clock = pixel_clock(vgpu, number)
    lines = Fraction((height >> 16) + 2, 2) if interlaced else Fraction((height >> 16) + 1)
    period = ((width >> 16) + 1) * lines * 10**9 / clock if clock else Fraction(0)
    if not 10**6 <= period <= 10**9:
        period = SIXTIETH
    blank = min((vgpu.get(base + 0x10) & 0xFFFF) + 1, (height >> 16) + 1)
    if interlaced:
        blank = min(((vgpu.get(base + 0x10) & 0xFFFF) + 2) // 2, max(((height >> 16) + 1) // 2, 1))
    tmds = vgpu.get(base + 0x400) >> 24 & 7 in (0, 1)
    return period, interlaced, width, height, blank, tmds, clock


def period_of(found: tuple[object, ...]) -> Fraction:
    period = found[0]
    assert isinstance(period, Fraction)
    return period


# ---- pipes ----


class Frames:
    """A pipe that is on: frames since ``start``."""

    def __init__(self, source: int, found: tuple[object, ...], start: int) -> None:
        self.source = source
        self.timing = found
        self.start = start
        self.before = 0
        """Frames before ``start``."""
        self.ended = 0
        """Frames whose end has been dealt with, since the pipe went on."""

    def count(self, now: int) -> int:
        return self.before + (now - self.start) // period_of(self.timing)

    def end(self, number: int) -> int:
        """When the ``number``-th frame has been sent: the first whole nanosecond at which it has."""
        return self.start - -(number - self.before) * period_of(self.timing) // 1


class NaivePipes:
    """The three pipes of one vGPU."""

    def __init__(self, vgpu: NaiveVgpu) -> None:
        self.vgpu = vgpu
        self.now = 0
        self.asleep = False
        self.on: dict[int, Frames] = {}
        self.counted: dict[int, int] = {}
        """What each frame counter held when its pipe went on."""
        self.pending: dict[int, dict[int, int]] = {0: {}, 1: {}, 2: {}}
        """Surface registers whose flips wait for the end of the frame, and the bit that tells of each."""
        self.awaited: dict[int, bool] = {}
        """Whether something that is not masked happens at the end of the frame. In failsafe mode nobody looks in between."""

    def reset(self) -> None:
        self.asleep = False
        self.on.clear()
        self.pending = {0: {}, 1: {}, 2: {}}

    def mask(self, pipe: int) -> int:
        return self.vgpu.get(0x44404 + 0x10 * pipe)

    # ---- time ----

    def run_until(self, now: int) -> None:
        """Let each frame end at its time."""
        while True:
            due = [
                (frames.end(frames.ended + 1), pipe) for pipe, frames in self.on.items() if self.awaited[pipe] or not self.vgpu.failsafe
            ]
            if not due or min(due)[0] > now:
                break
            self.now, pipe = min(due)
            self.frame_ends(pipe)
        self.now = now

    def frame_ends(self, pipe: int) -> None:
        if self.source(pipe) != self.on[pipe].source:
            self.stop(pipe)  # in failsafe mode its registers are storage
        else:
            self.settle(pipe)
            self.look(pipe)

    def settle(self, pipe: int) -> None:
        """Deal with the frames that have ended; they may be several when nobody has looked."""
        frames = self.on.get(pipe)
        if frames and frames.count(self.now) > frames.ended:
            first = frames.end(frames.ended + 1)
            frames.ended = frames.count(self.now)
            self.tell(pipe, self.show_pending(pipe, first) | 1)

    def look(self, pipe: int) -> None:
        """See whether the end of the frame matters to anybody."""
        events = 1
        for event in self.pending[pipe].values():
            events |= event
        self.awaited[pipe] = bool(events & ~self.mask(pipe))

    def tell(self, pipe: int, events: int) -> None:
        if events & ~self.mask(pipe):
            identity = 0x44408 + 0x10 * pipe
            self.vgpu.put(identity, self.vgpu.get(identity) | events & ~self.mask(pipe))
            self.vgpu.check_pending()

    # ---- on and off ----

    def source(self, pipe: int) -> int | None:
        """The transcoder it feeds, its own before the embedded one, whose port is not asked."""
        if self.asleep:
            return None
        if self.vgpu.get(PIPES[pipe] + 8) >> 31:
            return pipe
        chosen = self.vgpu.get(TRANSCODERS[EMBEDDED] + 0x400) >> 12 & 7
        if self.vgpu.get(0x7F008) >> 31 and chosen in ((0, 4), (5,), (6,))[pipe]:
            return EMBEDDED
        return None

    def switched(self) -> None:
        for pipe in range(3):
            self.settle(pipe)
            source = self.source(pipe)
            if pipe in self.on and self.on[pipe].source != source:
                self.stop(pipe)
            if source is not None:
                self.run(pipe, source)

    def retimed(self) -> None:
        if self.on:
            self.switched()

    def run(self, pipe: int, source: int) -> None:
        found = timing(self.vgpu, source)
        old = self.on.get(pipe)
        if old is None:
            self.counted[pipe] = self.vgpu.get(PIPES[pipe] + 0x40)
            self.on[pipe] = Frames(source, found, self.now)
        elif old.timing != found:
            # As far in its frame as before.
            done = (self.now - old.start) / period_of(old.timing) % 1
            new = Frames(source, found, self.now - done * period_of(found) // 1)
            new.before, new.ended = old.count(self.now), old.ended
            self.on[pipe] = new
        self.look(pipe)

    def stop(self, pipe: int) -> None:
        frames, time = self.frame_count(pipe), self.frame_time(pipe)
        del self.on[pipe]
        self.vgpu.put(PIPES[pipe] + 0x40, frames)
        self.vgpu.put(PIPES[pipe] + 0x48, time)
        self.show_pending(pipe, self.now)

    # ---- counters ----

    def frame_count(self, pipe: int) -> int:
        if pipe not in self.on:
            return self.vgpu.get(PIPES[pipe] + 0x40)
        return self.counted[pipe] + self.on[pipe].count(self.now) & 0xFFFFFFFF

    def frame_time(self, pipe: int) -> int:
        """Microseconds at which the present frame began."""
        if pipe not in self.on:
            return self.vgpu.get(PIPES[pipe] + 0x48)
        frames = self.on[pipe]
        return frames.end(frames.count(self.now)) // 1000 & 0xFFFFFFFF

    # ---- surfaces ----

    def flip(self, surface: int, at_once: bool) -> None:
        """``surface`` is the surface register of a plane or cursor, which was written."""
        pipe, plane = surface >> 12 & 3, surface >> 8 & 0xF
        event = 0
        if surface & 0xFF == 0x9C and plane <= (2 if self.vgpu.platform == "bdw" else 4):
            event = 1 << (4 if self.vgpu.platform == "bdw" else 3) + plane - 1
        self.settle(pipe)
        if at_once or pipe not in self.on:
            self.pending[pipe].pop(surface, None)
            self.show(surface, self.now)
            if at_once:
                self.tell(pipe, event)
        else:
            self.pending[pipe][surface] = event
            self.look(pipe)

    def show_pending(self, pipe: int, time: int) -> int:
        events = 0
        for surface, event in self.pending[pipe].items():
            self.show(surface, time)
            events |= event
        self.pending[pipe] = {}
        return events

    def show(self, surface: int, time: int) -> None:
        cursor = surface & 0xFFF == 0x084
        self.vgpu.put((surface & ~0xFFF | 0xAC) if cursor else surface + 0x10, self.vgpu.get(surface))
        if surface & 0xFFF == 0x19C:
            counter = surface & ~0xFFF | 0x44
            self.vgpu.put(counter, self.vgpu.get(counter) + 1)
            self.vgpu.put(counter + 8, time // 1000)
