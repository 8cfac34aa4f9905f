"""The physical GPU as the mediator has it: its engines, its graphics memory, and whose turn it is on each engine.

The mediator is to the GPU what the host's own i915 is beneath the kernel's: it sets the engines up, takes the interrupts
and hands contexts to the submission ports, all by way of registers. One vGPU has an engine at a time; when the turn there
goes on, the registers that each has for itself are exchanged and the guard in front of host memory is told. Whether engines
change hands together or each by itself is not decided here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, Protocol, final

from pvinfo.errors import StateError
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.gtt import TlbInvalidate

from ...device.mmio.registers import RegisterPage
from ...isolation import EngineMemory, GuardedMemory, Pinned
from ...memory import HostMemory
from .engine import HardwareEngine
from .graphics_memory import GraphicsMemory
from .interrupts import HostInterrupts
from .preamble import incomplete_preamble, inhibited_preamble, own_state
from .register_switch import RegisterSwitch

if TYPE_CHECKING:
    from ...gpu.device import PhysicalGpu
    from ...gpu.engine import Engine as Worker
    from ...gpu.function import Function

__all__ = ("Hardware", "Holder")

_DROP: Final = TlbInvalidate.request.mask


class Holder(Protocol):
    """A vGPU, as far as the hardware has to know it while an engine is its."""

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
class _Place:
    """One engine, and who has it."""

    __slots__ = ("engine", "holder", "switch", "way", "worker")

    def __init__(self, engine: HardwareEngine, switch: RegisterSwitch, way: EngineMemory, worker: Worker) -> None:
        self.engine = engine
        self.switch = switch
        self.way = way
        """Its way to memory."""
        self.worker = worker
        """The engine itself, inside the GPU."""
        self.holder: Holder | None = None


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
        self._places = {
            name: _Place(engine, RegisterSwitch(gpu.mmio, gpu.platform, name), guard.engine(name), gpu.engines[name])
            for name, engine in engines.items()
        }  # fmt: skip
        self.interrupts = HostInterrupts(gpu, {name: engine.interrupted for name, engine in engines.items()})
        self._own = RegisterPage()
        """What registers hold that go with the turn, while nobody has one."""
        for place in self._places.values():
            place.engine.connect(self.interrupts)
            place.engine.on_reset = place.switch.forget
            place.switch.capture(self._own)
        self.functions: dict[int, Function] = {}
        """Those who share the GPU and are virtual functions of it, by number; engines work for the others as the GPU's own."""
        self._owed: dict[int, set[Engine]] = {}
        self.turns = 0
        """Times that engines, one or several at once, have gone from one to another."""

    def holder(self, engine: Engine) -> int:
        """Number of the vGPU that has ``engine``; 0: none."""
        holder = self._places[engine].holder
        return holder.number if holder is not None else 0

    # ---- turns ----

    def give(self, vgpu: Holder | None, engines: Collection[Engine] | None = None) -> None:
        """The engines, by default all, are ``vgpu``'s from now on; None: the host's. To be called before each piece of work: where
        ``vgpu`` has them already, what its guest has written since reaches the hardware.

        Raises: StateError when an engine would change hands while it is busy.
        """
        given = self._places.values() if engines is None else [self._places[engine] for engine in engines]
        page = vgpu.registers if vgpu is not None else self._own
        with self.interrupts.withheld():
            changing = [place for place in given if place.holder is not vgpu]
            if changing:
                self._pass_to(vgpu, changing)
            for place in given:
                place.switch.load(page)
            if vgpu is not None:
                self._pay(vgpu.number, given)

    def _pass_to(self, vgpu: Holder | None, places: Collection[_Place]) -> None:
        number = vgpu.number if vgpu is not None else 0
        for place in places:
            if place.engine.busy:
                name = place.engine.name
                raise StateError(f"giving {name.value} from vGPU {self.holder(name)} to {number or 'the host'}", "busy", "idle")
        if vgpu is not None:
            self._guard.machines[number] = vgpu.port
        for place in places:
            before = place.holder
            place.switch.save(before.registers if before is not None else self._own)
            if before is not None and not before.number:
                # The host's own driver, whose commands nobody audits.
                place.switch.save_tables(before.registers)
            place.holder = vgpu
            place.way.owner = place.worker.works_for = number
            place.worker.work_for(self.functions.get(number))
        self.turns += 1

    def _held_by(self, vgpu: Holder) -> list[Engine]:
        return [engine for engine, place in self._places.items() if place.holder is vgpu]

    def stale(self, vgpu: Holder) -> None:
        """The registers of ``vgpu`` have changed as a whole, as by a reset: none are saved to them until they were loaded anew."""
        for place in self._places.values():
            if place.holder is vgpu:
                place.switch.forget()

    def set_down(self, vgpu: Holder) -> None:
        """The registers of ``vgpu`` hold what the GPU held of them. Raises: StateError when an engine of its is busy."""
        self.give(None, self._held_by(vgpu))

    def forget(self, vgpu: Holder) -> None:
        """``vgpu`` comes to its end: nothing of it stays in the GPU, or with its guard.

        Raises: StateError when an engine of its is busy.
        """
        self.stale(vgpu)
        self.give(None, self._held_by(vgpu))
        self._owed.pop(vgpu.number, None)
        self._guard.machines.pop(vgpu.number, None)
        self.functions.pop(vgpu.number, None)

    # ---- translations ----

    def owe_invalidation(self, vgpu_number: int, engine: Engine) -> None:
        """The guest has asked for this: it is done when its vGPU is given the engine next."""
        self._owed.setdefault(vgpu_number, set()).add(engine)

    def _pay(self, number: int, places: Collection[_Place]) -> None:
        owed = self._owed.get(number)
        if owed:
            for place in places:
                if place.engine.name in owed:
                    owed.remove(place.engine.name)
                    self._invalidate(place.engine.name)

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

    def load_state(self, client: Holder, engine: Engine) -> None:
        """Have an idle engine hold what contexts of ``client`` find that have no state yet, where nothing is put in front of them."""
        for offset, value in own_state(self._gpu.platform.graphics_version, engine, client.registers).items():
            self._gpu.mmio.write32(offset, value)
