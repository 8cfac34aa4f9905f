"""What the driver itself puts into rings and batches, engine by engine.

Every request begins by dropping what caches may hold from before, and ends with its breadcrumb: everything it has
written is made visible, its number is written, and an interrupt is raised.
Source: linux:drivers/gpu/drm/i915/gt/gen8_engine_cs.c, linux:drivers/gpu/drm/i915/gt/intel_lrc.c
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from pvinfo.commands.mi.batch import SemaphoreCompare
from pvinfo.commands.mi.flush import FlushPostSync
from pvinfo.commands.pipe_control import PipeControlFlags, PipeControlPostSync
from pvinfo.execlist import HARDWARE_STATUS_PAGE, SCRATCH_OFFSET
from pvinfo.platform import Engine, Platform
from pvinfo.register import masked_bits
from pvinfo.units import GraphicsAddress

from .batch import Batch, PipelineChoice

__all__ = ("Emission",)

_PREEMPT: Final = HARDWARE_STATUS_PAGE.offset_of("preempt")
_LINE: Final = 64
_L3SQCREG4: Final = 0xB118
_L3SQCREG4_FLUSHING: Final = 0x4060_0000
"""Its value after power-on, with the bit that has coherent lines flushed."""
_COHERENT_L3_SCRATCH: Final = 256
"""Byte of the GT's scratch page where that register is kept meanwhile."""
_GEN9_CONTEXT_LOADS: Final = (
    (0x7014, masked_bits(1 << 12, False)),
    (0x2088, masked_bits(1 << 1)),
    (0x2090, masked_bits(1 << 12)),
)
"""What a restore sets on gen9. Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.c"""
_RENDER_STATE: Final = (
    ("STATE_SIP", 3, 3), ("3DSTATE_VF_STATISTICS", 1, 1), ("3DSTATE_VS", 9, 9), ("3DSTATE_HS", 9, 9), ("3DSTATE_TE", 4, 4),
    ("3DSTATE_DS", 9, 11), ("3DSTATE_GS", 10, 10), ("3DSTATE_STREAMOUT", 5, 5), ("3DSTATE_CLIP", 4, 4), ("3DSTATE_RASTER", 5, 5),
    ("3DSTATE_WM", 2, 2), ("3DSTATE_PS", 12, 12), ("3DSTATE_PS_EXTRA", 2, 2), ("3DSTATE_PS_BLEND", 2, 2), ("3DSTATE_WM_DEPTH_STENCIL", 3, 4),
)  # fmt: skip
"""Commands whose zeroes switch a stage of the 3D pipeline off, with their lengths on gen8 and gen9.
Source: prm:bdw:vol2a, prm:skl:vol2a"""
_POOLS: Final = (1 << 31, 0x0077_7000, 0, 0, 0)
"""Three pools of six execution units. Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.c"""
_LARGEST_RECTANGLE: Final = 0x3FFF_3FFF
_KABY_LAKE_C0: Final = 2
"""First revision of Kaby Lake that does not hang when its caches are invalidated under load."""


