"""The GT: everything that computes. Set up, resumed, given up, taken down.

Two ways lead out of :meth:`Gt.init`. When the engines complete their first requests the GT runs, and a context
that moves memory about is made. When they do not, the driver declares the GT wedged for good and takes down what
it has made, the kernel's address space included; clients may still come, and each gets an address space.
Source: linux:drivers/gpu/drm/i915/gt/intel_gt.c, linux:drivers/gpu/drm/i915/gt/intel_gt_pm.c
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.platform import Engine
from pvinfo.registers import AddressWidthControl, EngineRegisters, GttRegisters, Guc, MemoryWorkarounds
from pvinfo.units import KIB

from .device_info import DeviceInfo
from .engine_resume import resume_engine
from .engine_setup import HWSP_MIGRATE_SEQNO, ContextObjects, EngineSetup, bind_pages
from .frequency import Frequency
from .ggtt import Binding, Ggtt
from .memory import GuestPages
from .mocs import init_l3_control
from .ppgtt import Ppgtt, ScratchTables
from .rc6 import Rc6
from .reset import reset_all_engines, reset_guc, stop_engine
from .submission import GtState, Submission
from .uncore import Uncore
from .workarounds import apply_gt_workarounds

__all__ = ("Gt",)

_IDLE_TIMEOUT_NS: Final = 200_000_000
"""For the first requests of all engines together."""
_MIGRATE_RING: Final = 512 * KIB
_GTT_CACHE_ALL: Final = 0xF000_7FFF
_L3_REPLACEMENT: Final = 0x67F1_427F
_L3_REPLACEMENT_LP: Final = 0x5FF1_01FF
"""Broxton's. Source of both: linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"""
_IPS_ALL: Final = 0xF


