"""One engine, as the driver drives it: what it has in memory, who uses it, and how it is woken and put to rest.

An engine that is in use is *awake*. When the last request was retired, the driver has it switch to its own, empty
context, so that no client's context is left loaded; when that is done the engine is *parked*. The next use scrubs the
driver's own context, of which nothing is to be relied on after a sleep.
Source: linux:drivers/gpu/drm/i915/gt/intel_engine_cs.c, linux:drivers/gpu/drm/i915/gt/intel_engine_pm.c,
linux:drivers/gpu/drm/i915/gt/intel_gt_requests.c
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from pvinfo.execlist import HARDWARE_STATUS_PAGE
from pvinfo.platform import Engine
from pvinfo.registers import EngineInterrupt, EngineRegisters

from .breadcrumbs import Breadcrumbs
from .context import KERNEL_RING, Context, ContextMaker, bind_pages
from .emission import Emission
from .execlists import Execlists
from .ggtt import Binding
from .heartbeat import Heartbeat
from .log import DriverLog
from .ppgtt import Ppgtt
from .recovery import recover_engine
from .request import Priority, Request
from .timeline import Timeline
from .uncore import Uncore
from .work import Work

if TYPE_CHECKING:
    from .gt import Gt

__all__ = ("HWSP_KERNEL_SEQNO", "HWSP_MIGRATE_SEQNO", "Streamer")

HWSP_KERNEL_SEQNO: Final = HARDWARE_STATUS_PAGE.offset_of("kernel_seqno")
"""Where requests of the kernel's own context report that they are done."""
HWSP_MIGRATE_SEQNO: Final = HARDWARE_STATUS_PAGE.offset_of("migrate_seqno")
"""Where requests of the migration context do, in the copy engine's status page."""
_HWSP_PREEMPT: Final = HARDWARE_STATUS_PAGE.offset_of("preempt")

_WORKER_NS: Final = 50_000
"""What a worker takes to come to what was left for it, on an idle machine."""
_SWITCH_TIMEOUT_NS: Final = 100_000_000
_SPACE_TIMEOUT_NS: Final = 60_000_000_000
"""For room in a ring: longer than any hang goes undetected."""