@final
class Emission:
    """The commands of one engine that are the driver's own."""

    def __init__(
        self, platform: Platform, revision: int, engine: Engine, status_page: GraphicsAddress,
        *, semaphores: bool, preemption: bool, pooled_units: bool = False,
    ) -> None:  # fmt: skip
        """``semaphores``: the end of each request waits while the driver holds the engine. ``preemption``: batches may be
        preempted. ``pooled_units``: execution units of several subslices can be pooled."""
        self._engine = engine
        self._render = engine is Engine.RCS0
        self._gen9 = platform.graphics_version >= 9
        self._broadwell = platform.name == "bdw"
        self._flush_data_cache_first = platform.name == "kbl" and revision < _KABY_LAKE_C0
        self._preempt_address = status_page + _PREEMPT
        self._semaphores = semaphores
        self._preemption = preemption
        self._pooled_units = pooled_units
        self._invalidate = self._flush(invalidate=True)
        self.fini_dwords = len(self.fini_breadcrumb(GraphicsAddress(0), 0)[0])
        """Length of a request's end."""

    # ---- flushes ----

    def _flush(self, *, invalidate: bool = False, flush: bool = False) -> tuple[int, ...]:
        """Make visible what was written, drop what was read, or both (``gen8_emit_flush_rcs``, ``gen8_emit_flush_xcs``)."""
        batch = Batch()
        if not self._render:
            batch.flush_dw(
                SCRATCH_OFFSET, post_sync=FlushPostSync.WRITE_IMMEDIATE, store_index=True,
                invalidate_tlb=invalidate, invalidate_bsd=invalidate and self._engine is Engine.VCS0,
            )  # fmt: skip
            return batch.words
        if invalidate and self._gen9:
            batch.pipe_control()
        if invalidate and self._flush_data_cache_first:
            batch.pipe_control(flush_data=True)
        batch.pipe_control(
            SCRATCH_OFFSET, cs_stall=True, flush_render=flush, flush_data=flush, flush_enable=flush, invalidate=invalidate,
            store_index=invalidate, post_sync=PipeControlPostSync.WRITE_IMMEDIATE if invalidate else PipeControlPostSync.NONE,
        )  # fmt: skip
        if invalidate and self._flush_data_cache_first:
            batch.pipe_control(cs_stall=True)
        return batch.words

    def invalidate(self) -> tuple[int, ...]:
        """What every request begins with."""
        return self._invalidate

    def barrier(self) -> tuple[int, ...]:
        """Flush and invalidate."""
        return self._flush(invalidate=True, flush=True)

    # ---- breadcrumbs ----

    def init_breadcrumb(self, address: GraphicsAddress, seqno: int) -> tuple[int, ...]:
        """Report that the request has begun (``gen8_emit_init_breadcrumb``)."""
        batch = Batch()
        batch.store_dword(address, (seqno - 1) & 0xFFFF_FFFF, use_global_gtt=True)
        batch.noop()
        batch.arb_check()
        return batch.words

    def fini_breadcrumb(self, address: GraphicsAddress, seqno: int) -> tuple[tuple[int, ...], int]:
        """Report that the request is done, and how many dwords at the end are there to be spared (``gen8_emit_fini_breadcrumb_rcs``)."""
        batch = Batch()
        if self._render:
            batch.pipe_control_exactly(
                PipeControlFlags.of(cs_stall=1, invalidate_tlb=1, render_target_cache_flush=1, depth_cache_flush=1, dc_flush=1)
            )
            batch.pipe_control(
                address, seqno, post_sync=PipeControlPostSync.WRITE_IMMEDIATE, use_global_gtt=True, flush_enable=True, cs_stall=True
            )
        else:
            batch.flush_dw(address, seqno, post_sync=FlushPostSync.WRITE_IMMEDIATE, use_global_gtt=True)
        batch.user_interrupt()
        batch.arb_on_off(enable=True)
        if self._semaphores:
            # While the driver takes back what it has submitted, the engine must not run on into it.
            batch.arb_check()
            batch.semaphore_wait(self._preempt_address, 0, SemaphoreCompare.EQUAL, use_global_gtt=True)
            batch.noop()
        needed = len(batch)
        batch.arb_check()
        batch.noop()
        return batch.words, len(batch) - needed

    def wait_for(self, address: GraphicsAddress, seqno: int) -> tuple[int, ...]:
        """Wait until another engine has reported ``seqno`` (``__emit_semaphore_wait``)."""
        batch = Batch()
        batch.semaphore_wait(address, seqno, SemaphoreCompare.GREATER_OR_EQUAL, use_global_gtt=True)
        return batch.words

    # ---- batches ----

    def batch_start(self, address: int, *, privileged: bool = False, preemptible: bool = True) -> tuple[int, ...]:
        """Run a batch (``gen8_emit_bb_start``, ``gen8_emit_bb_start_noarb``)."""
        batch = Batch()
        preemptible = preemptible and self._preemption
        batch.arb_on_off(enable=preemptible)
        batch.batch_start(address, privileged=privileged)
        if preemptible:
            batch.arb_on_off(enable=False)
            batch.noop()
        return batch.words

    def load_registers(self, loads: Sequence[tuple[int, int]]) -> tuple[int, ...]:
        """Set registers of the context."""
        batch = Batch()
        batch.load_register_imm(*loads)
        batch.noop()
        return batch.words

    def workaround_batch(self, scratch: GraphicsAddress) -> tuple[int, ...]:
        """The batch in the middle of each restore of a render context. It has no end: its length is known to the context
        (``gen8_init_indirectctx_bb``, ``gen9_init_indirectctx_bb``)."""
        batch = Batch()
        batch.arb_on_off(enable=False)
        if self._gen9 or self._broadwell:
            kept = scratch + _COHERENT_L3_SCRATCH
            batch.store_register(_L3SQCREG4, kept, use_global_gtt=True)
            batch.load_register_imm((_L3SQCREG4, _L3SQCREG4_FLUSHING))
            batch.pipe_control(cs_stall=True, flush_data=True)
            batch.load_register_mem(_L3SQCREG4, kept, use_global_gtt=True)
        batch.pipe_control(
            SCRATCH_OFFSET, flush_l3=True, store_index=True, cs_stall=True, post_sync=PipeControlPostSync.WRITE_IMMEDIATE
        )
        if self._gen9:
            batch.load_register_imm(*_GEN9_CONTEXT_LOADS)
            batch.noop()
        if self._pooled_units:
            batch.pipeline_command("MEDIA_POOL_STATE", _POOLS)
        batch.arb_on_off(enable=True)
        batch.align(_LINE)
        return batch.words

    def render_state(self) -> tuple[int, ...]:
        """A batch that puts the 3D pipeline in a known state: every stage off, nothing bound, nothing drawn.

        The kernel's has the same purpose and other contents.
        """
        batch = Batch()
        batch.pipeline_select(PipelineChoice.RENDER_3D, masked=self._gen9)
        batch.pipe_control(cs_stall=True, invalidate=True)
        for name, gen8, gen9 in _RENDER_STATE:
            batch.pipeline_command(name, (0,) * ((gen9 if self._gen9 else gen8) - 1))
        batch.pipeline_command("3DSTATE_SAMPLE_MASK", (1,))
        batch.pipeline_command("3DSTATE_DRAWING_RECTANGLE", (0, _LARGEST_RECTANGLE, 0))
        batch.batch_end()
        batch.align()
        return batch.words
