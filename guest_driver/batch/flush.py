"""Commands that wait until memory is as it was written, drop what caches hold, and then write themselves."""

from __future__ import annotations

from pvinfo.commands.mi.flush import MI_FLUSH_DW, FlushAddress, FlushPostSync, MiFlushDw, MiFlushQw
from pvinfo.commands.pipe_control import PIPE_CONTROL, PipeControl, PipeControlFlags, PipeControlPostSync

from .buffer import CommandBuffer, place

__all__ = ("FlushCommands",)


class FlushCommands(CommandBuffer):
    """MI_FLUSH_DW of the engines without a 3D pipeline, PIPE_CONTROL of the render engine."""

    def flush_dw(
        self, address: int = 0, value: int = 0, *, post_sync: FlushPostSync = FlushPostSync.NONE, qword: bool = False,
        store_index: bool = False, use_global_gtt: bool = False, notify: bool = False, invalidate_tlb: bool = False,
        invalidate_bsd: bool = False, flush_llc: bool = False,
    ) -> None:  # fmt: skip
        """MI_FLUSH_DW: wait until what was written before is visible, then write as ``post_sync`` says.

        ``store_index``: the address is an offset in the context's status page. ``qword``: ``value`` has 64 bits.
        ``invalidate_tlb``: drop address translations. ``invalidate_bsd``: drop the video pipeline's caches.
        ``notify``: raise the engine's ``flush_notify`` event.
        """
        where = FlushAddress.of(place(address, 8), use_global_gtt=use_global_gtt)
        header = MI_FLUSH_DW.header(
            5 if qword else 4, post_sync=post_sync, store_index=store_index, notify=notify,
            invalidate_tlb=invalidate_tlb, invalidate_bsd=invalidate_bsd, flush_llc=flush_llc,
        )  # fmt: skip
        self.add(MI_FLUSH_DW.build(MiFlushQw(header, where, value) if qword else MiFlushDw(header, where, value)))

    def pipe_control(
        self, address: int = 0, value: int = 0, *, post_sync: PipeControlPostSync = PipeControlPostSync.NONE,
        use_global_gtt: bool = False, store_index: bool = False, mmio_write: bool = False, notify: bool = False,
        cs_stall: bool = False, stall_at_scoreboard: bool = False, depth_stall: bool = False, flush_enable: bool = False,
        flush_render: bool = False, flush_data: bool = False, flush_l3: bool = False, invalidate: bool = False,
    ) -> None:  # fmt: skip
        """PIPE_CONTROL: have the 3D pipeline flush, drop, wait, and then write as ``post_sync`` says. Render engine only.

        ``flush_render``: write the render target and depth caches back. ``flush_data``: write the data cache back.
        ``invalidate``: drop address translations, instructions, textures, vertices, constants and state. ``cs_stall``: fetch no
        further before this is done. ``flush_enable``: wait until what earlier commands wrote is visible. ``store_index``: the
        address is an offset in the context's status page. ``mmio_write``: the value goes to the register at the address.
        ``notify``: raise the engine's ``flush_notify`` event.
        """
        flags = PipeControlFlags.of(
            post_sync=post_sync, use_global_gtt=use_global_gtt, store_index=store_index, mmio_write=mmio_write, notify=notify,
            cs_stall=cs_stall, stall_at_scoreboard=stall_at_scoreboard, depth_stall=depth_stall, flush_enable=flush_enable,
            render_target_cache_flush=flush_render, depth_cache_flush=flush_render, dc_flush=flush_data, flush_l3=flush_l3,
            invalidate_tlb=invalidate, instruction_cache_invalidate=invalidate, texture_cache_invalidate=invalidate,
            vf_cache_invalidate=invalidate, const_cache_invalidate=invalidate, state_cache_invalidate=invalidate,
        )  # fmt: skip
        self.pipe_control_exactly(flags, address, value)

    def pipe_control_exactly(self, flags: PipeControlFlags, address: int = 0, value: int = 0) -> None:
        """PIPE_CONTROL with exactly these ``flags``."""
        self.add(PIPE_CONTROL.build(PipeControl(flags=flags, address=place(address, 4 if flags.mmio_write else 8), value=value)))