@final
class Streamer:
    """One engine's objects and state."""

    def __init__(self, gt: Gt, maker: ContextMaker, uncore: Uncore, work: Work, engine: Engine, *, virtual: bool) -> None:
        """Bind what it needs, in the driver's order (``engine_setup_common``, ``intel_execlists_submission_setup``).

        Raises: DriverError when memory or graphics memory is used up.
        """
        self.gt = gt
        self.uncore = uncore
        self.work = work
        self.engine = engine
        self._maker = maker
        self.virtual = virtual
        self.has_semaphores = not virtual
        self.has_preemption = not virtual and uncore.platform.graphics_version > 8
        """Batches may be preempted; without it, requests give way between them."""
        self.has_timeslices = self.has_preemption
        self.space_timeout_ns = _SPACE_TIMEOUT_NS
        self.status_page: Binding = bind_pages(maker.ggtt, maker.pages, 1, f"status page of {engine.value}")
        self.workaround_batch: Binding | None = None
        """The batch inside the render engine's context restores."""
        self.workaround_bytes = 0
        if engine is Engine.RCS0:
            self.workaround_batch = bind_pages(maker.ggtt, maker.pages, 1, f"work-around batch of {engine.value}")
        self.emission = Emission(
            uncore.platform, uncore.revision, engine, self.status_page.address,
            semaphores=self.has_semaphores, preemption=self.has_preemption, pooled_units=uncore.platform.name == "bxt" and maker.topology.pools_units,
        )  # fmt: skip
        if self.workaround_batch is not None:
            words = self.emission.workaround_batch(gt.scratch_address)
            self.workaround_bytes = 4 * len(words)
            self.workaround_batch.buffer.write_dwords(0, words)
        self.breadcrumbs = Breadcrumbs(uncore, engine, work)
        self.execlists = Execlists(self)
        self.heartbeat = Heartbeat(self)
        self.kernel_context: Context = Context(
            maker, self, "kernel", gt.require_kernel_vm(), timeline=self.status_page, timeline_offset=HWSP_KERNEL_SEQNO
        )
        self.contexts: dict[Context, None] = {self.kernel_context: None}
        """Every context on this engine, the kernel's first."""
        self.serial = 0
        """Grows with each request handed over, and with each loss of the engine's state."""
        self._parked_serial = -1
        """What ``serial`` was when the engine had nothing but the kernel's context."""
        self._users = 0
        self.awake = False
        self._retiring: dict[Timeline, None] = {}
        self._barrier: list[Callable[[], None]] = []
        self._paused = False
        self.completed = 0
        """Requests that were done since the driver was loaded."""
        self.resets = 0
        """Times that the engine was reset because of what it was at."""
        self.events: Counter[int] = Counter()
        """How often each status of a context event was seen."""

    @property
    def log(self) -> DriverLog:
        """The driver's log."""
        return self.uncore.log

    def __repr__(self) -> str:
        return f"<Streamer {self.engine.value}>"

    # ---- contexts ----

    def create_context(
        self, owner: str, vm: Ppgtt, *, ring_bytes: int = KERNEL_RING, timeline: Binding | None = None, timeline_offset: int = 0, default_state: bytes | None = None
    ) -> Context:
        """A context on this engine. Raises: DriverError when memory or graphics memory is used up."""
        context = Context(
            self._maker, self, owner, vm,
            ring_bytes=ring_bytes, timeline=timeline, timeline_offset=timeline_offset, default_state=default_state,
        )  # fmt: skip
        self.contexts[context] = None
        return context

    def release_context(self, context: Context) -> None:
        """Give ``context`` back, of which no request is left."""
        self.contexts.pop(context, None)
        self._retiring.pop(context.timeline, None)
        context.release()

    # ---- requests ----

    def submit(self, request: Request) -> None:
        """``request`` is ready."""
        self.execlists.submit(request)
        self.work.run_tasklets()

    def reprioritise(self, request: Request, priority: int) -> None:
        """``request`` comes earlier than was said."""
        self.execlists.reprioritise(request, priority)

    def forget(self, request: Request) -> None:
        """``request`` is retired."""
        self.execlists.forget(request)

    def pause(self, paused: bool) -> None:
        """Have the engine wait at the end of each request, or let it go on (``ring_set_paused``)."""
        if paused is not self._paused:
            self._paused = paused
            self.status_page.buffer.write_dword(_HWSP_PREEMPT, int(paused))

    def interrupted(self, events: EngineInterrupt) -> None:
        """The engine has raised ``events``."""
        self.execlists.interrupted(events)

    # ---- retiring ----

    def retire(self, timeline: Timeline) -> bool:
        """Retire what is done of ``timeline``; True when nothing is left (``retire_requests``)."""
        while timeline.requests:
            if not timeline.requests[0].retire():
                return False
        return True

    def retire_soon(self, timeline: Timeline) -> None:
        """Leave it to a worker (``intel_engine_add_retire``)."""
        if not self._retiring:
            self.work.after(_WORKER_NS, self._retire_left)
        self._retiring[timeline] = None

    def _retire_left(self) -> None:
        timelines, self._retiring = self._retiring, {}
        for timeline in timelines:
            self.retire(timeline)

    def retire_all(self) -> bool:
        """Retire what is done of every context; True when nothing is left."""
        self._retire_left()
        return all([self.retire(context.timeline) for context in tuple(self.contexts)])

    # ---- being used ----

    def get(self) -> None:
        """Somebody uses the engine (``intel_engine_pm_get``)."""
        self._users += 1
        if not self.awake:
            self.awake = True
            self._unpark()

    def put(self) -> None:
        """Somebody no longer does (``intel_engine_pm_put``)."""
        self._users -= 1
        if not self._users:
            self._park()

    def _unpark(self) -> None:
        self.gt.unpark()
        if not self.gt.wedged:
            # Its last request is done, but the engine may not have said so yet.
            self.work.wait_until(lambda: not self.kernel_context.inflight, _SWITCH_TIMEOUT_NS)
            self.kernel_context.reset()
        self.breadcrumbs.active = True
        self.heartbeat.start()

    def _park(self) -> None:
        """Switch to the kernel's context, or be done with it (``__engine_park``)."""
        if self._switch_to_kernel_context():
            self._pass_barrier(self._take_barrier())
            self.awake = False
            self.heartbeat.stop()
            self.breadcrumbs.park()
            self.execlists.parked()
            self.gt.park()

    def _switch_to_kernel_context(self) -> bool:
        """True when the engine is there, or points nowhere (``switch_to_kernel_context``)."""
        if self.gt.wedged or self._parked_serial == self.serial:
            return True
        self.pulse(Priority.BARRIER).want_signal()
        self.work.run_tasklets()
        return False

    def pulse(self, priority: int) -> Request:
        """A request of the kernel's context, which leaves the engine with nothing else when it is done."""
        request = Request(self.kernel_context, priority=priority)
        self._parked_serial = self.serial + 1
        acts = self._take_barrier()
        request.on_retired.append(lambda: self._pass_barrier(acts))
        request.commit()
        return request

    # ---- barriers ----

    def at_barrier(self, act: Callable[[], None]) -> None:
        """Call ``act`` once the engine certainly has no context but the kernel's: at once when it is parked, else when the
        next request of that context is done (``i915_active_acquire_barrier``)."""
        if self.awake:
            self._barrier.append(act)
        else:
            act()

    def _take_barrier(self) -> list[Callable[[], None]]:
        acts, self._barrier = self._barrier, []
        return acts

    @staticmethod
    def _pass_barrier(acts: list[Callable[[], None]]) -> None:
        for act in acts:
            act()

    def take_up(self) -> None:
        """Take work again after the GT was given up. Whatever stands in the rings counts as done, and is never executed."""
        self.retire_all()
        self.execlists.take_up()
        for context in self.contexts:
            context.reset()
            context.timeline.reset_reported()

    def state_lost(self) -> None:
        """No context is loaded any more."""
        self.serial += 1

    @property
    def only_kernel_context(self) -> bool:
        """The last thing that it was given is the kernel's own context."""
        return self._parked_serial == self.serial

    # ---- recovery ----

    def recover(self, reason: str) -> bool:
        """Reset the engine and go on without what it hung in; False when it cannot be reset."""
        return recover_engine(self, reason)

    # ---- the end ----

    def release(self) -> None:
        """Give everything back, after no more reports are written to the status page (``execlists_release``)."""
        self.heartbeat.stop()
        self.kernel_context.release()
        self.uncore.write(EngineRegisters.hwstam, 0xFFFF_FFFF, self.engine.name)
        for binding in (self.status_page, self.workaround_batch):
            if binding is not None:
                self._maker.ggtt.unbind(binding)
                self._maker.pages.release(binding.buffer)
