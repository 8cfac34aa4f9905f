"""The power domains of a bare GPU: asleep unless held, and held while their registers are accessed.

Whoever accesses a register goes through :class:`WakingRegion`, which wakes the register's domains first; they fall
asleep again when nobody has needed them for a millisecond. What must not be interrupted by sleep, a reset for
example, holds the domains for its whole length. A guest of GVT-g does none of this: its host sees to the power.
Source: linux:drivers/gpu/drm/i915/intel_uncore.c
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntFlag
from functools import cache
from importlib.resources import files
from typing import Final, final

from pvinfo.bus import Clock, Region
from pvinfo.errors import LayoutError, WaitTimeout
from pvinfo.platform import Platform
from pvinfo.register import Register, masked_bits
from pvinfo.registers import EngineRegisters, Forcewake, ForcewakeBits, GtFrequency, GtStandby

from .log import DriverLog
from .wait import wait_for

__all__ = ("Domain", "PowerDomains", "WakingRegion", "domains_of")

_COLUMNS: Final = ["version", "first", "last", "domains"]
_END: Final = 0x40000
"""Registers from here on are always awake."""
_ACKNOWLEDGE_TIMEOUT_NS: Final = 50_000_000
_LINGER_NS: Final = 1_000_000
_THREAD_TIMEOUT_NS: Final = 5_000_000
_THREADS_ASLEEP: Final = 0x7
_FALLBACK_PASSES: Final = 10
_FALLBACK_PAUSE_NS: Final = 10_000
_EVERYONE: Final = 0xFFFF
_HELD: Final = ForcewakeBits.kernel.mask
_FALLBACK: Final = ForcewakeBits.kernel_fallback.mask


class Domain(IntFlag):
    """A part of the GT with a power switch of its own, in the order in which they are woken."""

    RENDER = 1
    GT = 2
    MEDIA = 4


_REGISTERS: Final[dict[int, dict[Domain, tuple[Register[ForcewakeBits], Register[ForcewakeBits]]]]] = {
    8: {Domain.RENDER: (Forcewake.gt, Forcewake.gt_ack)},
    9: {
        Domain.RENDER: (Forcewake.render, Forcewake.render_ack),
        Domain.GT: (Forcewake.gt, Forcewake.gt_ack),
        Domain.MEDIA: (Forcewake.media, Forcewake.media_ack),
    },
}
"""Request and acknowledge of each domain, by graphics version."""

_SHADOWED: Final = frozenset(
    {*(EngineRegisters.tail.at(base) for base in EngineRegisters.bases), GtFrequency.request.at(), GtFrequency.video_frequency.at()}
)
"""Registers that the hardware itself wakes up for when they are written."""


@cache
def _ranges(version: int) -> tuple[tuple[int, ...], tuple[Domain, ...]]:
    """Where each range of the table begins, and what it needs."""
    lines = (files(__package__) / "power_domains.tsv").read_text(encoding="ascii").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    if rows[0] != _COLUMNS:
        raise LayoutError(f"power_domains.tsv has columns {rows[0]}, not {_COLUMNS}")
    starts: list[int] = []
    needed: list[Domain] = []
    expected = 0
    for number, first, last, domains in rows[1:]:
        if int(number) != version:
            continue
        if int(first, 16) != expected:
            raise LayoutError(f"power_domains.tsv: gen{number} begins a range at {first}, but the one before ends at {expected - 1:#x}")
        expected = int(last, 16) + 1
        starts.append(int(first, 16))
        combined = Domain(0)
        for name in domains.split("+") if domains != "-" else ():
            combined |= Domain[name.upper()]
        needed.append(combined)
    if expected != _END:
        raise LayoutError(f"power_domains.tsv: gen{version} ends at {expected:#x}, not at {_END:#x}")
    return tuple(starts), tuple(needed)


def domains_of(version: int, offset: int, *, writing: bool) -> Domain:
    """What must be awake when the register at ``offset`` is accessed."""
    if offset >= _END or (writing and offset in _SHADOWED):
        return Domain(0)
    starts, needed = _ranges(version)
    return needed[bisect_right(starts, offset) - 1]


@final
class _Holder:
    """One domain: who holds it awake, and until when."""

    def __init__(self, domain: Domain, request: Register[ForcewakeBits], acknowledge: Register[ForcewakeBits]) -> None:
        self.domain = domain
        self.request = request
        self.acknowledge = acknowledge
        self.holders = 0
        self.linger_until_ns: int | None = None
        """An access has taken hold, which ends by itself."""
        self.used = False
        """Somebody needed it while it was awake: it lingers once more."""


@final
class PowerDomains:
    """The domains of one GPU. ``region`` is BAR0 itself."""

    def __init__(self, region: Region, clock: Clock, log: DriverLog, platform: Platform) -> None:
        """Take back whatever requests were left behind (``uncore_forcewake_init``)."""
        self._region = region
        self._clock = clock
        self._log = log
        self.version = platform.graphics_version
        self._holders = [_Holder(domain, *registers) for domain, registers in _REGISTERS[self.version].items()]
        self.all = Domain(sum(holder.domain for holder in self._holders))
        """Every domain there is."""
        self.awake = Domain(0)
        for _ in range(2):  # once as each is found, once for all of them
            for holder in self._holders:
                self._region.write32(holder.request.at(), masked_bits(_EVERYONE, False))

    def _of(self, domains: Domain) -> list[_Holder]:
        return [holder for holder in self._holders if holder.domain in domains]

    # ---- holding ----

    def need(self, domains: Domain) -> None:
        """Wake what of ``domains`` sleeps, for the access to come and a while longer (``__force_wake_auto``)."""
        if self.awake:
            self._expire()
        asleep = domains & ~self.awake
        if asleep:
            for holder in self._of(asleep):
                self._linger(holder)
            self._wake(asleep)

    def hold(self, domains: Domain) -> None:
        """Keep ``domains`` awake until they are let go (``intel_uncore_forcewake_get``)."""
        self._expire()
        asleep = Domain(0)
        for holder in self._of(domains):
            if holder.holders:
                holder.used = True
            else:
                asleep |= holder.domain
            holder.holders += 1
        if asleep:
            self._wake(asleep)

    def let_go(self, domains: Domain, *, linger: bool = False) -> None:
        """End one hold of ``domains``; ``linger``: they fall asleep a while later (``intel_uncore_forcewake_put``)."""
        for holder in self._of(domains):
            holder.holders -= 1
            if holder.holders:
                holder.used = True
            elif linger:
                self._linger(holder)
            else:
                self._sleep(holder)

    @contextmanager
    def held(self, domains: Domain | None = None, *, linger: bool = False) -> Iterator[None]:
        """Keep ``domains``, by default all, awake for the length of a ``with`` block."""
        domains = self.all if domains is None else domains
        self.hold(domains)
        try:
            yield
        finally:
            self.let_go(domains, linger=linger)

    def _linger(self, holder: _Holder) -> None:
        holder.holders += 1
        holder.linger_until_ns = self._clock.now_ns() + _LINGER_NS

    def _expire(self) -> None:
        """End the holds of accesses whose time is over."""
        now = self._clock.now_ns()
        for holder in self._holders:
            if holder.linger_until_ns is None or now < holder.linger_until_ns:
                continue
            if holder.used:
                holder.used = False
                holder.linger_until_ns = now + _LINGER_NS
                continue
            holder.linger_until_ns = None
            holder.holders -= 1
            if not holder.holders:
                self._sleep(holder)

    # ---- the handshake ----

    def _sleep(self, holder: _Holder) -> None:
        self._region.write32(holder.request.at(), masked_bits(_HELD, False))
        self.awake &= ~holder.domain

    def _wake(self, domains: Domain) -> None:
        """All are asked before the first is waited for (``fw_domains_get_with_fallback``)."""
        holders = self._of(domains)
        for holder in holders:
            self._await_acknowledge(holder, 0)
            self._region.write32(holder.request.at(), masked_bits(_HELD))
        for holder in holders:
            self._await_acknowledge(holder, _HELD)
        self.awake |= domains
        if self.version == 8:
            try:
                wait_for(self._region, self._clock, GtStandby.thread_status, "", _THREADS_ASLEEP, 0, _THREAD_TIMEOUT_NS)
            except WaitTimeout as error:
                self._log.error("gt-thread-asleep", f"the GT does not wake up: {error}")

    def _await(self, holder: _Holder, mask: int, value: int) -> bool:
        try:
            wait_for(self._region, self._clock, holder.acknowledge, "", mask, value, _ACKNOWLEDGE_TIMEOUT_NS)
        except WaitTimeout:
            return False
        return True

    def _await_acknowledge(self, holder: _Holder, value: int) -> None:
        if self._await(holder, _HELD, value) or (self.version >= 9 and self._fall_back(holder, value)):
            return
        read = self._region.read32(holder.acknowledge.at())
        self._log.error(
            "forcewake-timeout",
            f"{holder.acknowledge.title} at {holder.acknowledge.at():#x} reads {read:#x}: no acknowledge"
            f" {'of the request' if value else 'of its end'} for {_ACKNOWLEDGE_TIMEOUT_NS // 1_000_000} ms",
        )

    def _fall_back(self, holder: _Holder, value: int) -> bool:
        """Hardware can lose an acknowledge; toggling a second bit brings it out (``fw_domain_wait_ack_with_fallback``)."""
        for number in range(1, _FALLBACK_PASSES + 1):
            self._await(holder, _FALLBACK, 0)
            self._region.write32(holder.request.at(), masked_bits(_FALLBACK))
            self._clock.wait_ns(number * _FALLBACK_PAUSE_NS)
            self._await(holder, _FALLBACK, _FALLBACK)
            acknowledged = self._region.read32(holder.acknowledge.at()) & _HELD == value
            self._region.write32(holder.request.at(), masked_bits(_FALLBACK, False))
            if acknowledged:
                self._log.debug("forcewake-fallback", f"{holder.acknowledge.title} came with the fallback, pass {number}")
                return True
        return False


@final
class WakingRegion:
    """BAR0 of a bare GPU, as every part of the driver accesses it: what a register needs is awake when it is reached."""

    def __init__(self, region: Region, domains: PowerDomains) -> None:
        self._region = region
        self._domains = domains
        self._version = domains.version

    @property
    def size(self) -> int:
        """Length of BAR0."""
        return self._region.size

    def _wake(self, offset: int, *, writing: bool) -> None:
        if offset < _END:
            needed = domains_of(self._version, offset, writing=writing)
            if needed:
                self._domains.need(needed)

    def read32(self, offset: int, /) -> int:
        """The register at ``offset``."""
        self._wake(offset, writing=False)
        return self._region.read32(offset)

    def write32(self, offset: int, value: int, /) -> None:
        """Write the register at ``offset``."""
        self._wake(offset, writing=True)
        self._region.write32(offset, value)

    def read(self, offset: int, size: int) -> int:
        """1, 2, 4 or 8 bytes at ``offset``."""
        self._wake(offset, writing=False)
        return self._region.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Store 1, 2, 4 or 8 bytes at ``offset``."""
        self._wake(offset, writing=True)
        self._region.write(offset, size, value)
