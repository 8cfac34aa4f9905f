"""Training of a DisplayPort link: the port sends patterns, the monitor says whether it can follow, and what would help.

Source: linux:drivers/gpu/drm/i915/display/intel_dp_link_training.c, linux:drivers/gpu/drm/i915/display/intel_ddi.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from pvinfo.connector import Connector
from pvinfo.dpcd import (
    LINK_CONFIGURATION,
    LINK_CONFIGURATION_AT,
    LINK_STATUS,
    LINK_STATUS_AT,
    POWER_AT,
    LaneCount,
    LaneSetting,
    LinkPattern,
    PatternSet,
    PowerState,
)
from pvinfo.errors import DriverError
from pvinfo.registers import DdiBufferControl, DdiPortRegisters, DisplayPortControl, DisplayPortStatus, TrainingPattern

from ..uncore import Uncore
from .aux_channel import DisplayPortAux
from .link import LinkChoice
from .output import SinkAbilities

__all__ = ("LinkTraining",)

_RATE_AT: Final = LINK_CONFIGURATION_AT
_PATTERN_AT: Final = LINK_CONFIGURATION_AT + LINK_CONFIGURATION.offset_of("pattern")
_DOWNSPREAD_AT: Final = LINK_CONFIGURATION_AT + LINK_CONFIGURATION.offset_of("downspread")
_NOT_SPREAD_8B10B: Final = b"\x00\x01"
_RATE_UNIT_KHZ: Final = 27_000
_LANE_DONE: Final = 0x7
_CLOCK_RECOVERED: Final = 0x1
"""Of a lane's half of a byte of the status."""
_CLOCK_PAUSE_NS: Final = 100_000
_EQUALIZATION_PAUSE_NS: Final = 400_000
_CLOCK_TRIES: Final = 80
_SAME_TRIES: Final = 5
_EQUALIZATION_TRIES: Final = 5
_IDLE_TIMEOUT_NS: Final = 2_000_000
_ACTIVE_NS: Final = 518_000
_IDLE_BUFFER_TIMEOUT_NS: Final = 8_000
_MOST_SWING: Final = 2
_LEVELS: Final = {(0, 0): 0, (0, 1): 1, (0, 2): 2, (0, 3): 3, (1, 0): 4, (1, 1): 5, (1, 2): 6, (2, 0): 7, (2, 1): 8}
"""Entry of the port's table of voltages by swing and emphasis."""
_MOST_EMPHASIS: Final = {0: 3, 1: 2, 2: 1}


