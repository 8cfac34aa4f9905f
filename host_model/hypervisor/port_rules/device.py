"""Rules about the device: a guest's accesses reach it, and its interrupts the guest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from pvinfo.bus import PciDevice, Region
from pvinfo.units import MIB

from ...promises import Broken, Rule, Rules, same
from ..base import HypervisorPort
from .bench import Bench

__all__ = ("DEVICE_RULES",)


@final
class _Probe:
    """A device that writes down its accesses; a :class:`~pvinfo.bus.PciDevice`, its own configuration space, and its own window."""

    size = 16 * MIB

    def __init__(self, port: HypervisorPort) -> None:
        self._port = port
        self.bytes: dict[int, int] = {}
        self.order: list[int] = []
        self.reads = 0
        self.interrupts_at: int | None = None

    @property
    def config(self) -> _ProbeConfig:
        return _ProbeConfig(self)

    def bar(self, index: int) -> Region | None:
        return self if index == 0 else None

    def reset(self) -> None:
        self.bytes.clear()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._port.connect_msi(handler)

    def load(self, offset: int, size: int) -> int:
        return sum(self.bytes.get(offset + at, 0) << 8 * at for at in range(size))

    def store(self, offset: int, size: int, value: int) -> None:
        for at in range(size):
            self.bytes[offset + at] = value >> 8 * at & 0xFF

    def read(self, offset: int, size: int) -> int:
        self.reads += size
        return self.load(offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.order.append(offset)
        self.store(offset, size, value)
        if offset == self.interrupts_at:
            self._port.inject_msi()

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)


@final
class _ProbeConfig:
    """Its configuration space, apart from its registers."""

    def __init__(self, probe: _Probe) -> None:
        self._probe = probe

    def read(self, offset: int, size: int) -> int:
        return self._probe.load(offset - 4096, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self._probe.store(offset - 4096, size, value)


def _plugged(bench: Bench) -> tuple[_Probe, PciDevice, Region]:
    probe = _Probe(bench.port)
    device = bench.machine.plug(probe)
    region = device.bar(0)
    if region is None:
        raise Broken("the guest finds no registers")
    same("the size of the registers' window", region.size, probe.size)
    return probe, device, region


def _accesses_reach_the_device_once(bench: Bench) -> None:
    probe, device, region = _plugged(bench)
    for offset, size in ((0, 4), (0x10, 1), (0x22, 2), (0x30, 8), (0x41, 1), (0x1000, 4), (16 * MIB - 8, 8)):
        value = int.from_bytes(bytes(range(0x81, 0x81 + size)), "little")
        region.write(offset, size, value)
        same(f"{size} bytes at {offset:#x} in the device", probe.load(offset, size), value)
        reads = probe.reads
        same(f"{size} bytes read at {offset:#x}", region.read(offset, size), value)
        same(f"bytes that the device was asked for at {offset:#x}", probe.reads - reads, size)
    region.write32(0x2000, 0xDEADBEEF)
    same("a dword", region.read32(0x2000), 0xDEADBEEF)
    places = [offset & ~7 for offset in probe.order]
    seen = [place for place, last in zip(places, [-1, *places], strict=False) if place != last]
    same("the order of the writes", seen, [0, 0x10, 0x20, 0x30, 0x40, 0x1000, 16 * MIB - 8, 0x2000])
    for offset, size in ((0, 4), (0x10, 2), (0x13, 1), (0x104, 4), (4092, 4)):
        value = int.from_bytes(bytes(range(0x91, 0x91 + size)), "little")
        device.config.write(offset, size, value)
        same(f"{size} bytes of configuration space at {offset:#x}", device.config.read(offset, size), value)
        same(f"{size} bytes of configuration space at {offset:#x} in the device", probe.config.read(offset, size), value)


def _interrupts_go_to_who_listens(bench: Bench) -> None:
    port = bench.port
    heard: list[str] = []
    same("an interrupt while nobody listens", port.inject_msi(), False)
    port.connect_msi(lambda: heard.append("first"))
    same("an interrupt", port.inject_msi(), True)
    port.connect_msi(lambda: heard.append("second"))
    port.inject_msi()
    port.connect_msi(None)
    same("an interrupt when nobody listens any more", port.inject_msi(), False)
    same("who was interrupted", heard, ["first", "second"])


def _a_guest_may_be_interrupted_by_its_own_access(bench: Bench) -> None:
    probe, device, region = _plugged(bench)
    heard: list[int] = []

    def handler() -> None:
        region.write32(0x200, 7)
        heard.append(region.read32(0x200))

    device.on_interrupt(handler)
    probe.interrupts_at = 0x100
    region.write32(0x100, 1)
    region.write32(0x100, 2)
    same("what the handler read of the device", heard, [7, 7])
    same("what was written meanwhile", region.read32(0x100), 2)


DEVICE_RULES: Final[Rules[Bench]] = (
    Rule("accesses reach the device once, and in order", _accesses_reach_the_device_once),
    Rule("interrupts go to who listens", _interrupts_go_to_who_listens),
    Rule("a guest may be interrupted by its own access", _a_guest_may_be_interrupted_by_its_own_access),
)
