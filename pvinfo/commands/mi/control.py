"""Commands that steer the streamer: no-operation, arbitration, interrupt, reports of its own state.

All but one are a single dword.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from ...bits import Bits, flag, uint
from ...wire import u32
from ..command import Audit, Form, counted
from .header import RENDER, CountedHeader, MiHeader, mi_command, mi_header

__all__ = (
    "MI_ARB_CHECK",
    "MI_ARB_ON_OFF",
    "MI_FLUSH",
    "MI_NOOP",
    "MI_REPORT_HEAD",
    "MI_SET_APPID",
    "MI_SET_CONTEXT",
    "MI_SUSPEND_FLUSH",
    "MI_TOPOLOGY_FILTER",
    "MI_USER_INTERRUPT",
    "ArbHeader",
    "FlushHeader",
    "LegacyContext",
    "MiSetContext",
    "NoopHeader",
    "SetAppidHeader",
    "SuspendFlushHeader",
    "TopologyFilterHeader",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"
PRM: Final = "prm:skl:vol2a"


class NoopHeader(MiHeader):
    """A no-operation may leave a number behind."""

    identification = uint(0, 22, "number for ``nopid``", source=PRM)
    write_identification = flag(22, "write the number to ``nopid``", source=PRM)


class FlushHeader(MiHeader):
    """What the old flush also does."""

    read_flush = flag(0, "invalidate the sampler's read cache", source=SOURCE)
    exe_flush = flag(1, "invalidate the instruction cache", source=SOURCE)
    no_write_flush = flag(2, "leave the render cache as it is", source=SOURCE)
    scene_count = flag(3, "count the scene", source=SOURCE)
    end_scene = flag(4, "end the scene", source=SOURCE)
    invalidate_isp = flag(5, "forget the indirect state pointers", source=SOURCE)


class ArbHeader(MiHeader):
    """Switches arbitration."""

    enable = flag(0, "from here on the context may be switched away from", source=SOURCE)


class SuspendFlushHeader(MiHeader):
    """Switches the flush at a suspend."""

    suspend = flag(0, "keep the suspend flush waiting", source=SOURCE)


class TopologyFilterHeader(MiHeader):
    """Draw only one kind of primitive."""

    topology = uint(0, 6, "the kind of primitive; 0: all", source=PRM)


class SetAppidHeader(MiHeader):
    """Whose content is protected."""

    session_id = uint(0, 7, "number of the application's session", source=SOURCE)
    transcode = flag(7, "the session is one of transcoding, not of display", source=PRM)


MI_NOOP: Final = mi_command("MI_NOOP", 0x00, NoopHeader, "Does nothing. Zeroed memory reads as a row of these.")
MI_USER_INTERRUPT: Final = mi_command(
    "MI_USER_INTERRUPT", 0x02, MiHeader, "Raises the engine's ``user`` event, once what was written before is visible.",
    audit=Audit.USER_INTERRUPT,
)  # fmt: skip
MI_FLUSH: Final = mi_command(
    "MI_FLUSH", 0x04, FlushHeader,
    "Flushes the render cache as drivers before gen6 had it done; later hardware takes it only where ``flush_enable`` of the MI mode is set.",
)  # fmt: skip
MI_ARB_CHECK: Final = mi_command(
    "MI_ARB_CHECK", 0x05, MiHeader, "Looks for a new submission, and gives way to it where arbitration is on: a point at which a context may be preempted."
)
MI_REPORT_HEAD: Final = mi_command("MI_REPORT_HEAD", 0x07, MiHeader, "Writes the ring's head to the status page of the context.", source=PRM)
MI_ARB_ON_OFF: Final = mi_command(
    "MI_ARB_ON_OFF", 0x08, ArbHeader, "Switches arbitration: while it is off, the context is not preempted. It is on when a context is loaded."
)
MI_SUSPEND_FLUSH: Final = mi_command("MI_SUSPEND_FLUSH", 0x0B, SuspendFlushHeader, "Blocks the flush that a suspend to memory asks for, or lets it go on.")
MI_TOPOLOGY_FILTER: Final = mi_command(
    "MI_TOPOLOGY_FILTER", 0x0D, TopologyFilterHeader, "Drops every 3DPRIMITIVE of another kind than the one given.", source=PRM
)
MI_SET_APPID: Final = mi_command("MI_SET_APPID", 0x0E, SetAppidHeader, "Says whose protected content the following commands work on.", source=PRM)


class LegacyContext(Bits):
    """Where an image of ring-buffer submission stands, and what to do with it."""

    restore_inhibit = flag(0, "load nothing", source=SOURCE)
    force_restore = flag(1, "load the image even where it is the current one", source=SOURCE)
    restore_extended_state = flag(2, "load the extended state", source=SOURCE)
    save_extended_state = flag(3, "save the extended state", source=SOURCE)
    global_gtt = flag(8, "the address is one of the global table", source=SOURCE)
    address = uint(12, 20, "graphics address of the image", unit="4 KiB pages", source=PRM)


class MiSetContext(NamedTuple):
    """The switch to another context of ring-buffer submission."""

    header: Annotated[CountedHeader, u32("the command", source=SOURCE)] = CountedHeader(mi_header(0x18, 2))
    context: Annotated[LegacyContext, u32("the image", source=SOURCE)] = LegacyContext(0)


MI_SET_CONTEXT: Final = mi_command(
    "MI_SET_CONTEXT", 0x18, CountedHeader,
    "Switches contexts on an engine that is fed by its ring registers. With execlists, which is how gen8 and later are driven, it has no meaning.",
    engines=RENDER, length=counted(8), forms=(Form(MiSetContext, source=SOURCE),), audit=Audit.ABSENT,
)  # fmt: skip
