"""The GT: everything that computes. Set up, resumed, used, recovered, given up, taken down.

Two ways lead out of :meth:`Gt.init`. When the engines complete their first requests the GT runs, and a context
that moves memory about is made. When they do not, the driver declares the GT wedged for good and takes down what
it has made, the kernel's address space included; clients may still come, and each gets an address space.
Source: linux:drivers/gpu/drm/i915/gt/intel_gt.c, linux:drivers/gpu/drm/i915/gt/intel_gt_pm.c,
linux:drivers/gpu/drm/i915/gt/intel_reset.c
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, final

from pvinfo.errors import DriverError, GpuWedged
from pvinfo.gtt_entry import PPGTT_LEVELS
from pvinfo.platform import Engine
from pvinfo.units import KIB, MIB, PAGE_SIZE, GraphicsAddress

from .context import Context, ContextMaker, bind_pages
from .defaults import DefaultState
from .device_info import DeviceInfo
from .engine_resume import resume_engine
from .faults import check_and_clear_faults
from .fence import Fences
from .frequency import Frequency
from .ggtt import Binding, Ggtt
from .gt_resume import resume_gt
from .interrupts import Interrupts
from .memory import GuestPages
from .ppgtt import Ppgtt, ScratchTables
from .rc6 import Rc6
from .recovery import EngineState, capture, finish_reset, prepare_reset
from .reset import reset_all_engines, reset_guc
from .streamer import HWSP_MIGRATE_SEQNO, Streamer
from .tlb import invalidate_translations
from .uncore import Uncore
from .work import Work

__all__ = ("Gt", "GtState")

_MIGRATE_RING: Final = 512 * KIB
_MOMENT_NS: Final = 20_000
"""What the processor takes to start one engine, while those started before are at work."""
_RESET_RETRIES: Final = 3
_RETRY_PAUSE_NS: Final = 10_000_000


class GtState(Enum):
    """What became of the engines."""

    UNINITIALISED = "uninitialised"
    """The driver has not come to them yet."""
    RUNNING = "running"
    """Every engine has completed its first requests."""
    WEDGED = "wedged"
    """They did not answer, could not be initialised, or could not be reset: there is no GPU work."""


@final
class Gt:
    """The GT of one device."""

    def __init__(
        self, uncore: Uncore, pages: GuestPages, ggtt: Ggtt, fences: Fences, info: DeviceInfo, interrupts: Interrupts, work: Work,
        *, virtual: bool, large_pages: bool,
    ) -> None:  # fmt: skip
        """``virtual``: a host wants to hear of address spaces. ``large_pages``: tables may hold 64 KiB pages."""
        self._uncore = uncore
        self._pages = pages
        self._ggtt = ggtt
        self._fences = fences
        self._info = info
        self._interrupts = interrupts
        self.work = work
        self._virtual = virtual
        self.large_pages = large_pages
        self.state = GtState.UNINITIALISED
        self.engines: dict[Engine, Streamer] = {}
        self.kernel_vm: Ppgtt | None = None
        """The kernel's own address space, whose scratch tables all others share."""
        self.migrate_vm: Ppgtt | None = None
        self.migrate_context: Context | None = None
        """The copy engine's context that moves memory about, once the GT runs."""
        self._defaults = DefaultState(uncore, ggtt, pages)
        self.rc6 = Rc6(uncore, supported=not virtual)
        self.frequency = Frequency(uncore)
        self.error_states: list[EngineState] = []
        """What the registers of engines said that were found hung, oldest first."""
        self.resets = 0
        """Times that the GT was reset as a whole because an engine could not be reset alone."""
        self._maker = ContextMaker(ggtt, pages, uncore.platform, info.topology)
        self._scratch: Binding | None = None
        self._in_use = 0
        self.wedged = True
        """No work is handed over. A GT begins so."""
        self._unrecoverable = False

    # ---- address spaces ----

    def create_vm(self, owner: str, *, levels: int = PPGTT_LEVELS) -> Ppgtt:
        """A new address space, which the host hears of. Raises: UsageError for a number of levels that there is not;
        DriverError when memory is used up."""
        scratch = self.kernel_vm.scratch if self.kernel_vm is not None else ScratchTables(self._pages, self.large_pages)
        return Ppgtt(self._uncore, self._pages, scratch, owner, announce=self._virtual, page_sizes=self.page_sizes, levels=levels)

    @property
    def page_sizes(self) -> tuple[int, ...]:
        """How much one entry of a page table may translate. Large pages need a host that shadows them, if there is a host.
        (Linux offers 2 MiB to no driver of this age; hardware has it.)"""
        sizes = (PAGE_SIZE, 64 * KIB) if self.large_pages else (PAGE_SIZE,)
        return (*sizes, 2 * MIB) if self.large_pages or not self._virtual else sizes

    def require_kernel_vm(self) -> Ppgtt:
        """The kernel's own address space. Raises: DriverError when there is none."""
        if self.kernel_vm is None:
            raise DriverError("the kernel's address space was taken down with the GT")
        return self.kernel_vm

    @property
    def scratch_address(self) -> GraphicsAddress:
        """Graphics address of a page that means nothing to anybody."""
        if self._scratch is None:
            raise DriverError("the GT's scratch page was taken down with the GT")
        return self._scratch.address

    def invalidate_translations(self) -> None:
        """Pages are about to go that engines may still have translations to (``intel_gt_invalidate_tlb_full``)."""
        if not self.wedged:
            invalidate_translations(self._uncore, [engine for engine, streamer in self.engines.items() if streamer.awake])

    # ---- set-up ----

    @property
    def default_state(self) -> Mapping[Engine, bytes]:
        """What each engine's state is after a reset, as images from which new contexts start."""
        return self._defaults.images

    def init(self) -> None:
        """Set everything up and run each engine once (``intel_gt_init``). What became of it says ``state``.

        Raises: DriverError when memory or graphics memory is used up.
        """
        with self._uncore.held_awake():
            self._init()

    def _init(self) -> None:
        self._scratch = bind_pages(self._ggtt, self._pages, 1, "GT scratch page")
        self.rc6.init()
        self.frequency.init()
        self.kernel_vm = self.create_vm("kernel")
        for engine in self._uncore.platform.engines:
            streamer = Streamer(self, self._maker, self._uncore, self.work, engine, virtual=self._virtual)
            self.engines[engine] = streamer
            self._interrupts.listen(engine, streamer.interrupted)
        if not self.resume():
            self._take_down()
            self.state = GtState.WEDGED
        elif not self._defaults.record(self):
            self._disable()
            self._take_down()
            self.state = GtState.WEDGED
        else:
            self._init_migration()
            self.state = GtState.RUNNING

    def _init_migration(self) -> None:
        """Make the context that moves memory about (``intel_migrate_init``)."""
        streamer = self.engines[Engine.BCS0]
        self.migrate_vm = self.create_vm("migration")
        self.migrate_context = streamer.create_context(
            "migration", self.migrate_vm, ring_bytes=_MIGRATE_RING,
            timeline=streamer.status_page, timeline_offset=HWSP_MIGRATE_SEQNO, default_state=self._defaults.images[Engine.BCS0],
        )  # fmt: skip
        self._defaults.release_contexts()

    # ---- resume ----

    def resume(self) -> bool:
        """Reset the GT and make its engines take work (``intel_gt_resume``); False when it cannot be used."""
        self.sanitize(force=True)
        self.rc6.sanitize()
        if self.wedged:
            self._uncore.log.error("gt-reset", "the GT cannot be reset; it is given up")
            return False
        if not self._init_hw():
            self._uncore.log.error("gt-init", "the GT cannot be initialised; it is given up")
            self.set_wedged()
            return False
        self.frequency.enable(self._info.timestamp_hz)
        self.frequency.pair_ring_frequencies()
        for streamer in self.engines.values():
            streamer.get()
            streamer.state_lost()
            resume_engine(streamer)
            streamer.put()
            self.work.wait(_MOMENT_NS)
        self.rc6.enable()
        return True

    def _init_hw(self) -> bool:
        return resume_gt(self._uncore, self._info.topology, large_pages=self.large_pages)

    def sanitize(self, *, force: bool) -> None:
        """Forget whatever state the engines are in: stop, reset, agree on the event pointers (``gt_sanitize``)."""
        uncore = self._uncore
        if self.wedged:
            self._unset_wedged()
        reset_guc(uncore)
        for streamer in self.engines.values():
            prepare_reset(streamer)
            streamer.execlists.reset_pointers()
            for context in streamer.contexts:
                context.timeline.reset_reported()
        if reset_all_engines(uncore) or force:
            for streamer in self.engines.values():
                streamer.execlists.rewind(hung=False)
                streamer.state_lost()
        for streamer in self.engines.values():
            finish_reset(streamer)
        self.work.run_tasklets()
        self.frequency.silence()

    # ---- being used ----

    def unpark(self) -> None:
        """An engine is needed (``__gt_unpark``)."""
        self._in_use += 1
        if self._in_use == 1:
            self.rc6.unpark()

    def park(self) -> None:
        """An engine is no longer needed (``__gt_park``)."""
        self._in_use -= 1
        if not self._in_use:
            self.rc6.park()

    def wait_for_idle(self, timeout_ns: int) -> bool:
        """Wait until every engine is done and parked; False when that is not so in time (``intel_gt_wait_for_idle``)."""
        for streamer in self.engines.values():
            streamer.execlists.kick()
            for context in streamer.contexts:
                if context.timeline.requests:
                    context.timeline.requests[-1].want_signal()
        return self.work.wait_until(self._all_parked, timeout_ns)

    def _all_parked(self) -> bool:
        for streamer in self.engines.values():
            streamer.retire_all()
        return not any(streamer.awake for streamer in self.engines.values())

    # ---- recovery ----

    def handle_error(self, hung: Iterable[Streamer], reason: str) -> None:
        """Engines hang: look at them, reset each alone, and where that fails the whole GT (``intel_gt_handle_error``)."""
        left = list(hung)
        self.error_states += [capture(streamer, reason) for streamer in left]
        check_and_clear_faults(self._uncore)
        if not self.wedged:
            left = [streamer for streamer in left if not streamer.recover(reason)]
        if left:
            self.reset(left, reason)

    def reset(self, hung: Iterable[Streamer] = (), reason: str = "it was asked for") -> bool:
        """Reset the GT as a whole; the work that engines ``hung`` in fails, all other is handed over anew. False when it
        had to be given up (``intel_gt_reset``)."""
        if self.wedged and not self._unset_wedged():
            return False
        uncore = self._uncore
        uncore.log.info("gt-reset", f"the GT is reset: {reason}")
        self.resets += 1
        streamers, guilty = tuple(self.engines.values()), frozenset(hung)
        for streamer in streamers:
            prepare_reset(streamer)
        done = self._reset_patiently()
        if done:
            for streamer in streamers:
                streamer.execlists.rewind(hung=streamer in guilty)
                streamer.state_lost()
            self._fences.restore()
            reset_guc(uncore)
            done = self._init_hw()
        if done:
            for streamer in streamers:
                resume_engine(streamer)
        else:
            uncore.log.error("gt-reset-failed", "the GT cannot be reset; it is given up")
            self.set_wedged()
        for streamer in streamers:
            finish_reset(streamer)
        self.work.run_tasklets()
        return done

    def _reset_patiently(self) -> bool:
        """Several times, with growing pauses (``do_reset``)."""
        for number in range(_RESET_RETRIES + 1):
            if number:
                self._uncore.clock.wait_ns(number * _RETRY_PAUSE_NS)
            if reset_all_engines(self._uncore):
                return True
        return False

    # ---- giving up ----

    def set_wedged(self) -> None:
        """Stop and reset the engines; no work will be handed to them, and what they had fails (``intel_gt_set_wedged``)."""
        if self.wedged:
            return
        streamers = tuple(self.engines.values())
        for streamer in streamers:
            prepare_reset(streamer)
        reset_all_engines(self._uncore)
        self.wedged = True
        if self.state is GtState.RUNNING:
            self.state = GtState.WEDGED
        for streamer in streamers:
            streamer.execlists.cancel()
        for streamer in streamers:
            finish_reset(streamer)
        self.work.run_tasklets()
        for streamer in streamers:
            streamer.retire_all()

    def _unset_wedged(self) -> bool:
        """Try to use the GT again, all contexts empty; False when it cannot be (``intel_gt_unset_wedged``)."""
        if self._unrecoverable or not reset_all_engines(self._uncore):
            return False
        for streamer in self.engines.values():
            streamer.take_up()
        self.wedged = False
        if self.state is GtState.WEDGED:
            self.state = GtState.RUNNING
        return True

    def require_usable(self) -> None:
        """Raises: GpuWedged when there is no GPU work."""
        if self.wedged or self.state is not GtState.RUNNING:
            raise GpuWedged("the GT was given up: there is no GPU work")

    def _disable(self) -> None:
        """Give the GT up for good and leave it quiet (``__intel_gt_disable``)."""
        self.set_wedged()
        self._unrecoverable = True
        self.suspend()

    def suspend(self) -> None:
        """Leave the device quiet (``intel_gt_suspend_late``)."""
        self.frequency.disable()
        self.rc6.disable()
        self.sanitize(force=False)

    def _release_engines(self) -> None:
        """Reset once more, then free what the engines had (``intel_engines_release``)."""
        reset_all_engines(self._uncore)
        for engine, streamer in self.engines.items():
            self._interrupts.listen(engine, None)
            streamer.release()
        self.engines = {}

    def _release_vm(self) -> None:
        if self.kernel_vm is not None:
            self.kernel_vm.release()
            self.kernel_vm = None

    def _release_scratch(self) -> None:
        if self._scratch is not None:
            self._ggtt.unbind(self._scratch)
            self._pages.release(self._scratch.buffer)
            self._scratch = None

    def _take_down(self) -> None:
        """Free everything after the GT could not be started; it stays given up."""
        self._release_engines()
        self._release_vm()
        self._release_scratch()
        self._unrecoverable = True

    # ---- the end ----

    def unregister(self) -> None:
        """No new work from now on; leave no trace of the old (``intel_gt_driver_unregister``)."""
        self.set_wedged()
        self._unrecoverable = True
        reset_all_engines(self._uncore)

    def remove(self) -> None:
        """Quiesce the engines and free what they had (``i915_gem_driver_remove``)."""
        self.suspend()
        self._disable()
        if self.migrate_context is not None:
            self.migrate_context.streamer.release_context(self.migrate_context)
            self.migrate_context = None
        if self.migrate_vm is not None:
            self.migrate_vm.release()
            self.migrate_vm = None
        self._release_engines()

    def release(self) -> None:
        """Free the rest (``intel_gt_driver_release``)."""
        self._release_vm()
        self._release_scratch()
