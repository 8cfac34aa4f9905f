"""The clock of a port: the loop that makes it, and the switches by which it reaches port and transcoder.

Source: linux:drivers/gpu/drm/i915/display/intel_dpll_mgr.c, linux:drivers/gpu/drm/i915/display/intel_ddi.c
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, final

from pvinfo.connector import Connector, Link, Port
from pvinfo.errors import DriverError
from pvinfo.registers import (
    BroadwellClocks,
    BroxtonLaneControl,
    BroxtonPhyChannel,
    BroxtonPll,
    BroxtonPllDividers,
    BroxtonPllEnable,
    BroxtonPllOutput,
    BroxtonPortPll,
    DpllConfig1,
    DpllConfig2,
    DpllControl1,
    DpllControl2,
    DpllEnable,
    DpllRate,
    DpllStatus,
    PortClock,
    PortClockSelect,
    SkylakeClocks,
    TranscoderClock,
    TranscoderClockSelect,
    WrpllControl,
)

from ..uncore import Uncore
from .dividers import BROXTON_LINK_DIVIDERS, BroxtonDividers, broadwell_dividers, broxton_dividers, skylake_dividers
from .lanes import BROXTON_CHANNELS

__all__ = ("BroadwellPortClocks", "BroxtonPortClocks", "PortClocks", "SkylakePortClocks", "port_clocks")

_LOCK_TIMEOUT_NS: Final = 5_000_000
_WRPLL_SETTLE_NS: Final = 20_000
_BROXTON_LOCK_TIMEOUT_NS: Final = 200_000


class PortClocks(ABC):
    """The loops of one GPU, and which port has which."""

    def __init__(self, uncore: Uncore) -> None:
        self._uncore = uncore
        self._loops: dict[Port, int] = {}

    @abstractmethod
    def start(self, connector: Connector, clock_khz: int) -> None:
        """Make a clock for the port: a link's rate, or with HDMI the pixel clock.

        Raises: DriverError when no loop is free or none makes that clock; WaitTimeout when it does not lock.
        """

    @abstractmethod
    def connect(self, connector: Connector) -> None:
        """Let the clock reach the port."""

    @abstractmethod
    def disconnect(self, connector: Connector) -> None:
        """Let it reach the port no more."""

    @abstractmethod
    def stop(self, connector: Connector) -> None:
        """Let the loop stand still."""

    def connect_transcoder(self, pipe: str, port: Port) -> None:
        """Let the port's clock reach the transcoder of ``pipe``."""
        self._select(pipe, TranscoderClock(port.number + 1))

    def disconnect_transcoder(self, pipe: str) -> None:
        """Let no clock reach it."""
        self._select(pipe, TranscoderClock.DISABLED)

    def _select(self, pipe: str, clock: TranscoderClock) -> None:
        BroadwellClocks(self._uncore.regs).trans_clk_sel["ABC".index(pipe[-1])] = TranscoderClockSelect.of(clock=clock)

    def _take(self, port: Port, loops: tuple[int, ...]) -> int:
        """One of ``loops`` that nobody uses. Raises: DriverError."""
        for loop in loops:
            if loop not in self._loops.values():
                self._loops[port] = loop
                return loop
        raise DriverError(f"no loop is left for port {port.value}: ports {', '.join(sorted(used.value for used in self._loops))} use them all")


