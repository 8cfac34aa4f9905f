"""A device with every access and every slice of its engines watched: here a physical GPU on guarded memory.

What an access or a slice may cost is counted, not timed: an access of a register looks at no memory and executes nothing,
one of the aperture looks at two pages, a slice executes a bounded number of commands on a bounded amount of memory.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, final

from host_model.clock import HostClock, VirtualClock
from host_model.gpu.device import PhysicalGpu
from host_model.gpu.engine import Engine
from host_model.mediator.vgpu import Vgpu
from pvinfo.platform import Platform
from pvinfo.units import GIB, MIB

from .ground import FAR_PAGES, HOST_PLAN, LARGE_PAGES, NEAR_PAGES, ROM_PAGES, Ground
from .memory import GuardedMemory, Window

__all__ = ("APERTURE", "SteppedClock", "Tedium", "WatchedDevice", "WatchedGpu")

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


class WatchedDevice(ABC):
    """A device, and what its driver reaches it by. ``engines`` are those that carry out its work."""

    register_looks = 0
    """Times that an access of a register may look at memory."""

    def __init__(self, ground: Ground, gpu: PhysicalGpu | Vgpu, engines: Iterable[Engine], clock: HostClock) -> None:
        self.ground = ground
        self.gpu = gpu
        self.clock = clock
        self.slices = 0
        self.most_looks = 0
        """That any slice has asked memory for."""
        self._instant_ns = 0
        self._instant_slices = 0
        self._heard_so_far = hashlib.sha256()
        self._watch_slices(engines)

    def _watch_slices(self, engines: Iterable[Engine]) -> None:
        for engine in engines:
            setattr(engine, "run_slice", partial(self._slice, engine, engine.run_slice))

    @property
    @abstractmethod
    def asked(self) -> int:
        """Looks at memory so far."""

    @property
    @abstractmethod
    def handed_out(self) -> int:
        """Bytes handed out by memory so far."""

    def _slice(self, engine: Engine, run: Callable[[], None]) -> None:
        commands, asked, handed_out = engine.commands, self.asked, self.handed_out
        self.slices += 1
        if self._instant_ns != self.clock.now_ns():  # time may go on within a step: the mediator's own work takes some
            self._instant_ns = self.clock.now_ns()
            self._instant_slices = 0
        self._instant_slices += 1
        run()
        commands, asked, handed_out = engine.commands - commands, self.asked - asked, self.handed_out - handed_out
        self.most_looks = max(self.most_looks, asked)
        if commands > _COMMANDS or asked > _LOOKS or handed_out > _BYTES or self._instant_slices > _SLICES:
            raise Tedium(
                f"a slice of {engine.engine.value} executed {commands} commands, asked for memory {asked} times and got {handed_out} bytes; "
                f"it was number {self._instant_slices} of this instant"
            )

    # ---- accesses ----

    def _watch(self, what: str, looks: int, slices: int, asked: int) -> None:
        if self.slices != slices or self.asked - asked > looks:
            raise Tedium(f"{what} ran {self.slices - slices} slices and looked at memory {self.asked - asked} times")

    def read(self, offset: int, size: int) -> int:
        """BAR0."""
        slices, asked = self.slices, self.asked
        value = self.gpu.mmio.read(offset, size)
        self._watch("a register read", 0, slices, asked)
        self._heard(value, size)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """BAR0."""
        slices, asked = self.slices, self.asked
        self.gpu.mmio.write(offset, size, value)
        self._watch("a register write", self.register_looks, slices, asked)

    def read_aperture(self, offset: int, size: int) -> int:
        """BAR2."""
        slices, asked = self.slices, self.asked
        value = self.gpu.aperture.read(offset, size)
        self._watch("an aperture read", 2, slices, asked)
        self._heard(value, size)
        return value

    def write_aperture(self, offset: int, size: int, value: int) -> None:
        """BAR2."""
        slices, asked = self.slices, self.asked
        self.gpu.aperture.write(offset, size, value)
        self._watch("an aperture write", 2, slices, asked)

    def read_config(self, offset: int, size: int) -> int:
        value = self.gpu.config.read(offset, size)
        self._heard(value, size)
        return value

    def _heard(self, value: int, size: int) -> None:
        if not 0 <= value < 1 << 8 * size:
            raise AssertionError(f"a read of {size} bytes gives {value:#x}")
        self._heard_so_far.update(value.to_bytes(size, "little"))

    # ---- time ----

    def step(self) -> None:
        """Go to the next instant at which anything is due."""
        deadline = self.clock.next_deadline_ns()
        now = self.clock.now_ns()
        target = max(deadline, now) if deadline is not None else now + 1000
        if isinstance(self.clock, VirtualClock):
            self.clock.wait_ns(target - now)
        else:
            assert isinstance(self.clock, SteppedClock)
            self.clock.move_to(target + 1)


@final
class WatchedGpu(WatchedDevice):
    """The physical GPU. ``virtual`` is whether engines take virtual time."""

    def __init__(self, platform: Platform, *, virtual: bool) -> None:
        plan = HOST_PLAN
        self.near = Window(plan.near.bus, NEAR_PAGES)
        self.far = Window(plan.far.bus, FAR_PAGES)
        self.large = Window(plan.large.bus, LARGE_PAGES)
        self.rom = Window(plan.rom.bus, ROM_PAGES, readonly=True)
        self.memory = GuardedMemory(self.near, self.far, self.large, self.rom)
        clock = VirtualClock() if virtual else SteppedClock()
        self.physical = PhysicalGpu(platform, APERTURE, self.memory, clock, _GGTT)
        self.fresh_registers = hashlib.sha256(self.physical.registers.bytes).digest()
        self.fresh_config = bytes(self.physical.config.bytes)
        super().__init__(Ground(platform, self.memory, plan), self.physical, self.physical.engines, clock)

    @property
    def asked(self) -> int:
        return self.memory.asked

    @property
    def handed_out(self) -> int:
        return self.memory.handed_out

    # ---- everything ----

    def digest(self) -> str:
        """Everything that can be told apart: what was read, registers, tables, memory, findings, time."""
        gpu = self.physical
        found = self._heard_so_far.copy()
        for part in (gpu.registers.bytes, gpu.config.bytes, gpu.ggtt.entries.cast("B")):
            found.update(part)
        for window in self.memory.windows:
            if window.plugged is not None:
                found.update(window.plugged)
        counts = (
            self.clock.now_ns(), self.slices, self.memory.asked, gpu.interrupts_sent, sorted(gpu.resets.items()),
            gpu.engines.commands, sorted(gpu.mmio.unmodelled.items()), list(gpu.findings),
        )  # fmt: skip
        found.update(repr(counts).encode())
        return found.hexdigest()
