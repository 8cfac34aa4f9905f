"""A physical GPU on guarded memory, with every access and every slice of its engines watched.

What an access or a slice may cost is counted, not timed: an access of a register looks at no memory and executes nothing,
one of the aperture looks at two pages, a slice executes a bounded number of commands on a bounded amount of memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Final, final

from host_model.clock import HostClock, VirtualClock
from host_model.gpu.device import PhysicalGpu
from host_model.gpu.engine import Engine
from pvinfo.platform import Platform
from pvinfo.units import GIB, MIB

from .ground import Ground

__all__ = ("APERTURE", "SteppedClock", "Tedium", "WatchedGpu")

APERTURE: Final = 128 * MIB
_GGTT: Final = GIB
_COMMANDS: Final = 513
"""Of a slice: its budget, and one that ends it."""
_LOOKS: Final = 40_000
"""Pages and spans that a slice may ask for: two surfaces of a strip whose pages are not neighbours, translated once or twice."""
_BYTES: Final = 160 * MIB
"""Memory that a slice may be handed."""
_SLICES: Final = 64
"""At one instant: each engine may be woken by the others, but not for ever."""


class Tedium(AssertionError):
    """One act kept the device busy beyond all bounds."""


@final
class SteppedClock(HostClock):
    """Time that is not virtual for the engines, yet moves only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = 0

    def now_ns(self) -> int:
        return self._now_ns

    def move_to(self, time_ns: int) -> None:
        """Go on, and call what is due then."""
        self._now_ns = max(self._now_ns, time_ns)
        self.run_due()


@final
class WatchedGpu:
    """The device, and what its driver reaches it by. ``virtual`` is whether engines take virtual time."""

    def __init__(self, platform: Platform, *, virtual: bool) -> None:
        self.ground = Ground(platform)
        self.memory = self.ground.memory
        self.clock = VirtualClock() if virtual else SteppedClock()
        self.gpu = PhysicalGpu(platform, APERTURE, self.memory, self.clock, _GGTT)
        self.fresh_registers = hashlib.sha256(self.gpu.registers.bytes).digest()
        self.fresh_config = bytes(self.gpu.config.bytes)
        self.slices = 0
        self._instant_slices = 0
        self.most_looks = 0
        """That any slice has asked memory for."""
        self._read = hashlib.sha256()
        for engine in self.gpu.engines:
            setattr(engine, "run_slice", partial(self._slice, engine, engine.run_slice))

    def _slice(self, engine: Engine, run: Callable[[], None]) -> None:
        commands, asked, handed_out = engine.commands, self.memory.asked, self.memory.handed_out
        self.slices += 1
        self._instant_slices += 1
        run()
        commands, asked, handed_out = engine.commands - commands, self.memory.asked - asked, self.memory.handed_out - handed_out
        self.most_looks = max(self.most_looks, asked)
        if commands > _COMMANDS or asked > _LOOKS or handed_out > _BYTES or self._instant_slices > _SLICES:
            raise Tedium(
                f"a slice of {engine.engine.value} executed {commands} commands, asked for memory {asked} times and got {handed_out} bytes; "
                f"it was number {self._instant_slices} of this instant"
            )

    # ---- accesses ----

    def _watch(self, what: str, looks: int, slices: int, asked: int) -> None:
        if self.slices != slices or self.memory.asked - asked > looks:
            raise Tedium(f"{what} ran {self.slices - slices} slices and looked at memory {self.memory.asked - asked} times")

    def read(self, offset: int, size: int) -> int:
        """BAR0."""
        slices, asked = self.slices, self.memory.asked
        value = self.gpu.mmio.read(offset, size)
        self._watch("a register read", 0, slices, asked)
        self._heard(value, size)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """BAR0."""
        slices, asked = self.slices, self.memory.asked
        self.gpu.mmio.write(offset, size, value)
        self._watch("a register write", 0, slices, asked)

    def read_aperture(self, offset: int, size: int) -> int:
        """BAR2."""
        slices, asked = self.slices, self.memory.asked
        value = self.gpu.aperture.read(offset, size)
        self._watch("an aperture read", 2, slices, asked)
        self._heard(value, size)
        return value

    def write_aperture(self, offset: int, size: int, value: int) -> None:
        """BAR2."""
        slices, asked = self.slices, self.memory.asked
        self.gpu.aperture.write(offset, size, value)
        self._watch("an aperture write", 2, slices, asked)

    def read_config(self, offset: int, size: int) -> int:
        value = self.gpu.config.read(offset, size)
        self._heard(value, size)
        return value

    def _heard(self, value: int, size: int) -> None:
        if not 0 <= value < 1 << 8 * size:
            raise AssertionError(f"a read of {size} bytes gives {value:#x}")
        self._read.update(value.to_bytes(size, "little"))

    # ---- time ----

    def step(self) -> None:
        """Go to the next instant at which anything is due."""
        self._instant_slices = 0
        deadline = self.clock.next_deadline_ns()
        now = self.clock.now_ns()
        target = max(deadline, now) if deadline is not None else now + 1000
        if isinstance(self.clock, VirtualClock):
            self.clock.wait_ns(target - now)
        else:
            self.clock.move_to(target + 1)

    # ---- everything ----

    def digest(self) -> str:
        """Everything that can be told apart: what was read, registers, tables, memory, findings, time."""
        found = self._read.copy()
        for part in (self.gpu.registers.bytes, self.gpu.config.bytes, self.gpu.ggtt.entries.cast("B")):
            found.update(part)
        for window in self.memory.windows:
            if window.plugged is not None:
                found.update(window.plugged)
        counts = (
            self.clock.now_ns(), self.slices, self.memory.asked, self.gpu.interrupts_sent, sorted(self.gpu.resets.items()),
            self.gpu.engines.commands, sorted(self.gpu.mmio.unmodelled.items()), list(self.gpu.findings),
        )  # fmt: skip
        found.update(repr(counts).encode())
        return found.hexdigest()