@final
class SkylakePortClocks(PortClocks):
    """Gen9, but Broxton: three loops that any port can have. The one behind the core clock is for panels."""

    _RATES: Final = {
        81_000: DpllRate.MHZ_810, 135_000: DpllRate.MHZ_1350, 270_000: DpllRate.MHZ_2700,
        162_000: DpllRate.MHZ_1620, 108_000: DpllRate.MHZ_1080, 216_000: DpllRate.MHZ_2160,
    }  # fmt: skip
    _SETTING_WIDTH: Final = 6
    _LOCK_DISTANCE: Final = 8

    def start(self, connector: Connector, clock_khz: int) -> None:
        uncore, clocks = self._uncore, SkylakeClocks(self._uncore.regs)
        if connector.link is Link.HDMI:
            dividers = skylake_dividers(clock_khz)
            setting, first, second = DpllControl1.of(dpll0_override=1, dpll0_hdmi=1), dividers.config1, dividers.config2
        else:
            setting, first, second = DpllControl1.of(dpll0_override=1, dpll0_rate=self._RATES[clock_khz // 2]), DpllConfig1(0), DpllConfig2(0)
        loop = self._take(connector.port, (1, 2, 3))
        shift = self._SETTING_WIDTH * loop
        mode = DpllControl1.dpll0_hdmi.mask | DpllControl1.dpll0_ssc.mask | DpllControl1.dpll0_rate.mask
        uncore.modify(SkylakeClocks.dpll_ctrl1, mode << shift, setting << shift)
        uncore.read(SkylakeClocks.dpll_ctrl1)
        clocks.dpll_cfgcr1[loop - 1] = first
        clocks.dpll_cfgcr2[loop - 1] = second
        self._switch(loop, True)
        lock = DpllStatus.dpll0_lock.mask << self._LOCK_DISTANCE * loop
        uncore.wait_for(SkylakeClocks.dpll_status, lock, lock, _LOCK_TIMEOUT_NS)

    def _switch(self, loop: int, on: bool) -> None:
        uncore, bit = self._uncore, DpllEnable.enable.mask
        if loop == 1:
            uncore.modify(SkylakeClocks.lcpll2_ctl, bit, bit if on else 0)
            return
        switches = BroadwellClocks(uncore.regs).wrpll_ctl
        switches[loop - 2] = WrpllControl(switches[loop - 2] & ~bit | (bit if on else 0))

    def _fields(self, port: Port) -> tuple[int, int]:
        """Bits by which a port's loop is chosen, and the one that takes its clock away."""
        return 0x7 << 3 * port.number, DpllControl2.ddi_a_clock_off.mask << port.number

    def connect(self, connector: Connector) -> None:
        port = connector.port
        choice, off = self._fields(port)
        chosen = DpllControl2.of(ddi_a_override=1, ddi_a_select=self._loops[port]) << 3 * port.number
        self._uncore.modify(SkylakeClocks.dpll_ctrl2, choice | off, chosen)

    def disconnect(self, connector: Connector) -> None:
        self._uncore.modify(SkylakeClocks.dpll_ctrl2, 0, self._fields(connector.port)[1])

    def stop(self, connector: Connector) -> None:
        self._switch(self._loops.pop(connector.port), False)


@final
class BroadwellPortClocks(PortClocks):
    """Gen8: links take the core clock's loop at one of three rates, which always runs; HDMI has two loops of its own."""

    _RATES: Final = {162_000: PortClock.LCPLL_810, 270_000: PortClock.LCPLL_1350, 540_000: PortClock.LCPLL_2700}

    def __init__(self, uncore: Uncore) -> None:
        super().__init__(uncore)
        self._sources: dict[Port, PortClock] = {}

    def start(self, connector: Connector, clock_khz: int) -> None:
        if connector.link is Link.DISPLAYPORT:
            self._sources[connector.port] = self._RATES[clock_khz]
            return
        setting = broadwell_dividers(clock_khz).control
        loop = self._take(connector.port, (0, 1))
        self._sources[connector.port] = PortClock(PortClock.WRPLL1 + loop)
        BroadwellClocks(self._uncore.regs).wrpll_ctl[loop] = setting
        self._uncore.clock.wait_ns(_WRPLL_SETTLE_NS)

    def _switch(self, port: Port, source: PortClock) -> None:
        BroadwellClocks(self._uncore.regs).port_clk_sel[port.number] = PortClockSelect.of(clock=source)

    def connect(self, connector: Connector) -> None:
        self._switch(connector.port, self._sources[connector.port])

    def disconnect(self, connector: Connector) -> None:
        self._switch(connector.port, PortClock.NONE)

    def stop(self, connector: Connector) -> None:
        self._sources.pop(connector.port)
        loop = self._loops.pop(connector.port, None)
        if loop is not None:
            loops = BroadwellClocks(self._uncore.regs).wrpll_ctl
            loops[loop] = WrpllControl(loops[loop] & ~WrpllControl.enable.mask)


@final
class BroxtonPortClocks(PortClocks):
    """Broxton: a loop for each port, always connected to it."""

    _RECALIBRATE: Final = 1 << 14
    _TEN_BIT: Final = 1 << 13
    _FRACTION: Final = (1 << 22) - 1
    _STAGGER_MASK: Final = 0x5F
    _STAGGER_OVERRIDE: Final = 1 << 6

    def start(self, connector: Connector, clock_khz: int) -> None:
        dividers = BROXTON_LINK_DIVIDERS[clock_khz] if connector.link is Link.DISPLAYPORT else broxton_dividers(clock_khz)
        uncore, port = self._uncore, connector.port
        channel, switch = BROXTON_CHANNELS[port], BroxtonPllEnable(uncore.regs).port_pll
        self._take(port, (port.number,))
        switch[port.number] = BroxtonPortPll.of(switch[port.number], reference=1)
        uncore.modify(BroxtonPllDividers.ebb4, self._TEN_BIT, 0, channel)
        uncore.modify(
            BroxtonPllDividers.ebb0, BroxtonPllOutput.p1.mask | BroxtonPllOutput.p2.mask, BroxtonPllOutput.of(p1=dividers.p1, p2=dividers.p2), channel
        )
        self._write_words(BroxtonPll(uncore.regs, channel), dividers)
        uncore.modify(BroxtonPllDividers.ebb4, 0, self._RECALIBRATE, channel)
        uncore.modify(BroxtonPllDividers.ebb4, 0, self._TEN_BIT, channel)
        switch[port.number] = BroxtonPortPll.of(switch[port.number], enable=1)
        self._await_lock(port)
        stagger = uncore.regs.read32(BroxtonPhyChannel.pcs_dw12_ln01.at(channel)) & ~self._STAGGER_MASK
        uncore.write(BroxtonLaneControl.pcs_dw12, stagger | self._STAGGER_OVERRIDE | _stagger(clock_khz), channel)

    def _write_words(self, pll: BroxtonPll, dividers: BroxtonDividers) -> None:
        """``bxt_ddi_set_dpll_hw_state``."""
        proportional, integral, gain, target = _coefficients(dividers.oscillator_khz)
        fraction = dividers.m2 & self._FRACTION
        words = {
            0: (0xFF, dividers.m2 >> 22), 1: (0xF00, 1 << 8), 2: (self._FRACTION, fraction), 3: (1 << 16, 1 << 16 if fraction else 0),
            6: (0x7_1F0F, gain << 16 | integral << 8 | proportional), 8: (0x3FF, target), 9: (0xE, 5 << 1), 10: (1 << 27 | 0x3C00, 1 << 27 | 15 << 10),
        }  # fmt: skip
        for number, (mask, value) in words.items():
            pll.word[number] = pll.word[number] & ~mask | value

    def _await_lock(self, port: Port) -> None:
        """Raises: DriverError when the loop does not lock."""
        switch, clock = BroxtonPllEnable(self._uncore.regs).port_pll, self._uncore.clock
        deadline = clock.now_ns() + _BROXTON_LOCK_TIMEOUT_NS
        while not switch[port.number].locked:
            if clock.now_ns() >= deadline:
                place = BroxtonPllEnable.port_pll.at() + 4 * port.number
                raise DriverError(
                    f"{BroxtonPllEnable.port_pll.title} at {place:#x} reads {int(switch[port.number]):#x}: "
                    f"the loop of port {port.value} is not locked after {_BROXTON_LOCK_TIMEOUT_NS // 1000} us"
                )
            clock.wait_ns(1_000)

    def connect(self, connector: Connector) -> None:
        """Nothing to do."""

    def disconnect(self, connector: Connector) -> None:
        """Nothing to do."""

    def stop(self, connector: Connector) -> None:
        port = connector.port
        self._loops.pop(port)
        switch = BroxtonPllEnable(self._uncore.regs).port_pll
        switch[port.number] = BroxtonPortPll.of(switch[port.number], enable=0)


def _coefficients(oscillator_khz: int) -> tuple[int, int, int, int]:
    """Proportional and integral part, gain, and count at which the loop is locked."""
    if oscillator_khz >= 6_200_000:
        return 4, 9, 3, 8
    return (3, 8, 1, 9) if oscillator_khz == 5_400_000 else (5, 11, 3, 9)


def _stagger(clock_khz: int) -> int:
    """How far lanes are apart."""
    return next((value for least, value in ((270_000, 0x18), (135_000, 0x0D), (67_000, 0x07), (33_000, 0x04)) if clock_khz > least), 0x02)


def port_clocks(uncore: Uncore) -> PortClocks:
    """The loops of the platform at hand."""
    if uncore.platform.name == "bxt":
        return BroxtonPortClocks(uncore)
    return SkylakePortClocks(uncore) if uncore.platform.graphics_version >= 9 else BroadwellPortClocks(uncore)
