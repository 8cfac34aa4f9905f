"""The monitor that is plugged in, and the pipes that send it a picture."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from pvinfo.connector import Connector, Port, connectors_of
from pvinfo.dpcd import DPCD_SIZE
from pvinfo.errors import UsageError
from pvinfo.platform import PLATFORMS
from pvinfo.registers.pipe import PIPE_BASES
from pvinfo.wire import Codec, raw, u8, u16, u32, u64

from ...device.display.ddc import EDID_ADDRESS, SEGMENT_ADDRESS, DdcState
from ...device.display.edid_region import EDID_MAX_SIZE
from ...device.display.monitor import Monitor
from ...device.display.pipes import TRANSCODERS, PipeState
from ...device.display.surfaces import SURFACES
from ...device.display.refresh import LONGEST_PERIOD_NS, SHORTEST_PERIOD_NS, Timing
from ...device.display.sink import SinkState
from .cursor import Cursor
from .layout import name_bytes, name_text
from .section import Apply, Section, Shape

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("MONITOR", "PIPES")

# ---- the monitor ----


class SavedMonitor(NamedTuple):
    """What is plugged in, and what goes on between it and the driver. Its EDID follows, and the registers of its AUX channel."""

    connector: Annotated[bytes, raw(8, "where it is plugged in (DP-B, HDMI-D), padded with zeros; nothing: there is none")]
    edid_size: Annotated[int, u32("length of its EDID", unit="bytes")]
    dpcd_size: Annotated[int, u32("length of the registers of its AUX channel; 0: it has none", unit="bytes")]
    wired: Annotated[int, u8("ports that the board has since something was plugged in there; bit 0 is port A")]
    recovered: Annotated[int, u8("lanes whose clock the monitor has recovered, by bit")]
    equalised: Annotated[int, u8("lanes that it has equalised")]
    address: Annotated[int, u8("whom the I2C transaction under way addresses; 0: there is none")]
    reading: Annotated[int, u8("1: it reads")]
    segment: Annotated[int, u8("which 256 bytes of the EDID it is about")]
    place: Annotated[int, u8("which of them comes next")]
    expects_index: Annotated[int, u8("1: the next byte that is written says which")]
    transfers: Annotated[int, u8("1: the transaction is one of the I2C controller's, as follows")]
    left: Annotated[int, u32("bytes that are still to go")]
    transfer_reads: Annotated[int, u8("1: to the controller")]
    stops: Annotated[int, u8("1: the bus is let go of after the last")]
    waits: Annotated[int, u8("1: the bus is held after the last")]


SAVED_MONITOR: Final = Codec(SavedMonitor, doc="the monitor", size=32)
_NO_SINK: Final = SinkState(b"", frozenset(), frozenset())
_NO_TRANSACTION: Final = DdcState(-1, False, 0, 0, False)
_PORTS: Final = tuple(Port)


def _mask(numbers: frozenset[int]) -> int:
    return sum(1 << number for number in numbers)


def _set(mask: int) -> frozenset[int]:
    return frozenset(number for number in range(mask.bit_length()) if mask >> number & 1)


def _save_monitor(vgpu: Vgpu) -> bytes:
    display = vgpu.display
    monitor, sink, memory, transfer = display.monitor, display.sink, display.memory, display.transfer
    edid = monitor.edid if monitor is not None else b""
    link = sink.state if sink is not None else _NO_SINK
    bus = memory.state if memory is not None else _NO_TRANSACTION
    head = SavedMonitor(
        name_bytes(str(monitor.connector) if monitor is not None else "", 8), len(edid), len(link.dpcd),
        _mask(frozenset(port.number for port in display.presence.wired)), _mask(link.recovered), _mask(link.equalised),
        max(bus.address, 0), bus.reading, bus.segment, bus.place, bus.expects_index,
        transfer.active, transfer.left, transfer.reading, transfer.stops, transfer.waits,
    )  # fmt: skip
    return SAVED_MONITOR.pack(head) + edid + link.dpcd


def _load_monitor(cursor: Cursor, shape: Shape) -> Apply:
    head = cursor.record(SAVED_MONITOR)
    cursor.require(head.edid_size <= EDID_MAX_SIZE, "length of the EDID", head.edid_size, f"{EDID_MAX_SIZE} at most")
    cursor.require(head.dpcd_size in (0, DPCD_SIZE), "length of the registers", head.dpcd_size, f"{DPCD_SIZE} or 0")
    cursor.require(head.address in (0, EDID_ADDRESS, SEGMENT_ADDRESS), "address", head.address, f"{EDID_ADDRESS:#x}, {SEGMENT_ADDRESS:#x} or 0")
    edid, dpcd = cursor.bytes(head.edid_size), cursor.bytes(head.dpcd_size)
    monitor = _monitor(cursor, shape, name_text(head.connector), edid)
    bus = DdcState(head.address or -1, bool(head.reading), head.segment, head.place, bool(head.expects_index))

    def apply(vgpu: Vgpu) -> None:
        display = vgpu.display
        display.disconnect()
        display.presence.wired = {_PORTS[number] for number in _set(head.wired) if number < len(_PORTS)}
        if monitor is not None:
            display.connect(monitor)
        if display.sink is not None and dpcd:
            display.sink.take_over(SinkState(dpcd, _set(head.recovered), _set(head.equalised)))
        memory = display.memory
        if memory is not None:
            memory.take_over(bus)
        display.transfer.take_over(
            memory if head.transfers else None, head.left, reading=bool(head.transfer_reads), stops=bool(head.stops), waits=bool(head.waits)
        )

    return apply


def _monitor(cursor: Cursor, shape: Shape, name: str, edid: bytes) -> Monitor | None:
    if not name:
        return None
    connectors: dict[str, Connector] = {str(connector): connector for connector in connectors_of(PLATFORMS[shape.platform])}
    connector = connectors[cursor.member(name, connectors, "connector")]
    try:
        return Monitor(connector, edid)
    except UsageError as error:
        cursor.require(False, "EDID", str(error), "one of a monitor")
        raise


MONITOR: Final = Section("monitor", 1, True, _save_monitor, _load_monitor)


# ---- pipes ----


class SavedPipe(NamedTuple):
    """A pipe. If it is on, its timing follows; then the names of planes and cursors with a flip that waits for the end of the frame."""

    pipe: Annotated[bytes, raw(8, "its name, padded with zeros")]
    transcoder: Annotated[bytes, raw(16, "what it feeds; nothing: it is off")]
    counted_before: Annotated[int, u32("what the frame counter held when it went on")]
    seen: Annotated[int, u64("frames whose end has been dealt with")]
    age_ns: Annotated[int, u64("how long its timing has been as it is", unit="ns")]
    frames_before: Annotated[int, u64("frames that were sent before")]
    flips: Annotated[int, u8("flips that wait")]


class SavedTiming(NamedTuple):
    """What a pipe sends. Clock and period are exact, and so are fractions of long numbers."""

    width: Annotated[int, u16("visible pixels of a line")]
    height: Annotated[int, u16("visible lines")]
    lines: Annotated[int, u16("all lines of a frame or field")]
    vblank_start: Annotated[int, u16("first line of the vertical blank")]
    scan_line_lead: Annotated[int, u8("lines by which the register of the scan line is behind")]
    interlaced: Annotated[int, u8("1: the picture is sent in two fields")]
    clock: Annotated[bytes, raw(32, "pixels in a second: numerator")]
    clock_divisor: Annotated[bytes, raw(32, "and denominator")]
    period: Annotated[bytes, raw(32, "nanoseconds of a frame: numerator")]
    period_divisor: Annotated[bytes, raw(32, "and denominator")]
    remark: Annotated[int, u16("length of what was remarked on the timing, which follows", unit="bytes")]


class SavedFlip(NamedTuple):
    """A flip that waits."""

    surface: Annotated[bytes, raw(16, "name of the plane or cursor")]


SAVED_PIPE: Final = Codec(SavedPipe, doc="a pipe", size=53)
SAVED_TIMING: Final = Codec(SavedTiming, doc="what a pipe sends", size=140)
SAVED_FLIP: Final = Codec(SavedFlip, doc="a flip that waits", size=16)
_LONG: Final = 32


def _long(value: int) -> bytes:
    return value.to_bytes(_LONG, "little")


def _save_pipes(vgpu: Vgpu) -> bytes:
    return b"".join(_save_pipe(name, state) for name, state in vgpu.display.pipes.states().items())


def _save_pipe(name: str, state: PipeState) -> bytes:
    head = SavedPipe(
        name_bytes(name, 8), name_bytes(state.source, 16), state.counted_before, state.seen, state.age_ns, state.frames_before, len(state.pending)
    )
    timing = _save_timing(state.timing) if state.timing is not None else b""
    return SAVED_PIPE.pack(head) + timing + b"".join(SAVED_FLIP.pack(SavedFlip(name_bytes(plane, 16))) for plane in state.pending)


def _save_timing(timing: Timing) -> bytes:
    clock, period, remark = timing.pixel_clock_hz, timing.period_ns, timing.remark.encode()
    saved = SavedTiming(
        timing.width, timing.height, timing.lines, timing.vblank_start, timing.scan_line_lead, timing.interlaced,
        _long(clock.numerator), _long(clock.denominator), _long(period.numerator), _long(period.denominator), len(remark),
    )  # fmt: skip
    return SAVED_TIMING.pack(saved) + remark


def _load_pipes(cursor: Cursor, shape: Shape) -> Apply:
    states: dict[str, PipeState] = {}
    for _ in PIPE_BASES:
        head = cursor.record(SAVED_PIPE)
        name, source = cursor.member(name_text(head.pipe), PIPE_BASES, "pipe"), name_text(head.transcoder)
        timing = None
        if source:
            cursor.member(source, TRANSCODERS, "transcoder")
            timing = _load_timing(cursor)
        flips = [cursor.member(name_text(flip.surface), SURFACES, "flip") for flip in cursor.records(SAVED_FLIP, head.flips)]
        states[name] = PipeState(source, timing, head.age_ns, head.frames_before, head.counted_before, head.seen, tuple(flips))
    cursor.require(len(states) == len(PIPE_BASES), "pipes", ", ".join(states), "each pipe once")
    return lambda vgpu: vgpu.display.pipes.take_over(states, asleep=vgpu.config.in_d3)


def _load_timing(cursor: Cursor) -> Timing:
    saved = cursor.record(SAVED_TIMING)
    remark = cursor.bytes(saved.remark).decode("utf-8", "replace")
    clock, period = _fraction(cursor, saved.clock, saved.clock_divisor), _fraction(cursor, saved.period, saved.period_divisor)
    cursor.require(SHORTEST_PERIOD_NS <= period <= LONGEST_PERIOD_NS, "period", f"{float(period)} ns", "1 ms to 1 s")
    cursor.require(0 < saved.lines and saved.vblank_start <= saved.lines, "lines", saved.lines, "one at least, and none of the blank beyond")
    return Timing(
        saved.width, saved.height, saved.lines, saved.vblank_start, saved.scan_line_lead, bool(saved.interlaced), clock, period, remark
    )


def _fraction(cursor: Cursor, numerator: bytes, denominator: bytes) -> Fraction:
    divisor = int.from_bytes(denominator, "little")
    cursor.require(divisor > 0, "denominator", divisor, "above 0")
    return Fraction(int.from_bytes(numerator, "little"), divisor)


PIPES: Final = Section("pipes", 1, True, _save_pipes, _load_pipes)