@final
class Gt:
    """The GT of one device."""

    def __init__(
        self, uncore: Uncore, pages: GuestPages, ggtt: Ggtt, info: DeviceInfo, submission: Submission,
        *, virtual: bool, large_pages: bool,
    ) -> None:  # fmt: skip
        """``virtual``: a host wants to hear of address spaces. ``large_pages``: tables may hold 64 KiB pages."""
        self._uncore = uncore
        self._pages = pages
        self._ggtt = ggtt
        self._info = info
        self._submission = submission
        self._virtual = virtual
        self.large_pages = large_pages
        self.state = GtState.UNINITIALISED
        self.engines: dict[Engine, EngineSetup] = {}
        self.kernel_vm: Ppgtt | None = None
        """The kernel's own address space, whose scratch tables all others share."""
        self.migrate_vm: Ppgtt | None = None
        self.migrate_context: ContextObjects | None = None
        """The copy engine's context that moves memory about, once the GT runs."""
        self.rc6 = Rc6(uncore, supported=not virtual)
        self.frequency = Frequency(uncore)
        self._scratch: Binding | None = None
        self._retired: list[ContextObjects] = []
        self._wedged = True
        self._unrecoverable = False

    # ---- address spaces ----

    def create_vm(self, owner: str) -> Ppgtt:
        """A new address space, which the host hears of. Raises: DriverError when memory is used up."""
        scratch = self.kernel_vm.scratch if self.kernel_vm is not None else ScratchTables(self._pages, self.large_pages)
        return Ppgtt(self._uncore, self._pages, scratch, owner, announce=self._virtual)

    # ---- set-up ----

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
            self.engines[engine] = EngineSetup(self._uncore, self._ggtt, self._pages, engine)
        if not self.resume():
            self._take_down()
            self.state = GtState.WEDGED
        elif not self._record_defaults():
            self._disable()
            self._take_down()
            self.state = self._submission.unanswered
        else:
            self._init_migration()
            self.state = GtState.RUNNING

    def _record_defaults(self) -> bool:
        """Run a fresh context on each engine, so that later ones start from the state after a reset
        (``__engines_record_defaults``)."""
        contexts: list[ContextObjects] = []
        render_state: Binding | None = None
        for engine in self.engines:
            name = engine.value
            image_pages = self._uncore.platform.context_pages[engine]
            context = ContextObjects(self._ggtt, self._pages, engine, f"default context of {name}", image_pages)
            contexts.append(context)
            if engine is Engine.RCS0:
                # The batch that puts the 3D pipeline in order; empty until this driver submits work.
                render_state = bind_pages(self._ggtt, self._pages, 1, "render state batch")
            self._submission.record_default(context)
        answered = self._submission.wait_for_idle(_IDLE_TIMEOUT_NS)
        if not answered:
            self._set_wedged()
        if render_state is not None:
            self._ggtt.unbind(render_state)
            self._pages.release(render_state.buffer)
        for context in contexts:
            context.release_image()
        # Rings and timelines outlive their images: their last users have to go first.
        self._retired = contexts
        if not answered:
            self._retire()
        return answered

    def _retire(self) -> None:
        for context in self._retired:
            context.release()
        self._retired = []

    def _init_migration(self) -> None:
        """Make the context that moves memory about (``intel_migrate_init``)."""
        engine = Engine.BCS0
        self.migrate_vm = self.create_vm("migration")
        self.migrate_context = ContextObjects(
            self._ggtt, self._pages, engine, "migration context", self._uncore.platform.context_pages[engine],
            ring_bytes=_MIGRATE_RING, timeline=self.engines[engine].status_page, timeline_offset=HWSP_MIGRATE_SEQNO,
        )  # fmt: skip
        self._retire()

    # ---- resume ----

    def resume(self) -> bool:
        """Reset the GT and make its engines take work (``intel_gt_resume``); False when it cannot be used."""
        self.sanitize(force=True)
        self.rc6.sanitize()
        if self._wedged:
            self._uncore.log.error("gt-reset", "the GT cannot be reset; it is given up")
            return False
        if not self._init_hw():
            self._uncore.log.error("gt-init", "the GT cannot be initialised; it is given up")
            self._set_wedged()
            return False
        self.frequency.enable(self._info.timestamp_hz)
        self.frequency.pair_ring_frequencies()
        for setup in self.engines.values():
            resume_engine(self._uncore, setup)
            self._submission.park(setup)
        self.rc6.enable()
        return True

    def _init_hw(self) -> bool:
        """What the GT as a whole needs (``intel_gt_init_hw``); False when the micro-controller's memory is locked."""
        uncore = self._uncore
        apply_gt_workarounds(uncore, self._info.topology)
        uncore.write(MemoryWorkarounds.l3_lra_1_gpgpu, _L3_REPLACEMENT_LP if uncore.platform.name == "bxt" else _L3_REPLACEMENT)
        if self.large_pages:
            uncore.modify(GttRegisters.gamw_eco_dev_rw_ia, 0, AddressWidthControl.enable_64k_ips.insert(0, _IPS_ALL))
        uncore.write(GttRegisters.gtt_cache_en, _GTT_CACHE_ALL)
        if not uncore.read(GttRegisters.gtt_cache_en):
            uncore.log.warning("gtt-cache", f"{GttRegisters.gtt_cache_en.title} reads 0 after {_GTT_CACHE_ALL:#x} was written")
        if uncore.platform.graphics_version >= 9 and (
            uncore.read(Guc.wopcm_size).locked or uncore.read(Guc.dma_wopcm_offset).valid
        ):
            uncore.log.error("wopcm-locked", "the micro-controller's memory is locked, though nobody has loaded its firmware")
            return False
        init_l3_control(uncore)
        return True

    def sanitize(self, *, force: bool) -> None:
        """Forget whatever state the engines are in: stop, reset, agree on the event pointers (``gt_sanitize``)."""
        uncore = self._uncore
        if self._wedged and not self._unrecoverable and reset_all_engines(uncore):
            for setup in self.engines.values():
                setup.reset_event_pointers()
            self._wedged = False
        reset_guc(uncore)
        for setup in self.engines.values():
            self._stop(setup)
            setup.reset_event_pointers()
        if reset_all_engines(uncore) or force:
            for setup in self.engines.values():
                setup.reset_event_pointers()
        self.frequency.silence()

    def _stop(self, setup: EngineSetup) -> None:
        """Stop an engine and see what it was at (``execlists_reset_prepare``)."""
        stop_engine(self._uncore, setup.engine)
        self._uncore.read(EngineRegisters.execlist_status_hi, setup.engine.name)

    # ---- giving up ----

    def _set_wedged(self) -> None:
        """Stop and reset the engines; no work will be handed to them (``intel_gt_set_wedged``)."""
        if self._wedged:
            return
        for setup in self.engines.values():
            self._stop(setup)
        reset_all_engines(self._uncore)
        self._wedged = True
        for setup in self.engines.values():
            setup.reset_event_pointers()

    def _disable(self) -> None:
        """Give the GT up for good and leave it quiet (``__intel_gt_disable``)."""
        self._set_wedged()
        self._unrecoverable = True
        self._suspend()

    def _suspend(self) -> None:
        """Leave the device quiet (``intel_gt_suspend_late``)."""
        self.frequency.disable()
        self.sanitize(force=False)

    def _release_engines(self) -> None:
        """Reset once more, then free what the engines had (``intel_engines_release``)."""
        reset_all_engines(self._uncore)
        for setup in self.engines.values():
            setup.release()
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
        self._set_wedged()
        self._unrecoverable = True
        reset_all_engines(self._uncore)

    def remove(self) -> None:
        """Quiesce the engines and free what they had (``i915_gem_driver_remove``)."""
        self._suspend()
        self._disable()
        if self.migrate_context is not None:
            self.migrate_context.release()
            self.migrate_context = None
        if self.migrate_vm is not None:
            self.migrate_vm.release()
            self.migrate_vm = None
        self._release_engines()

    def release(self) -> None:
        """Free the rest (``intel_gt_driver_release``)."""
        self._release_vm()
        self._release_scratch()
