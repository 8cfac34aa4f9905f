"""The pipes: frames, vertical blanks and flips.

A pipe sends frames from the moment its transcoder is switched on. Its counters follow from the time whenever they are read;
a timer runs only while an event is due that software has not masked, so that a guest that looks at a still picture costs
nothing. Whoever changes what such an event depends on calls :meth:`Pipes.catch_up` before and :meth:`Pipes.masks_changed` after.

A server that is late tells of a vertical blank once, however many have passed, and the counters are right nevertheless.

Source: linux:drivers/gpu/drm/i915/gvt/display.c, linux:drivers/gpu/drm/i915/gvt/handlers.c
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.registers.interrupt import InterruptGroup
from pvinfo.registers.pipe import PIPE_BASES, Pipe
from pvinfo.registers.transcoder import EdpInput, Transcoder, TranscoderSwitch

from ...clock import Timer, VirtualClock
from ..interrupts import Event, event_places
from .refresh import Timing, timing_of
from .scan_line import Raster
from .surfaces import Surface, surfaces_of

if TYPE_CHECKING:
    from ..base import RegisterDevice

__all__ = ("TRANSCODERS", "PipeMode", "PipeState", "Pipes")

_MASK32: Final = 0xFFFFFFFF
_NS_PER_US: Final = 1000
_EDP: Final = "TRANSCODER_EDP"
_EDP_INPUTS: Final[dict[str, tuple[int, ...]]] = {
    "PIPE_A": (EdpInput.A_ALWAYS_ON, EdpInput.A), "PIPE_B": (EdpInput.B,), "PIPE_C": (EdpInput.C,),
}  # fmt: skip
_VBLANK: Final = {"PIPE_A": Event.PIPE_A_VBLANK, "PIPE_B": Event.PIPE_B_VBLANK, "PIPE_C": Event.PIPE_C_VBLANK}
_LAST_LINE_NS: Final = 1_000_000
"""How long the last visible line is shown, on real time. A driver that has a frame's registers to write looks at the scan line
first: if a tenth of a millisecond or less is left it waits for the vertical blank. Here its writes take up to ten times as long as
on hardware, and would otherwise be caught in their midst by the end of the frame. It is prepared to wait a millisecond, not more.
Source: linux:drivers/gpu/drm/i915/display/intel_vblank.c (intel_vblank_evade)"""
_WRITES_NS: Final = 5_000_000
"""How long the end of a frame is put off, on real time, for a driver that has looked at the scan line before, had time enough, and
has not come to the end of its writes: a busy machine has kept it, or us, from them. It ends them with a look at the scan line and
then at the count of frames, and complains when that has grown. Source: linux:drivers/gpu/drm/i915/display/intel_crtc.c"""


class PipeMode(NamedTuple):
    """What a pipe sends."""

    width: int
    height: int
    period_ns: Fraction


class PipeState(NamedTuple):
    """What of a pipe is not in registers."""

    source: str
    """The transcoder that it feeds; empty while it is off."""
    timing: Timing | None
    age_ns: int
    """How long the timing has been as it is."""
    frames_before: int
    """Frames that were sent before."""
    counted_before: int
    seen: int
    pending: tuple[str, ...]
    """Planes and cursors with a flip that waits for the end of the frame."""


TRANSCODERS: Final = frozenset((*(f"TRANSCODER_{pipe[-1]}" for pipe in PIPE_BASES), _EDP))
"""What pipes can feed."""


@final
class _Pipe:
    """One pipe."""

    def __init__(self, name: str, vblank: int) -> None:
        self.name = name
        self.transcoder = f"TRANSCODER_{name[-1]}"
        self.mask = InterruptGroup.imr.at(name) >> 2
        self.flips = Pipe.flipcount.at(name) >> 2
        self.frame_register = Pipe.frmcount.at(name)
        self.frame_time_register = Pipe.frame_timestamp.at(name)
        self.flip_time_register = Pipe.flip_timestamp.at(name)
        self.vblank = vblank
        self.source = ""
        """The transcoder that it feeds; empty while it is off."""
        self.raster: Raster | None = None
        self.counted_before = 0
        """What the frame counter held when it went on."""
        self.seen = 0
        """Frames whose end has been dealt with."""
        self.pending: dict[str, int] = {}
        """Flips that wait for the end of the frame: what the cursor or plane is called, and the bit that tells of it."""
        self.timer: Timer | None = None
        self.held_until_ns = 0
        """Until then the frame that is being sent does not end."""
        self.held_frames = 0
        """Frames that had been sent then."""
        self.written = False
        """A surface was written meanwhile."""
        self.looked = False
        """And the scan line was looked at after that."""

    def let_go(self) -> None:
        """Let the frame end when its time has come."""
        self.held_until_ns = 0
        self.written = self.looked = False


@final
class Pipes:
    """All pipes of one device, by the names that register blocks have for them (``PIPE_A``)."""

    def __init__(self, device: RegisterDevice) -> None:
        self._device = device
        self._clock = device.clock
        self._registers = device.registers
        self._dwords = device.registers.dwords
        places = event_places(device.platform)
        self._pipes = {name: _Pipe(name, 1 << places[_VBLANK[name]].bit) for name in PIPE_BASES}
        self._surfaces = surfaces_of(device.platform)
        self._asleep = False
        self._last_line_ns = 0 if isinstance(device.clock, VirtualClock) else _LAST_LINE_NS

    # ---- what others ask ----

    @property
    def running(self) -> tuple[str, ...]:
        """The pipes that are on."""
        return tuple(name for name, pipe in self._pipes.items() if pipe.raster is not None)

    def mode(self, pipe: str) -> PipeMode | None:
        """What ``pipe`` sends; None while it is off."""
        raster = self._pipes[pipe].raster
        return PipeMode(raster.timing.width, raster.timing.height, raster.timing.period_ns) if raster is not None else None

    def frame(self, pipe: str) -> int:
        """Frames sent since ``pipe`` went on; 0 while it is off."""
        state = self._pipes[pipe]
        return state.raster.frames(self._now_ns(state)) if state.raster is not None else 0

    def settle(self) -> None:
        """Show what is to be shown by now: flips take place at the end of the frame in which they were asked for."""
        for pipe in self._pipes.values():
            self._catch_up(pipe)

    def flip_pending(self, plane: str) -> bool:
        """The last surface asked for on ``plane`` (``PIPE_A_PLANE_1``) is not shown yet."""
        pipe = self._pipes[self._surfaces[plane].pipe]
        self._catch_up(pipe)
        return plane in pipe.pending

    # ---- counters, as registers show them ----

    def frame_count(self, pipe: str) -> int:
        """PIPE_FRMCOUNT: it stands still while the pipe is off."""
        state = self._pipes[pipe]
        if state.raster is None:
            return self._registers.read32(state.frame_register)
        frames = state.raster.frames(self._now_ns(state))
        count = state.counted_before + frames & _MASK32
        if state.looked:
            self._let_go(state)
        return count

    def scan_line(self, pipe: str) -> tuple[int, bool]:
        """PIPEDSL: the line, and whether it is of the second field."""
        state = self._pipes[pipe]
        raster = state.raster
        if raster is None:
            return 0, False
        now = self._now_ns(state)
        shown = raster.shown_line(now, self._last_line_ns), raster.second_field(now)
        if self._last_line_ns:
            self._hold(state, raster, now)
        return shown

    def frame_time_us(self, pipe: str) -> int:
        """PIPE_FRMTMSTMP: when the present frame began."""
        state = self._pipes[pipe]
        raster = state.raster
        if raster is None:
            return self._registers.read32(state.frame_time_register)
        return raster.end_ns(raster.frames(self._now_ns(state))) // _NS_PER_US & _MASK32

    # ---- what software does ----

    def switched(self) -> None:
        """A transcoder was switched on or off, or its timing or its input has changed."""
        for pipe in self._pipes.values():
            pipe.let_go()
            self._catch_up(pipe)
            source = self._source(pipe)
            if pipe.raster is not None and pipe.source != source:
                self._stop(pipe)
            if source:
                self._run(pipe, source)

    def retimed(self) -> None:
        """The timing of a transcoder has changed, perhaps of one that is on."""
        if self.running:
            self.switched()

    def flip(self, plane: str, *, asynchronous: bool = False) -> None:
        """A surface was written that ``plane`` is to show: at the end of the frame, or at once."""
        surface = self._surfaces[plane]
        pipe = self._pipes[surface.pipe]
        self._catch_up(pipe)
        pipe.written = pipe.held_until_ns > 0
        if asynchronous or pipe.raster is None:
            pipe.pending.pop(plane, None)
            self._show(pipe, surface, self._clock.now_ns())
            if asynchronous:
                self._tell(pipe, surface.event)
        else:
            pipe.pending[plane] = surface.event
            self._arm(pipe)

    def catch_up(self, pipe: str) -> None:
        """Deal with the frames of ``pipe`` that have ended: their events find the mask as it has been until now."""
        self._catch_up(self._pipes[pipe])

    def masks_changed(self, pipe: str) -> None:
        """Other events of ``pipe`` are masked than before."""
        self._arm(self._pipes[pipe])

    def sleep(self, asleep: bool) -> None:
        """The device was put to sleep, in which nothing is sent, or has woken up."""
        if asleep != self._asleep:
            self._asleep = asleep
            self.switched()

    def reset(self) -> None:
        """The registers were reset: nothing is shown."""
        for pipe in self._pipes.values():
            self._disarm(pipe)
            pipe.let_go()
            pipe.raster = None
            pipe.source = ""
            pipe.pending.clear()
            pipe.seen = pipe.counted_before = 0
        self._asleep = False

    def close(self) -> None:
        """The device goes away: no timer is left."""
        self.reset()

    # ---- saved and restored ----

    def stand_still(self) -> None:
        """No frame is held for a driver in the midst of its writes."""
        for pipe in self._pipes.values():
            self._let_go(pipe)

    def states(self) -> dict[str, PipeState]:
        """Where each pipe stands. None is held."""
        return {name: self._state(pipe) for name, pipe in self._pipes.items()}

    def _state(self, pipe: _Pipe) -> PipeState:
        raster = pipe.raster
        if raster is None:
            return PipeState("", None, 0, 0, pipe.counted_before, pipe.seen, ())
        age = self._clock.now_ns() - raster.start_ns
        return PipeState(pipe.source, raster.timing, age, raster.frames_before, pipe.counted_before, pipe.seen, tuple(pipe.pending))

    def take_over(self, states: Mapping[str, PipeState], *, asleep: bool) -> None:
        """Send what another device has sent, from where it stood. The registers are those of that device already."""
        self._asleep = asleep
        now = self._clock.now_ns()
        for name, state in states.items():
            pipe = self._pipes[name]
            pipe.source, pipe.counted_before, pipe.seen = state.source, state.counted_before, state.seen
            if state.timing is not None:
                pipe.raster = Raster(state.timing, now - state.age_ns, state.frames_before)
            pipe.pending = {plane: self._surfaces[plane].event for plane in state.pending}
            self._arm(pipe)

    # ---- on and off ----

    def _source(self, pipe: _Pipe) -> str:
        """The transcoder that ``pipe`` feeds; its own goes before the embedded one."""
        registers = self._registers
        if self._asleep:
            return ""
        if TranscoderSwitch(registers, pipe.transcoder).conf.enable:
            return pipe.transcoder
        if TranscoderSwitch(registers, _EDP).conf.enable and Transcoder(registers, _EDP).ddi_func_ctl.edp_input in _EDP_INPUTS[pipe.name]:
            return _EDP
        return ""

    def _run(self, pipe: _Pipe, source: str) -> None:
        """Let ``pipe`` send what ``source`` is programmed to; if it does already, from now on."""
        timing = timing_of(self._device.platform, self._registers, source)
        now = self._clock.now_ns()
        if pipe.raster is None:
            pipe.counted_before = self._registers.read32(pipe.frame_register)
            pipe.seen = 0
            pipe.source = source
            pipe.raster = Raster(timing, now)
        elif pipe.raster.timing != timing:
            pipe.raster = pipe.raster.retimed(timing, now)
            self._disarm(pipe)
        else:
            return
        if timing.remark:
            self._device.findings.note("refresh-rate", f"{source} of {pipe.name}", timing.remark)
        self._arm(pipe)

    def _stop(self, pipe: _Pipe) -> None:
        """Send nothing any more. What was to be shown next is, for there is no frame to wait for, but nobody is told."""
        self._disarm(pipe)
        registers = self._registers
        registers.write32(pipe.frame_register, self.frame_count(pipe.name))
        registers.write32(pipe.frame_time_register, self.frame_time_us(pipe.name))
        pipe.raster = None
        pipe.source = ""
        self._show_pending(pipe, self._clock.now_ns())

    # ---- the end of a frame ----

    def _now_ns(self, pipe: _Pipe) -> int:
        """The time of ``pipe``: it stands still just before the end of a frame that is held."""
        now = self._clock.now_ns()
        if pipe.held_until_ns:
            if now < pipe.held_until_ns and pipe.raster is not None:
                return min(now, pipe.raster.end_ns(pipe.held_frames + 1) - 1)
            pipe.let_go()
        return now

    def _hold(self, pipe: _Pipe, raster: Raster, now_ns: int) -> None:
        """Software looks at the scan line: it has writes before it, or behind it, or is about to wait for the end of the frame."""
        frames = raster.frames(now_ns)
        if pipe.written:
            pipe.looked = True
        elif raster.end_ns(frames + 1) - now_ns <= self._last_line_ns:
            self._let_go(pipe)
        else:
            pipe.held_frames = frames
            pipe.held_until_ns = now_ns + min(_WRITES_NS, int(raster.timing.period_ns) // 4)

    def _let_go(self, pipe: _Pipe) -> None:
        if pipe.held_until_ns:
            pipe.let_go()
            self._catch_up(pipe)
            self._disarm(pipe)
            self._arm(pipe)

    def _catch_up(self, pipe: _Pipe) -> None:
        raster = pipe.raster
        if raster is None:
            return
        frames = raster.frames(self._now_ns(pipe))
        if frames == pipe.seen:
            return
        shown_ns = raster.end_ns(pipe.seen + 1)
        pipe.seen = frames
        self._tell(pipe, pipe.vblank | (self._show_pending(pipe, shown_ns) if pipe.pending else 0))

    def _show_pending(self, pipe: _Pipe, now_ns: int) -> int:
        """Show what waited. Returns the bits of the events of it."""
        pending, pipe.pending = pipe.pending, {}
        events = 0
        for plane, event in pending.items():
            self._show(pipe, self._surfaces[plane], now_ns)
            events |= event
        return events

    def _show(self, pipe: _Pipe, surface: Surface, now_ns: int) -> None:
        dwords = self._dwords
        dwords[surface.live] = dwords[surface.surf]
        if surface.counted:
            dwords[pipe.flips] = dwords[pipe.flips] + 1 & _MASK32
            self._registers.write32(pipe.flip_time_register, now_ns // _NS_PER_US & _MASK32)

    def _tell(self, pipe: _Pipe, events: int) -> None:
        """Raise what is not masked. Whoever is told may change anything."""
        open_events = events & ~self._dwords[pipe.mask]
        if open_events:
            self._device.interrupts.raise_bits(pipe.name, open_events)

    # ---- the timer ----

    def _arm(self, pipe: _Pipe) -> None:
        """Set the timer for the end of the frame if somebody is to be told of it, else take it back."""
        raster = pipe.raster
        wanted = pipe.vblank
        for event in pipe.pending.values():
            wanted |= event
        if raster is None or not wanted & ~self._dwords[pipe.mask]:
            self._disarm(pipe)
        elif pipe.timer is None:
            end_ns = raster.end_ns(pipe.seen + 1)
            if self._now_ns(pipe) == end_ns - 1:
                end_ns = max(end_ns, pipe.held_until_ns)
            pipe.timer = self._clock.call_at(end_ns, lambda: self._frame_ended(pipe))

    def _disarm(self, pipe: _Pipe) -> None:
        if pipe.timer is not None:
            pipe.timer.cancel()
            pipe.timer = None

    def _frame_ended(self, pipe: _Pipe) -> None:
        pipe.timer = None
        if pipe.raster is not None and self._source(pipe) != pipe.source:
            self._stop(pipe)  # its registers were written without telling, as those of a vGPU in failsafe mode are
        self._catch_up(pipe)
        self._arm(pipe)
