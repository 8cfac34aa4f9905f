"""Machines that are moved from host to host: what is in them, the guest, keeps its hold of device, memory and clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

from host_model.clock import VirtualClock
from host_model.host import Host, PluggedVgpu
from host_model.hypervisor.local import LocalMachine
from host_model.mediator.vgpu import Vgpu
from pvinfo.bus import Clock, ConfigSpace, GuestMemory, PciDevice, Region
from pvinfo.errors import SetupError
from pvinfo.units import GuestAddress

__all__ = ("MovableMachine", "move_all")


@final
class MovableMachine:
    """A :class:`~pvinfo.bus.Machine`, wherever it is."""

    def __init__(self, machine: LocalMachine) -> None:
        self.here = machine
        """The machine of the host that it is on."""
        self._device = _Device(self)
        self.gpu: PciDevice = self._device
        self.memory: GuestMemory = _Memory(self)
        self.clock: Clock = _Clock(self)

    def go_to(self, machine: LocalMachine) -> None:
        """It is there from now on."""
        self.here = machine
        machine.gpu.on_interrupt(self._device.handler)


class _Config:
    def __init__(self, machine: MovableMachine) -> None:
        self._machine = machine

    def read(self, offset: int, size: int) -> int:
        return self._machine.here.gpu.config.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self._machine.here.gpu.config.write(offset, size, value)


class _Region:
    def __init__(self, machine: MovableMachine, index: int, size: int) -> None:
        self._machine = machine
        self._index = index
        self.size = size

    @property
    def _here(self) -> Region:
        region = self._machine.here.gpu.bar(self._index)
        if region is None:
            raise SetupError(f"base address register {self._index} has no window on the host that the machine was moved to")
        return region

    def read(self, offset: int, size: int) -> int:
        return self._here.read(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self._here.write(offset, size, value)

    def read32(self, offset: int, /) -> int:
        return self._here.read32(offset)

    def write32(self, offset: int, value: int, /) -> None:
        self._here.write32(offset, value)


class _Device:
    def __init__(self, machine: MovableMachine) -> None:
        self._machine = machine
        self.config: ConfigSpace = _Config(machine)
        self.handler: Callable[[], None] | None = None

    def bar(self, index: int) -> Region | None:
        region = self._machine.here.gpu.bar(index)
        return _Region(self._machine, index, region.size) if region is not None else None

    def reset(self) -> None:
        self._machine.here.gpu.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self.handler = handler
        self._machine.here.gpu.on_interrupt(handler)


class _Memory:
    def __init__(self, machine: MovableMachine) -> None:
        self._machine = machine

    @property
    def size(self) -> int:
        return self._machine.here.memory.size

    def read(self, address: GuestAddress, size: int) -> bytes:
        return self._machine.here.memory.read(address, size)

    def write(self, address: GuestAddress, data: bytes | bytearray | memoryview) -> None:
        self._machine.here.memory.write(address, data)


class _Clock:
    def __init__(self, machine: MovableMachine) -> None:
        self._machine = machine

    def now_ns(self) -> int:
        return self._machine.here.clock.now_ns()

    def wait_ns(self, duration_ns: int) -> None:
        self._machine.here.clock.wait_ns(duration_ns)


def move_all(source: Host, vgpus: Sequence[Vgpu], machines: Sequence[MovableMachine], target: Host, hypervisor: str) -> tuple[Vgpu, ...]:
    """Move machines with their vGPUs from one host to another, where it is as late then. Nothing is left behind.

    Raises: SaveRefused, RestoreRefused: then all go on where they are.
    """
    moved: list[PluggedVgpu] = []
    try:
        saved = [source.save(vgpu) for vgpu in vgpus]
        assert isinstance(target.clock, VirtualClock)
        target.clock.wait_ns(source.clock.now_ns() - target.clock.now_ns())
        for state, machine in zip(saved, machines, strict=True):
            moved.append(target.plug_saved(state, machine.memory.read(GuestAddress(0), machine.memory.size), hypervisor=hypervisor))
    except BaseException:
        for plugged in moved:
            target.destroy_vgpu(plugged.vgpu)
        for vgpu in vgpus:
            vgpu.standstill.end()
        raise
    for vgpu, machine, plugged in zip(vgpus, machines, moved, strict=True):
        source.destroy_vgpu(vgpu)
        machine.go_to(plugged.machine)
    for plugged in moved:
        plugged.vgpu.standstill.end()
    return tuple(plugged.vgpu for plugged in moved)
