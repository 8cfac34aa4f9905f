"""Access to the GPU's registers, and the first looks at them (the kernel calls this part the *uncore*).

In vGPU mode the driver takes no forcewake and checks no access for being claimed: every access is one trap. On a
bare GPU an access wakes its register's power domains first.
Source: linux:drivers/gpu/drm/i915/intel_uncore.c
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeVar, final

from pvinfo.bus import Clock, Region
from pvinfo.errors import WaitTimeout
from pvinfo.platform import Platform
from pvinfo.register import Register, masked_bits
from pvinfo.registers import DisplayEngine, Forcewake, UnclaimedAccess

from .log import DriverLog
from .power_domains import PowerDomains, WakingRegion
from .wait import wait_for

__all__ = ("Uncore",)

V = TypeVar("V", bound=int)

_DEAD: Final = 0xFFFF_FFFF
_WAKE_TIMEOUT_NS: Final = 2_000_000_000


@final
class Uncore:
    """BAR0 of one GPU, with the machine's clock and the driver's log: what every part of the driver works through."""

    def __init__(self, regs: Region, clock: Clock, log: DriverLog, platform: Platform, revision: int) -> None:
        self.regs = regs
        """Registers and global table; on a bare GPU an access wakes what it needs."""
        self.raw = regs
        """The same without waking anything: for what works asleep, and where the driver knows that it holds what it needs."""
        self.domains: PowerDomains | None = None
        """The power domains of a bare GPU; None where a host sees to the power."""
        self.clock = clock
        self.log = log
        self.platform = platform
        self.revision = revision

    def wait_for(self, register: Register[V], mask: int, value: int, timeout_ns: int, base: str = "") -> V:
        """Poll ``register`` until its bits ``mask`` equal ``value``. Raises: WaitTimeout."""
        return wait_for(self.regs, self.clock, register, base, mask, value, timeout_ns)

    def read(self, register: Register[V], base: str = "") -> V:
        """One read of ``register``."""
        return register.value_type(self.regs.read32(register.at(base)))

    def write(self, register: Register[V], value: int, base: str = "") -> None:
        """One write of ``register``."""
        self.regs.write32(register.at(base), value)

    def write_masked(self, register: Register[V], bits: int, enable: bool, base: str = "") -> None:
        """Set or clear exactly ``bits`` of a register whose upper half enables the write of the lower."""
        self.regs.write32(register.at(base), masked_bits(bits, enable))

    def modify(self, register: Register[V], clear: int, set_bits: int, base: str = "") -> int:
        """Read ``register`` and write it back with ``clear`` cleared and ``set_bits`` set; return what was read."""
        offset = register.at(base)
        before = self.regs.read32(offset)
        self.regs.write32(offset, before & ~clear | set_bits)
        return before

    def held_awake(self, *, linger: bool = False) -> AbstractContextManager[None]:
        """Keep every power domain awake for the length of a ``with`` block; nothing in vGPU mode."""
        return self.domains.held(linger=linger) if self.domains is not None else nullcontext()

    def init_mmio(self, *, virtual: bool) -> None:
        """See that the device answers, take charge of its power domains unless it is ``virtual``, and see that no access
        has gone astray so far (``intel_uncore_init_mmio``).

        Raises: WaitTimeout when it reads all ones for 2 s.
        """
        offset = Forcewake.gt.at()
        deadline = self.clock.now_ns() + _WAKE_TIMEOUT_NS
        while self.regs.read32(offset) == _DEAD:
            if self.clock.now_ns() >= deadline:
                raise WaitTimeout(f"{Forcewake.gt.title} at {offset:#x}: the device does not answer", _DEAD, 0, _WAKE_TIMEOUT_NS)
            self.clock.wait_ns(1_000_000)
        if not virtual:
            self.domains = PowerDomains(self.raw, self.clock, self.log, self.platform)
            self.regs = WakingRegion(self.raw, self.domains)
        if self.read(DisplayEngine.fpga_dbg).no_claim:
            self.log.warning("unclaimed-access", "an access before the driver was loaded met no register")
            self.write(DisplayEngine.fpga_dbg, UnclaimedAccess.no_claim.mask)
