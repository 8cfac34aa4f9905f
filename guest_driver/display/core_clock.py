"""The core display clock: what it is, and how it is made faster for a mode whose pixels come faster.

Source: linux:drivers/gpu/drm/i915/display/intel_cdclk.c
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from pvinfo.errors import DriverError
from pvinfo.registers import (
    BroadwellClocks,
    BroadwellLcpll,
    BroxtonDisplayPll,
    BroxtonPllEnable,
    CdclkControl,
    CdclkSelect,
    DpllControl1,
    DpllEnable,
    DpllRate,
    LcpllFrequency,
    PcodeCommand,
    SkylakeClocks,
)

from ..pcode import pcode_read, pcode_write
from ..uncore import Uncore

__all__ = ("CoreClock",)

_LOCK_TIMEOUT_NS: Final = 5_000_000
_BROXTON_LOCK_TIMEOUT_NS: Final = 1_000_000
_SOURCE_TIMEOUT_NS: Final = 100_000
_CONSENT_TRIES: Final = 60
_CONSENT_PAUSE_NS: Final = 50_000
_PREPARE: Final = 3
_READY: Final = 1
_FIRMWARE_FLAG: Final = 0x18
_FIRMWARE_MASK: Final = 0xFF_FFFF


class _Step(NamedTuple):
    """One of the clocks there are."""

    khz: int
    code: int
    """What the register has for it."""
    voltage: int
    """What the power control unit is told."""


_SKYLAKE: Final = (
    _Step(337_500, CdclkSelect.MHZ_337_5_OR_308_57, 0), _Step(450_000, CdclkSelect.MHZ_450_OR_432, 1),
    _Step(540_000, CdclkSelect.MHZ_540, 2), _Step(675_000, CdclkSelect.MHZ_675_OR_617_14, 3),
)  # fmt: skip
_SKYLAKE_OTHER_KHZ: Final = {CdclkSelect.MHZ_337_5_OR_308_57: 308_571, CdclkSelect.MHZ_450_OR_432: 432_000, CdclkSelect.MHZ_675_OR_617_14: 617_143}
"""What the register's codes mean with the loop at its other frequency."""
_OTHER_LOOP_RATES: Final = (DpllRate.MHZ_1080, DpllRate.MHZ_2160)
_BROADWELL: Final = (
    _Step(337_500, LcpllFrequency.MHZ_337_5, 2), _Step(450_000, LcpllFrequency.MHZ_450, 0),
    _Step(540_000, LcpllFrequency.MHZ_540, 1), _Step(675_000, LcpllFrequency.MHZ_675, 3),
)  # fmt: skip
_BROXTON: Final = (_Step(144_000, 3, 6), _Step(288_000, 2, 12), _Step(384_000, 1, 16), _Step(576_000, 0, 24), _Step(624_000, 0, 25))
"""With the divider's code, and, instead of a voltage, the clock in steps of 25 MHz, rounded up."""
_BROXTON_REFERENCE_KHZ: Final = 19_200
_BROXTON_DIVISORS: Final = {0: 2, 1: 3, 2: 4, 3: 8}
_BROXTON_SHIFT: Final = 22
_BROXTON_PIPE_NONE: Final = 3 << 20
_BROXTON_PRECHARGE: Final = 1 << 16
_BROXTON_FAST_KHZ: Final = 500_000
_RATIO: Final = 0xFF
_BROADWELL_LATITUDE: Final = (100, 95)
"""With intermediate pixel storage pixels may come at 95 % of the clock."""


