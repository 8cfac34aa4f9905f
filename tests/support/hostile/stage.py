"""A host with two guests, one of whom is hostile: their machines, their vGPUs, and what of the other one and of the host is marked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, final

from host_model.clock import VirtualClock
from host_model.host import Host
from host_model.mediator.scheduler.policy import Policy
from host_model.mediator.scheduler.registry import DEFAULT_POLICY
from host_model.mediator.scheduler.turn import PATIENCE_NS
from host_model.mediator.scheduler.turns import DEFAULT_SWITCHING
from host_model.hypervisor.local import LocalPort, Ram
from host_model.mediator.types import VgpuType
from host_model.mediator.vgpu import Vgpu
from host_model.memory import HostBlock
from pvinfo.page import PVINFO_BASE
from pvinfo.platform import Platform
from pvinfo.units import GIB, MIB, PAGE_SIZE, BusAddress, GuestAddress

from ..unreliable_port import UnreliablePort
from .ground import FAR_PAGES, NEAR_PAGES, ROM_PAGES, Ground, Place, Plan
from .machine import WatchedDevice
from .memory import SECRET

__all__ = ("RAM", "SHARES", "GuestRam", "Stage", "WatchedVgpu")

RAM: Final = 6 * MIB
APERTURE: Final = 256 * MIB
_SMALL: Final = VgpuType("small", (NEAR_PAGES + FAR_PAGES + ROM_PAGES + 184) * PAGE_SIZE, 640 * PAGE_SIZE, 4, 2, "1024x768")
SHARES: Final = (64, 256, 40, 64)
"""Pages for shadow tables: enough for all of a guest's, and not."""
_REGISTER_LOOKS: Final = 20_000
_LOOKS_FOR_EACH_TABLE: Final = 1100
"""A table of 512 entries is looked at and its pages are mapped; twice, where room is made for it meanwhile."""


@final
class GuestRam:
    """A guest's memory as its processors see it."""

    def __init__(self, ram: Ram) -> None:
        self._ram = ram

    def poke(self, address: int, data: bytes) -> None:
        """Store; where there is no memory, nothing happens."""
        if address + len(data) <= self._ram.size:
            self._ram.write(GuestAddress(address), data)

    def peek(self, address: int, size: int) -> bytes:
        """Read; nothing where there is no memory."""
        return self._ram.read(GuestAddress(address), size) if address + size <= self._ram.size else b""


def _plan(low: int, high: int) -> Plan:
    """Where a guest puts what it has."""
    return Plan(
        Place(0x10_0000, low), Place(0x20_0000, low + NEAR_PAGES * PAGE_SIZE), Place(0x40_0000, high),
        Place(0x24_0000, low + (NEAR_PAGES + FAR_PAGES) * PAGE_SIZE), mediated=True,
    )  # fmt: skip


@final
class WatchedVgpu(WatchedDevice):
    """A vGPU in a machine of its own."""

    def __init__(self, host: Host, *, track_writes: bool) -> None:
        self.host = host
        self.ram = Ram(RAM)
        self.local = LocalPort(self.ram, host.memory, track_writes=track_writes)
        self.port = UnreliablePort(self.local)
        self.vgpu: Vgpu = host.create_vgpu(_SMALL, self.port)
        bus = self.local.map_guest_page(GuestAddress(0))
        assert bus is not None
        self.local.unmap_guest_page(bus)
        self.window = bus
        """Bus address of its memory."""
        resources = self.vgpu.resources
        plan = _plan(resources.low.start, resources.high.start)
        self.register_looks = _REGISTER_LOOKS + _LOOKS_FOR_EACH_TABLE * host.mediator.shadow_pool.share
        self._guard_asked = self._guard_gave = 0
        super().__init__(Ground(host.platform, GuestRam(self.ram), plan), self.vgpu, (), host.clock)

    def watch_engines(self) -> None:
        """Count what engines do, and what they ask for."""
        guard = self.host.guard
        for way in (guard, *(guard.engine(name) for name in self.host.platform.engines)):
            for name in ("page", "span"):
                setattr(way, name, self._counted(getattr(way, name)))
        self._watch_slices(self.host.gpu.engines)

    def _counted(self, ask: Callable[..., memoryview | None]) -> Callable[..., memoryview | None]:
        def counted(*what: int) -> memoryview | None:
            self._guard_asked += 1
            view = ask(*what)
            if view is not None:
                self._guard_gave += len(view)
            return view

        return counted

    @property
    def asked(self) -> int:
        return self._guard_asked + self.port.looks + self.port.tried

    @property
    def handed_out(self) -> int:
        return self._guard_gave

    def meet(self) -> None:
        """What makes a guest one that knows GVT-g."""
        self.read(PVINFO_BASE, 8)

    def digest(self) -> str:
        """Everything that the guest can tell apart."""
        found = self._heard_so_far.copy()
        found.update(self.ram.read(GuestAddress(0), RAM))
        found.update(self.vgpu.registers.bytes)
        counts = (
            self.clock.now_ns(), self.slices, self.asked, self.vgpu.interrupts_sent, sorted(self.vgpu.resets.items()), self.port.tried,
            self.local.mapped_pages, self.host.gpu.engines.commands, list(self.vgpu.findings), self.host.mediator.turn.changes,
        )  # fmt: skip
        found.update(repr(counts).encode())
        return found.hexdigest()


def mark(ram: Ram) -> None:
    """Fill the memory that nothing is laid out in with what nobody else may ever see."""
    for start, end in ((0, 0x10_0000), (0x30_0000, 0x40_0000)):
        ram.write(GuestAddress(start), SECRET * ((end - start) // len(SECRET)))


@final
class Stage:
    """The host, the hostile guest and the other one."""

    def __init__(
        self, platform: Platform, *, track_writes: bool = True, share: int = 64, hostile_first: bool = True,
        scheduler: str | Policy = DEFAULT_POLICY, patience_ns: int = PATIENCE_NS, switching: str = DEFAULT_SWITCHING,
    ) -> None:  # fmt: skip
        self.host = Host(platform.name, aperture_size=APERTURE, ggtt_size=GIB, scheduler=scheduler, patience_ns=patience_ns, switching=switching)
        self.host.mediator.shadow_pool.share = share
        assert isinstance(self.host.clock, VirtualClock)
        if hostile_first:
            self.hostile = WatchedVgpu(self.host, track_writes=track_writes)
        self.honest = WatchedVgpu(self.host, track_writes=track_writes)
        if not hostile_first:
            self.hostile = WatchedVgpu(self.host, track_writes=track_writes)
        self.hostile.watch_engines()
        mark(self.honest.ram)
        self.marked: dict[int, bytes] = {}
        """The host's own pages that serve no vGPU, as they were, by address: they hold the secret where nothing needs them."""
        for block in self.host_blocks(0):
            block_bytes = block.bytes
            for at in range(0x100, len(block_bytes), len(SECRET)):
                block_bytes[at : at + len(SECRET)] = SECRET
            self.marked[block.address] = bytes(block_bytes)

    def host_blocks(self, owner: int) -> list[HostBlock]:
        """The host's own blocks of memory that are for vGPU ``owner``."""
        own = self.host.memory._own
        return sorted({block for block in own._at.values() if block.owner == owner}, key=lambda block: block.address)

    def host_page(self, address: int) -> memoryview | None:
        return self.host.memory.page(BusAddress(address))


def digest_of(*parts: bytes) -> str:
    """Of some bytes."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()
