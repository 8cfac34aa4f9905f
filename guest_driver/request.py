"""A request: one piece of work on one context, from its first command to the report that it is done.

In the ring it is: caches invalidated; for a client, the report that it has begun; the work; the report that it is done,
an interrupt, and two dwords that nobody needs, so that the tail can always be moved on once more::

      head           infix              postfix            tail   wa_tail
       |  invalidate   |  work             |  breadcrumb      |  spare  |

Source: linux:drivers/gpu/drm/i915/i915_request.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import final

from pvinfo.errors import DriverError, GpuWedged, RequestFailed, StateError, WaitTimeout
from pvinfo.units import GraphicsAddress

from .context import BANNED, Context
from .timeline import seqno_passed

__all__ = ("Priority", "Request")


class Priority(IntEnum):
    """Who comes first. Clients choose from LOWEST to HIGHEST."""

    IDLE = -1024
    """Only when nothing else wants the engine."""
    LOWEST = -1023
    NORMAL = 0
    HIGHEST = 1023
    HEARTBEAT = 1025
    BARRIER = 0x7FFF_FFFE
    """Nothing comes before it."""


@final
class Request:
    """One piece of work. Made by :meth:`guest_driver.GuestDriver.submit` and by the driver itself."""

    def __init__(self, context: Context, *, priority: int = Priority.NORMAL) -> None:
        """Begin one at the end of the context's ring; the engine stays awake for it (``i915_request_create``).

        Raises: WaitTimeout when the ring stays full.
        """
        self.context = context
        self.streamer = context.streamer
        self.engine = context.engine
        self.priority = priority
        self.seqno = context.timeline.next_seqno()
        self._report_offset = context.timeline.offset
        self.error: DriverError | None = None
        """Why it was not executed, or not as a whole."""
        self.signalled = False
        """The driver knows that it is done."""
        self.active = False
        """It was handed to the engine, and not taken back."""
        self.queued = False
        """It waits in the driver for its turn."""
        self.retired = False
        self.no_preemption = False
        """Once it has begun, nothing may take the engine from it."""
        self.on_signalled: list[Callable[[], None]] = []
        """Called once when it is done, or at once when the list is asked for too late: see :meth:`when_done`."""
        self.on_retired: list[Callable[[], None]] = []
        """Called once when its place in the ring is free again: whatever it used can go."""
        self.after: list[Request] = []
        """What must come before it besides what stands before it in its context."""
        self._on_active: list[Callable[[], None]] = []
        self._on_ready: list[Callable[[], None]] = []
        self._blockers = 1
        """What keeps it from being handed over; it itself, until it is committed."""
        self._wanted = False
        self._forced = False
        self._reserved = 2 * 4 * self.streamer.emission.fini_dwords
        self.streamer.get()
        if not context.timeline.requests:
            context.pin()
        ring = context.ring
        self.head = ring.emit
        self.infix = self.postfix = self.tail = self.wa_tail = self.head
        context.timeline.requests.append(self)
        try:
            self.emit(self.streamer.emission.invalidate())
        except BaseException:
            self.abandon()
            raise
        self.infix = ring.emit

    @property
    def name(self) -> str:
        """Which one it is, in words."""
        return f"request {self.seqno} of {self.context.owner} on {self.engine.value}"

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def report_address(self) -> GraphicsAddress:
        """Graphics address of the dword in which it reports."""
        return self.context.timeline.address_of(self._report_offset)

    # ---- its commands ----

    def emit(self, words: Sequence[int]) -> None:
        """Append commands, an even number of dwords that stay in one piece (``intel_ring_begin``).

        Raises: UsageError when the ring cannot hold them; WaitTimeout when it stays full.
        """
        ring = self.context.ring
        needed, lost = ring.needed(len(words), self._reserved)
        if needed > ring.space:
            self._make_room(needed)
        if lost is not None:
            ring.wrap(lost)
        ring.append(words)

    def _make_room(self, needed: int) -> None:
        """Wait for the oldest request whose end leaves enough room (``wait_for_space``)."""
        ring, timeline = self.context.ring, self.context.timeline
        self.streamer.retire(timeline)
        if ring.update_space() >= needed:
            return
        for request in timeline.requests:
            if request is not self and ring.space_once_at(request.postfix) >= needed:
                request.wait_done(self.streamer.space_timeout_ns)
                self.streamer.retire(timeline)
                if ring.update_space() >= needed:
                    return
        raise DriverError(f"{ring.binding.buffer.owner}: no room for {needed} bytes, whatever is waited for")

    def report_start(self) -> None:
        """Have it report that it has begun (``gen8_emit_init_breadcrumb``)."""
        timeline = self.context.timeline
        if timeline.reports_start:
            self.emit(self.streamer.emission.init_breadcrumb(self.report_address, self.seqno))
            self.infix = self.context.ring.emit

    def abandon(self) -> None:
        """Take it out of the ring: it is the last one there, and could not be written to its end."""
        self.context.ring.emit = self.head
        self.context.ring.update_space()
        self.context.timeline.requests.remove(self)
        self.retired = True
        self.streamer.put()

    def commit(self, after: Iterable[Request] = ()) -> None:
        """End it and queue it, behind the requests ``after`` (``__i915_request_commit``, ``__i915_request_queue``)."""
        self._reserved = 0
        ring = self.context.ring
        dwords = self.streamer.emission.fini_dwords
        needed, lost = ring.needed(dwords, 0)
        if needed > ring.space:
            self._make_room(needed)
        if lost is not None:
            ring.wrap(lost)
        self.postfix = ring.skip(dwords)
        for other in after:
            self._await(other)
        self._follow()
        self._unblock()

    def _follow(self) -> None:
        """Come behind whatever is before it in its context: what waits for that, waits for this
        (``__i915_request_ensure_ordering``)."""
        requests = self.context.timeline.requests
        place = requests.index(self)
        if not place:
            return
        before = requests[place - 1]
        before.raise_priority(self.priority)
        if not before.ready:
            self._blockers += 1
            before._on_ready.append(self._unblock)

    def _await(self, other: Request) -> None:
        """Come behind ``other``: on one engine the queue sees to that (``i915_request_await_request``)."""
        self._follows(other)
        if other.engine is not self.engine:
            self._blockers += 1
            other.when_done(self._unblock)
        elif not other.ready:
            self._blockers += 1
            other._on_ready.append(self._unblock)

    def await_active(self, other: Request) -> None:
        """Do not hand it over before ``other``: it polls for what that one writes."""
        self._follows(other)
        if not other.active and not other.complete:
            self._blockers += 1
            other._on_active.append(self._unblock)

    def _follows(self, other: Request) -> None:
        self.after.append(other)
        other.raise_priority(self.priority)

    def _unblock(self) -> None:
        self._blockers -= 1
        if not self._blockers:
            self.streamer.submit(self)
            waiting, self._on_ready = self._on_ready, []
            for act in waiting:
                act()

    @property
    def ready(self) -> bool:
        """Nothing keeps it from being handed to the engine."""
        return not self._blockers

    def raise_priority(self, priority: int) -> None:
        """Let it come no later than ``priority`` says, and first whatever must come before it (``i915_schedule``)."""
        if self.complete:
            return
        for request in self.context.timeline.requests:
            if request.priority < priority and not request.complete:
                for other in request.after:
                    other.raise_priority(priority)
                request.streamer.reprioritise(request, priority)
            if request is self:
                return

    # ---- what the engine is given ----

    def activate(self) -> bool:
        """It is about to be handed over: write its end; False when it is done already (``__i915_request_submit``)."""
        fresh = not self.complete
        if fresh:
            if self.context.banned:
                self.fail(BANNED)
            if self.error is not None:
                self.skip()
            words, spare = self.streamer.emission.fini_breadcrumb(self.report_address, self.seqno)
            ring = self.context.ring
            ring.rewrite(self.postfix, words)
            end = self.postfix + 4 * len(words)
            self.tail = ring.wrapped(end - 4 * spare)
            self.wa_tail = ring.wrapped(end)
            self.streamer.serial += 1
        self.queued = False
        self.active = True
        on_active, self._on_active = self._on_active, []
        for act in on_active:
            act()
        if self._wanted:
            self.streamer.breadcrumbs.add(self)
        return fresh

    def deactivate(self) -> None:
        """It was taken back (``__i915_request_unsubmit``)."""
        self.active = False
        self.streamer.breadcrumbs.remove(self)

    def skip(self) -> None:
        """Make its work no-operations; only the breadcrumb stays (``__i915_request_skip``)."""
        if self.infix != self.postfix:
            self.context.ring.clear(self.infix, self.postfix)
            self.infix = self.postfix

    def fail(self, reason: str) -> None:
        """It will not be executed, or was not as a whole; the first reason counts."""
        if self.error is None and not self.signalled:
            self.error = RequestFailed(self.engine.value, self.context.owner, self.seqno, reason)

    def give_up(self) -> None:
        """The GT was given up: it counts as done, in error (``i915_request_mark_eio``)."""
        if self.complete:
            return
        self.error = self.error or GpuWedged(f"{self.name}: the GT was given up")
        self._forced = True

    # ---- its end ----

    @property
    def complete(self) -> bool:
        """It has reported that it is done, whether or not anybody has looked."""
        return self._has_ended()

    def _has_ended(self) -> bool:
        return self.signalled or self._forced or seqno_passed(self._reported(), self.seqno)

    def _reported(self) -> int:
        return self.context.timeline.reported(self._report_offset)

    @property
    def started(self) -> bool:
        """What came before it in its context is done, or it has reported its own start."""
        return self.signalled or self._forced or seqno_passed(self._reported(), self.seqno - 1)

    def signal(self) -> None:
        """It is done: tell whoever waits."""
        if self.signalled:
            return
        self.signalled = True
        self.streamer.completed += 1
        waiting, self.on_signalled = self.on_signalled, []
        for act in waiting:
            act()

    def when_done(self, act: Callable[[], None]) -> None:
        """Call ``act`` once it is done, at once if it is."""
        if self.complete:
            self.signal()
            act()
            return
        self.on_signalled.append(act)
        self.want_signal()

    def want_signal(self) -> None:
        """Somebody waits: let its interrupt through (``dma_fence_enable_sw_signaling``)."""
        if not self._wanted:
            self._wanted = True
            if self.active:
                self.streamer.breadcrumbs.add(self)

    def wait(self, timeout_ns: int) -> None:
        """Wait until it is done.

        Raises: WaitTimeout when it is not after ``timeout_ns``; RequestFailed when it was not executed, or not as a
        whole; GpuWedged when the GT was given up meanwhile; StateError when it was never submitted.
        """
        self.wait_done(timeout_ns)
        if self.error is not None:
            raise self.error

    def wait_done(self, timeout_ns: int) -> None:
        """Wait until it is done, in error or not. Raises: WaitTimeout, StateError."""
        if self.postfix == self.head and not self.complete:
            raise StateError(f"wait for {self.name}", "being written", "submitted")
        if self.complete:
            self.signal()
            return
        streamer = self.streamer
        self.want_signal()
        if streamer.work.wait_until(lambda: self.signalled, timeout_ns):
            return
        if not self._has_ended():
            raise WaitTimeout(f"{self.name}, which reports at {self.report_address:#x}", self._reported(), self.seqno, timeout_ns)
        streamer.log.warning("missed-interrupt", f"{self.name} was done, but no interrupt said so")
        self.signal()

    def retire(self) -> bool:
        """Free its place in the ring once it is done; False while it is not (``i915_request_retire``)."""
        if not self.complete:
            return False
        if self.retired:
            return True
        self.retired = True
        ring = self.context.ring
        ring.head = self.postfix
        self.signal()
        self.streamer.forget(self)
        self.context.timeline.requests.remove(self)
        self.after.clear()
        done, self.on_retired = self.on_retired, []
        for act in done:
            act()
        self.streamer.put()
        return True