@final
class CoreClock:
    """The core display clock of one GPU."""

    def __init__(self, uncore: Uncore) -> None:
        self._uncore = uncore
        self.khz = 0
        """What it is; 0 before :meth:`init`."""

    @property
    def _steps(self) -> tuple[_Step, ...]:
        return {"bdw": _BROADWELL, "bxt": _BROXTON}.get(self._uncore.platform.name, _SKYLAKE)

    def init(self) -> None:
        """Take over what firmware has set; where that is nothing sensible, set the slowest (``intel_cdclk_init_hw``).

        Raises: DriverError when the loop behind it does not lock, or the power control unit does not consent.
        """
        self.khz = self._read()
        if not self.khz:
            self._set(self._steps[0], from_nothing=True)

    def need(self, pixel_clock_khz: int) -> None:
        """Make it fast enough for pixels at that rate. Raises: DriverError, also when nothing is fast enough."""
        needed = pixel_clock_khz
        if self._uncore.platform.name == "bdw":
            needed = -(-needed * _BROADWELL_LATITUDE[0] // _BROADWELL_LATITUDE[1])
        if needed <= self.khz:
            return
        step = next((step for step in self._steps if step.khz >= needed), None)
        if step is None:
            raise DriverError(f"pixels at {pixel_clock_khz} kHz: the core display clock goes up to {self._steps[-1].khz} kHz")
        self._set(step, from_nothing=False)

    # ---- what it is ----

    def _read(self) -> int:
        """The clock in kHz; 0 when firmware has left none, or one that is not in order."""
        return {"bdw": self._read_broadwell, "bxt": self._read_broxton}.get(self._uncore.platform.name, self._read_skylake)()

    def _read_skylake(self) -> int:
        clocks = SkylakeClocks(self._uncore.regs)
        if not clocks.software_flags[_FIRMWARE_FLAG] & _FIRMWARE_MASK:
            return 0
        loop = clocks.lcpll1_ctl
        if not (loop.enable and loop.locked):
            return 0
        setting = clocks.dpll_ctrl1
        if not setting.dpll0_override or setting.dpll0_ssc or setting.dpll0_hdmi:
            return 0
        control = clocks.cdclk_ctl
        khz = next(step.khz for step in _SKYLAKE if step.code == control.select)
        if setting.dpll0_rate in _OTHER_LOOP_RATES:
            khz = _SKYLAKE_OTHER_KHZ.get(CdclkSelect(control.select), khz)
        return khz if control == CdclkControl.of(select=control.select, decimal=_decimal(khz)) else 0

    def _read_broadwell(self) -> int:
        control = self._uncore.read(BroadwellClocks.lcpll_ctl)
        if control.disable or not control.locked or control.source_fclk or control.cd_clock_disable:
            raise DriverError(
                f"{BroadwellClocks.lcpll_ctl.title} at {BroadwellClocks.lcpll_ctl.at():#x} reads {int(control):#x}: there is no core display clock"
            )
        return next(step.khz for step in _BROADWELL if step.code == control.frequency)

    def _read_broxton(self) -> int:
        loop = self._uncore.read(BroxtonPllEnable.de_pll)
        if not (loop.enable and loop.locked):
            return 0
        oscillator = (self._uncore.read(BroxtonPllEnable.de_pll_ctl) & _RATIO) * _BROXTON_REFERENCE_KHZ
        divider = int(self._uncore.read(SkylakeClocks.cdclk_ctl)) >> _BROXTON_SHIFT & 3
        return oscillator // _BROXTON_DIVISORS[divider]

    # ---- changing it ----

    def _set(self, step: _Step, *, from_nothing: bool) -> None:
        {"bdw": self._set_broadwell, "bxt": self._set_broxton}.get(self._uncore.platform.name, self._set_skylake)(step, from_nothing)
        self.khz = step.khz
        self._uncore.log.debug("core-clock", f"the core display clock is {step.khz} kHz")

    def _set_skylake(self, step: _Step, from_nothing: bool) -> None:
        """``skl_set_cdclk``."""
        uncore = self._uncore
        for _ in range(_CONSENT_TRIES):
            reply = pcode_read(uncore, PcodeCommand.CDCLK_CONTROL, _PREPARE)
            if reply is not None and reply & _READY:
                break
            uncore.clock.wait_ns(_CONSENT_PAUSE_NS)
        else:
            raise DriverError(f"the power control unit does not consent to a core display clock of {step.khz} kHz: it was asked {_CONSENT_TRIES} times")
        if from_nothing and uncore.read(SkylakeClocks.lcpll1_ctl).enable:
            uncore.modify(SkylakeClocks.lcpll1_ctl, DpllEnable.enable.mask, 0)
            uncore.wait_for(SkylakeClocks.lcpll1_ctl, DpllEnable.locked.mask, 0, _LOCK_TIMEOUT_NS)
        frequency = CdclkControl.select.mask | CdclkControl.decimal.mask
        setting = CdclkControl.of(select=step.code, decimal=_decimal(step.khz))
        control = int(uncore.read(SkylakeClocks.cdclk_ctl))
        if from_nothing:
            control = control & ~frequency | setting
            uncore.write(SkylakeClocks.cdclk_ctl, control)
        override = CdclkControl.divmux_override.mask
        uncore.write(SkylakeClocks.cdclk_ctl, control | override)
        uncore.read(SkylakeClocks.cdclk_ctl)
        if from_nothing:
            mode = DpllControl1.dpll0_hdmi.mask | DpllControl1.dpll0_ssc.mask | DpllControl1.dpll0_rate.mask
            uncore.modify(SkylakeClocks.dpll_ctrl1, mode, DpllControl1.of(dpll0_override=1, dpll0_rate=DpllRate.MHZ_810))
            uncore.modify(SkylakeClocks.lcpll1_ctl, 0, DpllEnable.enable.mask)
            uncore.wait_for(SkylakeClocks.lcpll1_ctl, DpllEnable.locked.mask, DpllEnable.locked.mask, _LOCK_TIMEOUT_NS)
        control = control & ~frequency
        uncore.write(SkylakeClocks.cdclk_ctl, control | override)
        uncore.write(SkylakeClocks.cdclk_ctl, control | override | setting)
        uncore.write(SkylakeClocks.cdclk_ctl, control & ~override | setting)
        uncore.read(SkylakeClocks.cdclk_ctl)
        pcode_write(uncore, PcodeCommand.CDCLK_CONTROL, step.voltage)

    def _set_broadwell(self, step: _Step, _: bool) -> None:
        """``bdw_set_cdclk``: the clock comes from elsewhere while the loop changes."""
        uncore, register = self._uncore, BroadwellClocks.lcpll_ctl
        if not pcode_write(uncore, PcodeCommand.DISPLAY_FREQ_CHANGE_REQ, 0):
            raise DriverError(f"the power control unit does not consent to a core display clock of {step.khz} kHz")
        other, done = BroadwellLcpll.source_fclk.mask, BroadwellLcpll.source_fclk_done.mask
        uncore.modify(register, 0, other)
        uncore.wait_for(register, done, done, _SOURCE_TIMEOUT_NS)
        uncore.modify(register, BroadwellLcpll.frequency.mask, BroadwellLcpll.of(frequency=step.code))
        uncore.modify(register, other, 0)
        uncore.wait_for(register, done, 0, _SOURCE_TIMEOUT_NS)
        pcode_write(uncore, PcodeCommand.DE_WRITE_FREQ_REQ, step.voltage)
        uncore.write(SkylakeClocks.cdclk_freq, step.khz // 1000 - 1)

    def _set_broxton(self, step: _Step, _: bool) -> None:
        """``bxt_set_cdclk``: the loop stands still while its multiplier changes."""
        uncore, register = self._uncore, BroxtonPllEnable.de_pll
        ratio = step.khz * _BROXTON_DIVISORS[step.code] // _BROXTON_REFERENCE_KHZ
        locked = BroxtonDisplayPll.locked.mask
        if uncore.read(register).enable and uncore.read(BroxtonPllEnable.de_pll_ctl) & _RATIO != ratio:
            uncore.write(register, 0)
            uncore.wait_for(register, locked, 0, _BROXTON_LOCK_TIMEOUT_NS)
        if not uncore.read(register).locked:
            uncore.modify(BroxtonPllEnable.de_pll_ctl, _RATIO, ratio)
            uncore.write(register, BroxtonDisplayPll.enable.mask)
            uncore.wait_for(register, locked, locked, _BROXTON_LOCK_TIMEOUT_NS)
        precharge = _BROXTON_PRECHARGE if step.khz >= _BROXTON_FAST_KHZ else 0
        uncore.write(SkylakeClocks.cdclk_ctl, step.code << _BROXTON_SHIFT | _BROXTON_PIPE_NONE | precharge | _decimal(step.khz))
        pcode_write(uncore, PcodeCommand.DE_WRITE_FREQ_REQ, step.voltage)


def _decimal(khz: int) -> int:
    """A clock as the control register counts it: in steps of 0.5 MHz, from 1 MHz on."""
    return round((khz - 1000) / 500)
