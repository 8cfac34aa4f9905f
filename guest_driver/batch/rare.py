"""Commands of the streamer that a driver of today seldom writes, or never: they exist, and hardware takes them."""

from __future__ import annotations

from pvinfo.commands.mi.control import MI_FLUSH, MI_SET_APPID, MI_SUSPEND_FLUSH, MI_TOPOLOGY_FILTER
from pvinfo.commands.mi.display import MI_WAIT_FOR_EVENT, WaitForEventHeader
from pvinfo.commands.mi.memory import (
    MI_CLFLUSH,
    MI_REPORT_PERF_COUNT,
    ClflushHeader,
    ClflushLine,
    MiClflush,
    MiReportPerfCount,
    PerfCountAddress,
)
from pvinfo.errors import UsageError

from .buffer import CommandBuffer, place

__all__ = ("RareCommands",)

_MOST_LINES = 511
_LINE = 64


class RareCommands(CommandBuffer):
    """Old flushes, waits for display, reports of counters."""

    def wait_for_event(self, events: WaitForEventHeader) -> None:
        """MI_WAIT_FOR_EVENT: wait until one of ``events`` of the display comes: ``WaitForEventHeader.of(pipe_a_vblank=1)``. Needs
        privilege."""
        self.raw((int(MI_WAIT_FOR_EVENT.header()) | events,))

    def flush(self, *, read_flush: bool = False, exe_flush: bool = False, no_write_flush: bool = False) -> None:
        """MI_FLUSH: the flush of old drivers, which today's hardware takes and leaves to others."""
        self.raw((MI_FLUSH.header(read_flush=read_flush, exe_flush=exe_flush, no_write_flush=no_write_flush),))

    def suspend_flush(self, *, suspend: bool) -> None:
        """MI_SUSPEND_FLUSH: whether the flush before a suspend has to wait."""
        self.raw((MI_SUSPEND_FLUSH.header(suspend=suspend),))

    def topology_filter(self, topology: int) -> None:
        """MI_TOPOLOGY_FILTER: draw primitives of this kind only; 0: of all."""
        self.raw((MI_TOPOLOGY_FILTER.header(topology=topology),))

    def set_appid(self, session_id: int, *, transcode: bool = False) -> None:
        """MI_SET_APPID: whose protected content the commands that follow work on."""
        self.raw((MI_SET_APPID.header(session_id=session_id, transcode=transcode),))

    def clflush(self, address: int, lines: int = 1, *, use_global_gtt: bool = False) -> None:
        """MI_CLFLUSH: flush ``lines`` lines of 64 bytes of the processor's cache, from ``address`` on. Raises: UsageError for
        none, or more than a command holds."""
        if not 0 < lines <= _MOST_LINES:
            raise UsageError(f"{lines} lines to flush with one command: it takes 1 to {_MOST_LINES}")
        header = ClflushHeader(MI_CLFLUSH.header(3 + 2 * lines, use_global_gtt=use_global_gtt))
        self.add(MI_CLFLUSH.build(MiClflush(header, place(address, _LINE)), [ClflushLine()] * (2 * lines)))

    def report_perf_count(self, address: int, report_id: int, *, use_global_gtt: bool = False, core_mode: bool = False) -> None:
        """MI_REPORT_PERF_COUNT: write the counters of the render engine, and ``report_id``, to the line at ``address``."""
        where = PerfCountAddress.of(place(address, _LINE), use_global_gtt=use_global_gtt, core_mode=core_mode)
        self.add(MI_REPORT_PERF_COUNT.build(MiReportPerfCount(address=where, report_id=report_id)))
