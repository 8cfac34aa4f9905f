"""Dividers of the loops behind HDMI ports: which numbers make a frequency that is near enough to the one wanted.

Each platform's loop has its own ranges, and the driver its own idea of which of several good answers is best; monitors
have been tested with that one, so it is found here by the same preferences.

Source: linux:drivers/gpu/drm/i915/display/intel_dpll_mgr.c, linux:drivers/gpu/drm/i915/display/intel_dpll.c
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Final, NamedTuple

from pvinfo.errors import DriverError
from pvinfo.registers import DpllConfig1, DpllConfig2, WrpllControl

__all__ = (
    "BROXTON_LINK_DIVIDERS",
    "BroxtonDividers",
    "SkylakeDividers",
    "WrpllDividers",
    "broadwell_dividers",
    "broxton_dividers",
    "skylake_dividers",
)


# ---- gen9, but Broxton ----


class SkylakeDividers(NamedTuple):
    """How a loop of gen9 makes a frequency: the oscillator runs near one of three frequencies, and is divided by p times q times k."""

    center_mhz: int
    divider: int
    """The product of all three."""
    p: int
    q: int
    k: int
    dco_integer: int
    dco_fraction: int
    """The oscillator's multiple of the reference clock, whole and in 32768ths."""

    @property
    def config1(self) -> DpllConfig1:
        """The frequency register."""
        return DpllConfig1.of(enable=1, dco_integer=self.dco_integer, dco_fraction=self.dco_fraction)

    @property
    def config2(self) -> DpllConfig2:
        """The dividers' register."""
        return DpllConfig2.of(
            central_frequency=_CENTERS[self.center_mhz], p_divider=_P_CODES[self.p],
            k_divider=_K_CODES[self.k], q_mode=self.q != 1, q_ratio=self.q,
        )  # fmt: skip

    @property
    def clock_khz(self) -> Fraction:
        """The frequency that comes of it: a fifth of the oscillator's, divided."""
        multiple = self.dco_integer + Fraction(self.dco_fraction, 0x8000)
        return multiple * _SKYLAKE_REFERENCE_KHZ / (5 * self.divider)


_SKYLAKE_REFERENCE_KHZ: Final = 24_000
_CENTERS: Final = {8400: 3, 9000: 1, 9600: 0}
"""Centre of the oscillator's range in MHz, and its code, in the order in which they are tried."""
_P_CODES: Final = {1: 0, 2: 1, 3: 2, 7: 4}
_K_CODES: Final = {5: 0, 2: 1, 3: 2, 1: 3}
_MOST_ABOVE: Final = 100
_MOST_BELOW: Final = 600
"""How far from its centre the oscillator may run, in ten-thousandths."""
_EVEN: Final = (
    4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 30, 32, 36, 40, 42, 44, 48, 52, 54, 56, 60, 64, 66, 68, 70, 72, 76, 78, 80, 84, 88,
    90, 92, 96, 98,
)  # fmt: skip
_ODD: Final = (3, 5, 7, 9, 15, 21, 35)
_ODD_SPLITS: Final = {3: (3, 1, 1), 9: (3, 1, 3), 5: (5, 1, 1), 7: (7, 1, 1), 15: (3, 1, 5), 21: (7, 1, 3), 35: (7, 1, 5)}
"""Odd dividers as p, q, k."""


def _split(divider: int) -> tuple[int, int, int]:
    """p, q and k whose product is ``divider``."""
    if divider % 2:
        return _ODD_SPLITS[divider]
    half = divider // 2
    if half in (1, 2, 3, 5):
        return 2, 1, half
    for p in (2, 3, 7):
        if half % p == 0:
            return p, half // p, 2
    raise AssertionError(f"no row of the table is {divider}")


def _best_near_center(dividers: tuple[int, ...], oscillator_hz: int) -> tuple[int, int] | None:
    """The centre in MHz and the divider whose oscillator runs nearest to it; the first of several, None without any."""
    best: tuple[int, int, int] | None = None
    for center in _CENTERS:
        for divider in dividers:
            frequency, middle = divider * oscillator_hz, center * 1_000_000
            off = 10_000 * abs(frequency - middle) // middle
            if off < (_MOST_ABOVE if frequency >= middle else _MOST_BELOW) and (best is None or off < best[0]):
                best = off, center, divider
    return best[1:] if best is not None else None


