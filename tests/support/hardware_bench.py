"""A bench for the mediator's side of the physical GPU: the GPU behind its guard, vGPUs that are no more than registers and
a machine, and contexts made by hand as the mediator makes its shadow contexts."""

from __future__ import annotations

from host_model.clock import VirtualClock
from host_model.device.mmio.registers import RegisterPage
from host_model.gpu.device import PhysicalGpu
from host_model.hypervisor.local import LocalPort, Ram
from host_model.isolation import GuardedMemory
from host_model.mediator.hardware.hardware import Hardware
from host_model.memory import HostMemory
from pvinfo.context_image import CONTEXT_CONTROL_FIRST_RUN, STATE_OFFSET, context_image
from pvinfo.execlist import ContextDescriptor
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.units import MIB, PAGE_SIZE, BusAddress, GraphicsAddress, GuestAddress

__all__ = ("Bench", "MadeContext", "Occupant")

PRESENT_WRITABLE = 3


class Occupant:
    """What of a vGPU the hardware sees. Its machine has 64 pages."""

    def __init__(self, number: int, memory: HostMemory) -> None:
        self.number = number
        self.registers = RegisterPage()
        self.ram = Ram(64 * PAGE_SIZE)
        self.port = LocalPort(self.ram, memory)

    def pin(self, address: int) -> BusAddress:
        """The bus address of a page of its RAM, pinned."""
        bus = self.port.map_guest_page(GuestAddress(address))
        assert bus is not None
        return bus


class Bench:
    """A GPU and the mediator's hold on it."""

    def __init__(self, platform: str = "skl", *, aperture_size: int = 256 * MIB) -> None:
        self.clock = VirtualClock()
        self.memory = HostMemory()
        self.guard = GuardedMemory(self.memory)
        self.platform = PLATFORMS[platform]
        self.gpu = PhysicalGpu(self.platform, aperture_size, self.guard, self.clock, engine_memory=self.guard.engine)
        self.hardware = Hardware(self.gpu, self.memory, self.guard)

    def occupant(self, number: int) -> Occupant:
        return Occupant(number, self.memory)

    def run(self, duration_ns: int = 5_000_000) -> None:
        """Let virtual time pass."""
        self.clock.wait_ns(duration_ns)

    def rules(self) -> set[str]:
        """What the GPU has to say of the work it was given."""
        return {finding.rule for finding in self.gpu.findings}


class MadeContext:
    """A context with a ring of one page and four levels of tables, in buffers that serve vGPU ``owner``."""

    def __init__(self, bench: Bench, engine: Engine = Engine.RCS0, *, owner: int = 0, context_id: int = 0x20, inhibit: bool = True) -> None:
        self._bench = bench
        self._owner = owner
        self.engine = engine
        self.context_id = context_id
        memory = bench.hardware.memory
        self.image = memory.allocate(bench.platform.context_pages[engine] * PAGE_SIZE, owner)
        self.ring = memory.allocate(PAGE_SIZE, owner)
        self.tables = [bench.memory.allocate(1, owner) for _ in range(4)]
        for upper, lower in zip(self.tables, self.tables[1:], strict=False):
            upper.bytes.cast("Q")[0] = lower.address | PRESENT_WRITABLE
        self.layout = context_image(bench.platform.graphics_version, engine)
        root = self.tables[0].address
        values = {
            "context_control": CONTEXT_CONTROL_FIRST_RUN if inhibit else CONTEXT_CONTROL_FIRST_RUN & ~1,
            "start": self.ring.address, "control": 1, "pdp_lo[0]": root & 0xFFFFFFFF, "pdp_hi[0]": root >> 32,
        }  # fmt: skip
        page = self.layout.fresh_page(ENGINES[engine].base, values.items())
        self.image.bytes[STATE_OFFSET : STATE_OFFSET + PAGE_SIZE] = page
        self.tail = 0

    def map(self, address: int, bus: int) -> None:
        """Map a page of the first 2 MiB of the context's space."""
        self.tables[3].bytes.cast("Q")[address >> 12] = bus | PRESENT_WRITABLE

    def write(self, *dwords: int) -> None:
        """Append commands to the ring."""
        for dword in (*dwords, 0) if len(dwords) % 2 else dwords:
            self.ring.dwords[self.tail >> 2] = dword
            self.tail = (self.tail + 4) % PAGE_SIZE
        self.image.dwords[self.layout.value_offset("tail") >> 2] = self.tail

    def value(self, name: str) -> int:
        """A register's value in the image."""
        return self.image.dwords[self.layout.value_offset(name) >> 2]

    @property
    def descriptor(self) -> ContextDescriptor:
        return ContextDescriptor.naming(GraphicsAddress(self.image.address), self.context_id, force_restore=1)

    def run(self, *dwords: int) -> bool:
        """Execute commands; whether they came to their end within 5 ms."""
        self.write(*dwords)
        done: list[int] = []
        self._bench.hardware.engines[self.engine].submit(self.descriptor, lambda: done.append(self._bench.clock.now_ns()))
        self._bench.run()
        assert len(done) < 2
        return bool(done)
