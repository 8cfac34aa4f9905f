"""The physical GPU as the mediator has it: its engines, its graphics memory, and whose turn it is.

The mediator is to the GPU what the host's own i915 is beneath the kernel's: it sets the engines up, takes the interrupts
and hands contexts to the submission ports, all by way of registers. One vGPU has the whole GPU at a time; when the turn
goes on, the registers that each has for itself are exchanged and the guard in front of host memory is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol, final

from pvinfo.errors import StateError
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.gtt import TlbInvalidate

from ...device.mmio.registers import RegisterPage
from ...isolation import GuardedMemory, Pinned
from ...memory import HostMemory
from .engine import HardwareEngine
from .graphics_memory import GraphicsMemory
from .interrupts import HostInterrupts
from .preamble import incomplete_preamble, inhibited_preamble
from .register_switch import RegisterSwitch

if TYPE_CHECKING:
    from ...gpu.device import PhysicalGpu

__all__ = ("Hardware", "Holder")

_DROP: Final = TlbInvalidate.request.mask


class Holder(Protocol):
    """A vGPU, as far as the hardware has to know it while it is its turn."""

    @property
    def number(self) -> int:
        """Which vGPU."""

    @property
    def registers(self) -> RegisterPage:
        """Its registers."""

    @property
    def port(self) -> Pinned:
        """Its guest's machine."""


@final
class Hardware:
    """One GPU under the mediator. Made after the golden snapshot was taken, for it sets the GPU up."""

    def __init__(self, gpu: PhysicalGpu, host_memory: HostMemory, guard: GuardedMemory) -> None:
        self._gpu = gpu
        self._guard = guard
        guard.findings = gpu.findings
        self.memory = GraphicsMemory(gpu, host_memory)
        engines = {name: HardwareEngine(name, gpu.mmio, self.memory) for name in gpu.platform.engines}
        self.engines: Mapping[Engine, HardwareEngine] = engines
        self._switch = RegisterSwitch(gpu.mmio, gpu.platform)
        self._interrupts = HostInterrupts(gpu, {name: engine.interrupted for name, engine in engines.items()})
        for engine in engines.values():
            engine.connect(self._interrupts)
            engine.on_reset = self._switch.forget
        self._own = RegisterPage()
        """What registers hold that go with the turn, while nobody has one."""
        self._switch.capture(self._own)
        self._holder: Holder | None = None
        self._owed: dict[int, set[Engine]] = {}
        self.turns = 0
        """Times the GPU has gone from one to another."""

    @property
    def holder(self) -> int:
        """Number of the vGPU that has the GPU; 0: none."""
        return self._holder.number if self._holder is not None else 0

    # ---- turns ----

    def give(self, vgpu: Holder | None) -> None:
        """The GPU is ``vgpu``'s from now on; None: the host's. To be called before each piece of work: where ``vgpu`` has the
        GPU already, what its guest has written since reaches the hardware.

        Raises: StateError when the turn would go on while an engine is busy.
        """
        with self._interrupts.withheld():
            if vgpu is not self._holder:
                self._pass_to(vgpu)
            self._switch.load(vgpu.registers if vgpu is not None else self._own)
            if vgpu is not None:
                self._pay(vgpu.number)

    def _pass_to(self, vgpu: Holder | None) -> None:
        busy = ", ".join(engine.name.value for engine in self.engines.values() if engine.busy)
        number = vgpu.number if vgpu is not None else 0
        if busy:
            raise StateError(f"giving the GPU from vGPU {self.holder} to {number or 'the host'}", f"{busy} busy", "idle")
        self._switch.save(self._holder.registers if self._holder is not None else self._own)
        self._holder = vgpu
        self.turns += 1
        if vgpu is not None:
            self._guard.machines[number] = vgpu.port
        self._guard.owner = self._gpu.findings.vgpu = number

    def stale(self, vgpu: Holder) -> None:
        """The registers of ``vgpu`` have changed as a whole, as by a reset: none are saved to them until they were loaded anew."""
        if vgpu is self._holder:
            self._switch.forget()

    def set_down(self, vgpu: Holder) -> None:
        """The registers of ``vgpu`` hold what the GPU held of them. Raises: StateError when it has the GPU, and an engine is busy."""
        if vgpu is self._holder:
            self.give(None)

    def forget(self, vgpu: Holder) -> None:
        """``vgpu`` comes to its end: nothing of it stays in the GPU, or with its guard.

        Raises: StateError when it has the GPU, and an engine is busy.
        """
        self.stale(vgpu)
        if vgpu is self._holder:
            self.give(None)
        self._owed.pop(vgpu.number, None)
        self._guard.machines.pop(vgpu.number, None)

    # ---- translations ----

    def owe_invalidation(self, vgpu_number: int, engine: Engine) -> None:
        """The guest has asked for this: it is done when its vGPU is given the GPU next."""
        self._owed.setdefault(vgpu_number, set()).add(engine)

    def _pay(self, number: int) -> None:
        for engine in sorted(self._owed.pop(number, ()), key=lambda engine: engine.value):
            self._invalidate(engine)

    def invalidate_translations(self) -> None:
        """Every engine forgets what it has kept of page tables and the memory behind them."""
        for engine in self.engines:
            self._invalidate(engine)

    def _invalidate(self, engine: Engine) -> None:
        register = ENGINES[engine].tlb_invalidate
        self._gpu.mmio.write32(register, _DROP)
        self._gpu.mmio.read32(register)  # done when it reads 0, which this GPU lets it do at once

    # ---- contexts without state ----

    def inhibited_preamble(self, vgpu: Holder, engine: Engine) -> list[int]:
        """Commands to put in front of a context of ``vgpu`` that is restored with inhibit."""
        return inhibited_preamble(self._gpu.platform.graphics_version, engine, vgpu.registers)

    def incomplete_preamble(self, vgpu: Holder, engine: Engine) -> list[int]:
        """The same in front of one that is restored from an image which hardware has never saved."""
        return incomplete_preamble(self._gpu.platform.graphics_version, engine, vgpu.registers)
