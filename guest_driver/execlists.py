"""Handing requests to an engine, two contexts at a time, and following what the engine says of them.

The engine has two *ports*. What the driver writes to them is *pending* until the engine says that it has taken it, and
*in flight* from then until the engine says that each context is done with. Nothing is written while something is
pending. Requests of one context that follow each other go as one: the tail of the last is enough.

What the engine says are events in its status page, of which two things matter: an event that a submission was taken
(from idleness or from another submission) makes what was pending be in flight, any other says that the first in flight
is done. An event that fits neither means that driver and engine have lost each other, and only a reset helps.
Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, final

from pvinfo.registers import ContextStatus, EngineError, EngineInterrupt, EngineRegisters

from .ports import PORTS, write_ports
from .queue import RequestQueue
from .recovery import begin_anew, capture, restart
from .request import Priority, Request
from .status_buffer import ImpossibleEvent, StatusBuffer
from .turns import Turns

if TYPE_CHECKING:
    from .streamer import Streamer

__all__ = ("Execlists", "ExeclistError")

_TAGS: Final = (1 << 63) - 1
_TAG_SHIFT: Final = 5
"""Where the software's name of a context begins in the high half of its descriptor."""
_NOTHING_WAITS: Final = -(1 << 31)
_SPARE_BYTES: Final = 8
_PROMOTES: Final = ContextStatus.of(idle_to_active=1, preempted=1)


class ExeclistError(StrEnum):
    """Why an engine must be reset, in the kernel's words, the gravest first."""

    COMMAND = "CS error"
    """It met a command that it does not know."""
    EVENT = "invalid CSB event"
    """It told of something that cannot be."""
    PREEMPTION = "preemption time out"
    """It did not give way in time."""