@final
class LinkTraining:
    """The link of one port, from training to its end. ``set_level`` gives the port's lanes an entry of its table of voltages."""

    def __init__(
        self, uncore: Uncore, connector: Connector, aux: DisplayPortAux, sink: SinkAbilities, link: LinkChoice, set_level: Callable[[int], None]
    ) -> None:
        self._uncore = uncore
        self._connector = connector
        self._aux = aux
        self._sink = sink
        self._link = link
        self._set_level = set_level
        self._port = f"PORT_{connector.port.value}"
        self._settings = [LaneSetting(0)] * link.lanes
        self._buffer = DdiBufferControl.of(width=link.lanes - 1)

    # ---- the monitor ----

    def _write(self, address: int, data: bytes) -> None:
        if not self._aux.write_registers(address, data):
            raise DriverError(f"{self._connector}: the monitor is gone; register {address:#x} was to be written")

    def _status(self) -> bytes:
        status = self._aux.read_registers(LINK_STATUS_AT, LINK_STATUS.size)
        if status is None:
            raise DriverError(f"{self._connector}: the monitor is gone while the link is trained")
        return status

    def _lane_bits(self, status: bytes) -> list[int]:
        return [status[lane // 2] >> 4 * (lane % 2) & 0xF for lane in range(self._link.lanes)]

    def _requested(self, status: bytes) -> list[LaneSetting]:
        """Settings that the monitor asks for, as it would have them written back."""
        wished = [status[4 + lane // 2] >> 4 * (lane % 2) & 0xF for lane in range(self._link.lanes)]
        swing = min(max(wish & 3 for wish in wished), _MOST_SWING)
        emphasis = min(max(wish >> 2 for wish in wished), _MOST_EMPHASIS[swing])
        setting = LaneSetting.of(swing=swing, max_swing=swing == _MOST_SWING, emphasis=emphasis, max_emphasis=emphasis == _MOST_EMPHASIS[swing])
        return [setting] * self._link.lanes

    def switch_monitor(self, on: bool) -> None:
        """Wake the monitor, or put it to sleep. Raises: DriverError when it is gone."""
        self._write(POWER_AT, bytes((PowerState.D0 if on else PowerState.D3,)))

    # ---- training ----

    def train(self) -> None:
        """Start the port with the first pattern, and train (``intel_dp_start_link_train``), which ends with pictures on the link.

        Raises: DriverError when the monitor does not follow, with what it said last.
        """
        self._start()
        lanes = LaneCount.of(lanes=self._link.lanes, enhanced_framing=self._sink.enhanced_framing)
        self._write(_DOWNSPREAD_AT, _NOT_SPREAD_8B10B)
        self._write(_RATE_AT, bytes((self._link.rate_khz // _RATE_UNIT_KHZ, lanes)))
        self._send(TrainingPattern.PATTERN_1, LinkPattern.PATTERN_1)
        self._recover_clock()
        if self._sink.third_pattern:
            self._send(TrainingPattern.PATTERN_3, LinkPattern.PATTERN_3)
        else:
            self._send(TrainingPattern.PATTERN_2, LinkPattern.PATTERN_2)
        self._equalize()
        self._idle()
        self._write(_PATTERN_AT, b"\0")
        self._choose(TrainingPattern.NORMAL)

    def _start(self) -> None:
        """Switch the port on, with the first pattern (``intel_ddi_prepare_link_retrain``)."""
        uncore, port = self._uncore, self._port
        if uncore.read(DdiPortRegisters.tp_ctl, port).enable:
            self.stop()
        uncore.write(
            DdiPortRegisters.tp_ctl,
            DisplayPortControl.of(enable=1, link_train=TrainingPattern.PATTERN_1, enhanced_frame=self._sink.enhanced_framing), port,
        )  # fmt: skip
        uncore.read(DdiPortRegisters.tp_ctl, port)
        uncore.write(DdiPortRegisters.buf_ctl, DdiBufferControl.of(self._buffer, enable=1), port)
        uncore.read(DdiPortRegisters.buf_ctl, port)
        uncore.clock.wait_ns(_ACTIVE_NS)

    def _choose(self, pattern: TrainingPattern) -> None:
        mask = DisplayPortControl.link_train.mask
        self._uncore.modify(DdiPortRegisters.tp_ctl, mask, DisplayPortControl.of(link_train=pattern), self._port)

    def _send(self, pattern: TrainingPattern, named: LinkPattern) -> None:
        """Begin with a pattern, at both ends (``intel_dp_set_link_train``)."""
        self._choose(pattern)
        self._write(_PATTERN_AT, bytes((PatternSet.of(pattern=named, scrambling_disable=1), *self._settings)))
        self._apply()

    def _apply(self) -> None:
        level = _LEVELS[self._settings[0].swing, self._settings[0].emphasis]
        self._set_level(level)
        if self._uncore.platform.name != "bxt":
            # What is set stands in the buffer's own register.
            self._buffer = DdiBufferControl.of(self._buffer, translation_select=level)
            self._uncore.write(DdiPortRegisters.buf_ctl, DdiBufferControl.of(self._buffer, enable=1), self._port)
            self._uncore.read(DdiPortRegisters.buf_ctl, self._port)

    def _update(self, status: bytes) -> None:
        self._settings = self._requested(status)
        self._apply()
        self._write(_PATTERN_AT + 1, bytes(self._settings))

    def _recover_clock(self) -> None:
        status, same, before, highest = b"", 1, b"", False
        for _ in range(_CLOCK_TRIES):
            self._uncore.clock.wait_ns(_CLOCK_PAUSE_NS)
            status = self._status()
            if all(bits & _CLOCK_RECOVERED for bits in self._lane_bits(status)):
                return
            if same == _SAME_TRIES or highest:
                break
            self._update(status)
            same = same + 1 if status[4:] == before else 1
            before = status[4:]
            highest = all(setting.max_swing for setting in self._settings)
        raise DriverError(f"{self._connector}: the monitor does not find the clock of {self._described}: its status is {status.hex(' ')}")

    def _equalize(self) -> None:
        status = b""
        for _ in range(_EQUALIZATION_TRIES):
            self._uncore.clock.wait_ns(_EQUALIZATION_PAUSE_NS)
            status = self._status()
            lanes = self._lane_bits(status)
            if not all(bits & _CLOCK_RECOVERED for bits in lanes):
                raise DriverError(f"{self._connector}: the monitor has lost the clock of {self._described}: its status is {status.hex(' ')}")
            if LINK_STATUS.parse(status).alignment.aligned and all(bits & _LANE_DONE == _LANE_DONE for bits in lanes):
                return
            self._update(status)
        raise DriverError(f"{self._connector}: the monitor does not read the symbols of {self._described}: its status is {status.hex(' ')}")

    @property
    def _described(self) -> str:
        return f"{self._link.lanes} lanes of {self._link.rate_khz} kHz"

    def _idle(self) -> None:
        """Several idle patterns come between training and pictures. Raises: WaitTimeout when they do not."""
        self._choose(TrainingPattern.IDLE)
        done = DisplayPortStatus.idle_done.mask
        self._uncore.wait_for(DdiPortRegisters.tp_status, done, done, _IDLE_TIMEOUT_NS, self._port)

    # ---- the end ----

    def stop(self) -> None:
        """Switch the port off (``disable_ddi_buf``). Raises: WaitTimeout when it does not become quiet."""
        uncore, port = self._uncore, self._port
        if uncore.read(DdiPortRegisters.buf_ctl, port).enable:
            uncore.modify(DdiPortRegisters.buf_ctl, DdiBufferControl.enable.mask, 0, port)
        uncore.modify(DdiPortRegisters.tp_ctl, DisplayPortControl.enable.mask, 0, port)
        idle = DdiBufferControl.idle.mask
        uncore.wait_for(DdiPortRegisters.buf_ctl, idle, idle, _IDLE_BUFFER_TIMEOUT_NS, port)