def skylake_dividers(clock_khz: int) -> SkylakeDividers:
    """Dividers for a clock of gen9 (``skl_ddi_calculate_wrpll``). Even ones are preferred to odd ones.

    Raises: DriverError for a clock that none make.
    """
    output_hz = clock_khz * 1000 * 5
    found = _best_near_center(_EVEN, output_hz) or _best_near_center(_ODD, output_hz)
    if found is None:
        raise DriverError(f"no dividers make {clock_khz} kHz: the oscillator would leave its range around 8400, 9000 and 9600 MHz")
    center, divider = found
    p, q, k = _split(divider)
    if p not in _P_CODES or k not in _K_CODES:
        raise DriverError(f"a clock of {clock_khz} kHz needs a divider by {divider}, which the loop does not have")
    frequency = divider * output_hz
    integer = frequency // (_SKYLAKE_REFERENCE_KHZ * 1000)
    fraction = (frequency // (_SKYLAKE_REFERENCE_KHZ // 1000) - integer * 1_000_000) * 0x8000 // 1_000_000
    return SkylakeDividers(center, divider, p, q, k, integer, fraction)


# ---- gen8 ----


class WrpllDividers(NamedTuple):
    """How a loop of gen8 makes a frequency: 2700 MHz, divided by r, times n, divided by p. r and n count halves."""

    r2: int
    n2: int
    p: int

    @property
    def control(self) -> WrpllControl:
        """The loop's register, with the loop on and fed from the core clock's."""
        return WrpllControl.of(enable=1, reference=_FROM_LCPLL, reference_divider=self.r2, feedback_divider=self.n2, post_divider=self.p)

    @property
    def clock_khz(self) -> Fraction:
        """The frequency that comes of it: a fifth of the loop's."""
        return Fraction(_LC_MHZ * 1000 * self.n2, 5 * self.p * self.r2)


_FROM_LCPLL: Final = 3
_LC_MHZ: Final = 2700
_LC_2K: Final = _LC_MHZ * 2000
_REFERENCE_MHZ: Final = (48, 400)
_OSCILLATOR_MHZ: Final = (2400, 4800)
_POST_DIVIDERS: Final = range(2, 65, 2)
_USUAL_BUDGET: Final = 1000
_BUDGETS: Final = {
    0: (
        25175000, 25200000, 27000000, 27027000, 37762500, 37800000, 40500000, 40541000, 54000000, 54054000, 59341000, 59400000,
        72000000, 74176000, 74250000, 81000000, 81081000, 89012000, 89100000, 108000000, 108108000, 111264000, 111375000,
        148352000, 148500000, 162000000, 162162000, 222525000, 222750000, 296703000, 297000000,
    ),
    1500: (233500000, 245250000, 247750000, 253250000, 298000000),
    2000: (169128000, 169500000, 179500000, 202000000),
    4000: (256250000, 262500000, 270000000, 272500000, 273750000, 280750000, 281250000, 286000000, 291750000),
    5000: (267250000, 268500000),
}  # fmt: skip
"""How far off, in millionths, a clock in Hz may be before precision counts more than a fast loop."""
_BUDGET_OF: Final = {clock: budget for budget, clocks in _BUDGETS.items() for clock in clocks}


def _wrpll_candidates() -> Iterator[tuple[int, int]]:
    """Every r and n, in the order in which they are tried."""
    slowest, fastest = _REFERENCE_MHZ
    low, high = _OSCILLATOR_MHZ
    for r2 in range(_LC_MHZ * 2 // fastest + 1, _LC_MHZ * 2 // slowest + 1):
        for n2 in range(low * r2 // _LC_MHZ + 1, high * r2 // _LC_MHZ + 1):
            yield r2, n2


@cache
def broadwell_dividers(clock_khz: int) -> WrpllDividers:
    """Dividers for a clock of gen8 (``hsw_ddi_calculate_wrpll``): of those that are near enough the fastest loop, else the nearest."""
    clock_hz = clock_khz * 1000
    wanted = clock_hz // 100
    if wanted == _LC_2K:
        return WrpllDividers(2, 2, 1)
    near_at = wanted * _BUDGET_OF.get(clock_hz, _USUAL_BUDGET)
    best_r2 = best_n2 = best_p = best_off = 0
    best_near = False
    for r2, n2 in _wrpll_candidates():
        made = _LC_2K * n2
        for p in _POST_DIVIDERS:
            product = p * r2
            off = abs(wanted * product - made)
            near = near_at * product >= 1_000_000 * off
            if near and best_near:
                better = n2 * best_r2 * best_r2 > best_n2 * r2 * r2
            elif near or best_near:
                better = near
            else:
                better = not best_p or best_p * best_r2 * off < product * best_off
            if better:
                best_r2, best_n2, best_p, best_off, best_near = r2, n2, p, off, near
    return WrpllDividers(best_r2, best_n2, best_p)


# ---- Broxton ----


class BroxtonDividers(NamedTuple):
    """How a port's loop of Broxton makes a frequency: 100 MHz times twice m2, divided by five times p1 times p2."""

    p1: int
    p2: int
    m2: int
    """In units of 2 to the -22."""

    @property
    def oscillator_khz(self) -> int:
        """What the loop itself runs at."""
        return _rounded(_BROXTON_REFERENCE_KHZ * 2 * self.m2, 1 << 22)

    @property
    def clock_khz(self) -> int:
        """The frequency that comes of it."""
        return _rounded(self.oscillator_khz, 5 * self.p1 * self.p2)


_BROXTON_REFERENCE_KHZ: Final = 100_000
_BROXTON_OSCILLATOR_KHZ: Final = range(4_800_000, 6_700_001)
_BROXTON_CLOCKS_KHZ: Final = range(25_000, 594_001)
_BROXTON_M2: Final = range(2 << 22, (255 << 22) + 1)
_P2: Final = (20, 18, 16, 14, 12, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
_NEAR_ENOUGH_PPM: Final = 100
_BETTER_BY_PPM: Final = 10

BROXTON_LINK_DIVIDERS: Final = {
    162_000: BroxtonDividers(4, 2, 0x819_999A), 216_000: BroxtonDividers(3, 2, 0x819_999A), 243_000: BroxtonDividers(4, 1, 0x613_3333),
    270_000: BroxtonDividers(4, 1, 0x6C0_0000), 324_000: BroxtonDividers(4, 1, 0x819_999A), 432_000: BroxtonDividers(3, 1, 0x819_999A),
    540_000: BroxtonDividers(2, 1, 0x6C0_0000),
}  # fmt: skip
"""Dividers for the rates of DisplayPort."""


def _rounded(numerator: int, denominator: int) -> int:
    return (numerator + denominator // 2) // denominator


def broxton_dividers(clock_khz: int) -> BroxtonDividers:
    """Dividers for a clock of Broxton (``chv_find_best_dpll``): large ones where the error is below a ten-thousandth, else the nearest.

    Raises: DriverError for a clock that none make.
    """
    best: BroxtonDividers | None = None
    best_error = 1_000_000
    for p1 in (4, 3, 2):
        for p2 in _P2:
            found = BroxtonDividers(p1, p2, _rounded(clock_khz * 5 * p1 * p2 << 22, 2 * _BROXTON_REFERENCE_KHZ))
            if (
                found.m2 > 0x7FFF_FFFF // 2
                or found.m2 not in _BROXTON_M2
                or found.oscillator_khz not in _BROXTON_OSCILLATOR_KHZ
                or found.clock_khz not in _BROXTON_CLOCKS_KHZ
            ):
                continue
            error = 1_000_000 * abs(clock_khz - found.clock_khz) // clock_khz
            if error < _NEAR_ENOUGH_PPM and (best is None or p1 * p2 > best.p1 * best.p2):
                best, best_error = found, 0
            elif error + _BETTER_BY_PPM < best_error:
                best, best_error = found, error
    if best is None:
        raise DriverError(f"no dividers make {clock_khz} kHz: the loop would leave its range of 4800 to 6700 MHz")
    return best