@final
class Execlists:
    """The submission side of one engine."""

    def __init__(self, streamer: Streamer) -> None:
        self.streamer = streamer
        self.events = StatusBuffer(streamer.uncore, streamer.engine, streamer.status_page)
        self.queue = RequestQueue()
        self._hint = _NOTHING_WAITS
        """The priority from which on a new request may change what is in flight."""
        self.requests: list[Request] = []
        """Handed over and not yet done, oldest first."""
        self.pending: list[Request] = []
        """The last of each port of the submission that the engine has yet to take."""
        self.inflight: list[Request] = []
        """The last of each port that the engine is at, or will be."""
        self._tags = _TAGS
        self._errors: set[ExeclistError] = set()
        self._turns = Turns(streamer.work, self.kick)
        self._disabled = 0
        self._missed = False
        self.given_up = False
        """Nothing is handed over any more."""
        self.submissions = 0
        """Times the ports were written."""
        self.reset_ccid = 0

    # ---- what comes in ----

    def submit(self, request: Request) -> None:
        """Queue ``request``, and hand it over at once when there is room (``execlists_submit_request``)."""
        if self.given_up:
            request.give_up()
            request.activate()
            request.signal()
            return
        self.queue.append(request)
        if request.priority > self._hint:
            self._hint = request.priority
            self.kick()

    def reprioritise(self, request: Request, priority: int) -> None:
        """Let ``request`` have ``priority`` from now on (``__i915_schedule``)."""
        if request.queued:
            self.queue.remove(request)
            request.priority = priority
            self.queue.append(request)
        else:
            request.priority = priority
        if priority > self._hint and (request.queued or request.active):
            self._hint = priority
            self.kick()

    def kick(self) -> None:
        """Have a look at queue and events soon."""
        self.streamer.work.schedule(self.tasklet)

    def interrupted(self, events: EngineInterrupt) -> None:
        """The engine has raised ``events`` (``execlists_irq_handler``)."""
        streamer, name = self.streamer, self.streamer.engine.name
        kick = bool(events.context_switch)
        if events.master_error:
            error = EngineError(streamer.uncore.read(EngineRegisters.eir, name) & 0xFFFF)
            streamer.log.error("engine-error", f"{name} reports an error: eir reads {int(error):#x}")
            if error:
                streamer.uncore.write(EngineRegisters.emr, 0xFFFF_FFFF, name)
                streamer.uncore.write(EngineRegisters.eir, error, name)
                self._errors.add(ExeclistError.COMMAND)
                kick = True
        if events.wait_semaphore:
            self._turns.yields(int(streamer.uncore.raw.read32(EngineRegisters.execlist_status_hi.at(name))))
            kick |= self._turns.counted
        if events.user:
            streamer.breadcrumbs.interrupted()
        if kick:
            self.kick()

    def tasklet(self) -> None:
        """Follow the events, then hand over what can be (``execlists_submission_tasklet``)."""
        if self.given_up:
            return
        if self._disabled:
            self._missed = True
            return
        done = self._take_events()
        if self.pending and self._turns.late(self._running):
            self._errors.add(ExeclistError.PREEMPTION)
        if self._errors:
            self._reset()
        if not self.pending:
            self._dequeue()
            self._count_turn()
        for request in done:
            self._schedule_out(request)

    @property
    def _running(self) -> Request | None:
        """What the engine is at, by what it has said."""
        return self.inflight[0] if self.inflight else None

    # ---- events ----

    def _take_events(self) -> list[Request]:
        """Look at every new event; returns the requests that are no longer in flight (``process_csb``)."""
        streamer = self.streamer
        before = self._running
        done: list[Request] = []
        try:
            for number, status in self.events.take():
                streamer.events[int(status)] += 1
                if status & _PROMOTES:
                    if not self.pending:
                        raise ImpossibleEvent(f"event {number}, {status.describe()}: no submission is pending")
                    streamer.pause(False)
                    done += self.inflight
                    self.inflight, self.pending = self.pending, []
                    streamer.uncore.read(EngineRegisters.context_status_ptr, streamer.engine.name)
                elif not self.inflight:
                    raise ImpossibleEvent(f"event {number}, {status.describe()}: nothing is in flight")
                else:
                    done.append(self.inflight.pop(0))
        except ImpossibleEvent as error:
            streamer.log.warning("csb-event", f"{streamer.engine.value}: {error}")
            self._errors.add(ExeclistError.EVENT)
        if before is not self._running:
            self._turns.stop_counting()
        return done

    # ---- handing over ----

    def _can_merge(self, before: Request, after: Request) -> bool:
        """Whether ``after`` goes with ``before`` as one (``can_merge_rq``)."""
        if after.complete:
            return True
        if before.no_preemption or after.no_preemption:
            return False
        return before.context is after.context

    def _top(self) -> int:
        top = self.queue.top
        return _NOTHING_WAITS if top is None else top

    def _need_preemption(self, last: Request) -> bool:
        """Whether something waits that must not wait for ``last`` (``need_preempt``)."""
        if not self.streamer.has_semaphores:
            return False
        priority = max(Priority.BARRIER + 1 if last.no_preemption else last.priority, Priority.NORMAL - 1)
        if self._hint <= priority:
            return False
        behind = self.requests.index(last) + 1 if last in self.requests else 0
        if 0 < behind < len(self.requests) and self.requests[behind].priority > priority:
            return True
        return self._top() > priority

    def _needs_timeslice(self, request: Request | None) -> bool:
        """Whether ``request``, which runs, keeps another from running."""
        if not self.streamer.has_timeslices or request is None or request.complete or self.pending:
            return False
        return (bool(self.requests) and self.requests[-1] is not request) or bool(self.queue)

    def _count_turn(self) -> None:
        running = self._running
        if running is None or not self._needs_timeslice(running):
            self._turns.stop_counting()
        elif self._turns.count(running):
            self.kick()

    def _dequeue(self) -> None:
        """Fill the ports with what comes first (``execlists_dequeue``)."""
        position = 0
        while position < len(self.inflight) and self.inflight[position].complete:
            position += 1
        running = self.inflight[position:]
        last = running[0] if running else None
        if last is not None:
            if self._need_preemption(last):
                self.streamer.pause(True)
                self.unwind()
                last = None
            elif self._needs_timeslice(last) and self._turns.over(last):
                self._turns.stop_counting()
                self.streamer.pause(True)
                oldest = self.unwind()
                if oldest is not None:
                    self.queue.defer(oldest)
                last = None
            elif len(running) > 1:
                return
        ports, submitted = self._fill_ports(last)
        self._hint = self._top()
        if not submitted or running[: len(ports)] == ports:
            self.streamer.pause(False)
            return
        self.pending = ports
        for request in reversed(ports):
            self._schedule_in(request)
        self._turns.submitted()
        if self.streamer.has_preemption:
            self._turns.give_way(running[0] if running else None)
        self.submissions += 1
        write_ports(self.streamer.uncore, ports)

    def _fill_ports(self, last: Request | None) -> tuple[list[Request], bool]:
        """The last request of each port, when ``last`` stays in the first; and whether there is anything new in them."""
        ports: list[Request] = []
        submitted = False
        while (request := self.queue.first()) is not None:
            merge = last is None or self._can_merge(last, request)
            if not merge and last is not None:
                if len(ports) == PORTS - 1 or last.context is request.context:
                    break
            self.queue.remove(request)
            if not request.activate():
                continue
            self.requests.append(request)
            if not merge and last is not None:
                ports.append(last)
            submitted = True
            last = request
        if last is not None:
            ports.append(last)
        return ports, submitted

    def _schedule_in(self, request: Request) -> None:
        """``request`` and what goes with it are about to be loaded (``execlists_schedule_in``)."""
        context = request.context
        if not context.inflight:
            if context.banned or (request.error is not None and request.started):
                begin_anew(request)
            tag = (self._tags & -self._tags).bit_length() - 1
            self._tags &= ~(1 << tag)
            context.ccid = (1 + tag) << _TAG_SHIFT
        context.inflight += 1

    def _schedule_out(self, request: Request) -> None:
        """``request`` is no longer in flight (``execlists_schedule_out``)."""
        context = request.context
        context.inflight -= 1
        if context.inflight:
            return
        self._tags |= 1 << (context.ccid >> _TAG_SHIFT) - 1
        requests = context.timeline.requests
        if request.complete and (not requests or requests[-1] is request):
            self.streamer.retire_soon(context.timeline)

    # ---- taking back ----

    def unwind(self) -> Request | None:
        """Take back what is not done, to the front of the queue; returns the oldest (``__unwind_incomplete_requests``)."""
        oldest: Request | None = None
        for request in reversed(self.requests):
            if request.complete:
                continue
            request.deactivate()
            self.queue.push(request)
            ring = request.context.ring
            if ring.direction(request.tail, ring.wrapped(ring.tail + _SPARE_BYTES)) > 0:
                request.context.force_restore = True
            oldest = request
        self.requests = []
        return oldest

    def forget(self, request: Request) -> None:
        """``request`` is done and retired."""
        if request in self.requests:
            self.requests.remove(request)

    # ---- resets ----

    def disable(self) -> None:
        """Follow no events and hand nothing over, until :meth:`enable` (``tasklet_disable``)."""
        self._disabled += 1

    def enable(self) -> None:
        """Go on (``tasklet_enable``)."""
        self._disabled -= 1
        if not self._disabled and self._missed:
            self._missed = False
            self.kick()

    def _reset(self) -> None:
        """Driver and engine have lost each other, or work has broken it (``execlists_reset``)."""
        reason = next(error.value for error in ExeclistError if error in self._errors)
        self._errors.clear()
        self.disable()
        self.streamer.pause(True)
        self.streamer.gt.error_states.append(capture(self.streamer, reason))
        self.streamer.recover(reason)
        self.enable()

    def forget_errors(self) -> None:
        """The engine was made new."""
        self._errors.clear()

    def reset_pointers(self) -> None:
        """Agree with the hardware on which event comes next; it may go on at the end of requests."""
        self.streamer.pause(False)
        self.events.reset()

    def named(self, ccid: int) -> Request | None:
        """What the engine knows by the name ``ccid`` (``active_context``)."""
        for request in (*self.inflight, *self.pending):
            if request.context.ccid == ccid:
                return request
        return None

    def _reset_events(self, *, hung: bool) -> None:
        """Follow the last events, then forget everything that the engine had (``execlists_reset_csb``)."""
        done = self._take_events()
        self.reset_pointers()
        stopped = self.named(self.reset_ccid)
        if stopped is not None:
            restart(stopped, hung=hung)
        done += [*self.pending, *self.inflight]
        self.pending, self.inflight = [], []
        self._turns.rest()
        for request in done:
            self._schedule_out(request)

    def rewind(self, *, hung: bool) -> None:
        """After a reset: what was not done is handed over anew, but for what the engine ``hung`` in (``execlists_reset_rewind``)."""
        self._reset_events(hung=hung)
        self.unwind()
        self._hint = max(self._hint, self._top())

    def cancel(self) -> None:
        """The GT was given up: everything counts as done, in error (``execlists_reset_cancel``)."""
        self._reset_events(hung=True)
        for request in self.requests:
            request.give_up()
            request.signal()
        for request in tuple(self.queue):
            self.queue.remove(request)
            request.give_up()
            request.activate()
            self.requests.append(request)
            request.signal()
        self._hint = _NOTHING_WAITS
        self.given_up = True

    def take_up(self) -> None:
        """The GT is in use again (``execlists_set_default_submission``)."""
        self._reset_events(hung=False)
        self.given_up = False

    def parked(self) -> None:
        """The engine has nothing to do (``execlists_park``)."""
        self._turns.rest()
        self._hint = _NOTHING_WAITS
