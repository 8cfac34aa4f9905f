"""A guest made by hand: a vGPU with page tables, contexts and rings in its machine's memory, and what it is told.

Nothing of the Python driver is used: entries, images and submissions are written as a guest writes them, through BAR0 and RAM.
"""

from __future__ import annotations

from collections.abc import Sequence

from host_model.device.mmio.window import GTT_OFFSET
from host_model.host import Host, PluggedVgpu
from pvinfo.context_image import CONTEXT_CONTROL_FIRST_RUN, STATE_OFFSET, context_image
from pvinfo.execlist import CONTEXT_STATUS_OFFSET, CONTEXT_STATUS_WRITE_OFFSET, ContextDescriptor, Submission
from pvinfo.page import PVINFO_BASE
from pvinfo.pci import COMMAND, Command, MsiControl
from pvinfo.platform import ENGINES, Engine
from pvinfo.register import masked_bits
from pvinfo.registers.engine import EngineMode, EngineRegisters
from pvinfo.registers.interrupt import InterruptGroup, MasterInterrupt
from pvinfo.units import MIB, PAGE_SIZE, GraphicsAddress, GuestAddress

__all__ = ("GuestContext", "GuestRig", "batch_start", "store", "user_interrupt")

PRESENT_WRITABLE = 3
_ALL = 0xFFFFFFFF
_RUN_LIST = EngineMode.run_list_enable.mask


def store(address: int, value: int) -> tuple[int, ...]:
    """MI_STORE_DATA_IMM through the process's tables."""
    return (0x10000002, address & _ALL, address >> 32, value)


def user_interrupt() -> tuple[int, ...]:
    """MI_USER_INTERRUPT, and a no-operation that keeps the tail even."""
    return (0x01000000, 0)


def batch_start(address: int) -> tuple[int, ...]:
    """MI_BATCH_BUFFER_START through the process's tables, which is without privilege; and a no-operation."""
    return (0x18800101, address & _ALL, address >> 32, 0)


class GuestRig:
    """One vGPU and its guest. Pages of RAM and of graphics memory are handed out in turn."""

    def __init__(self, host: Host, plugged: PluggedVgpu | None = None) -> None:
        self.host = host
        self.vgpu, self.machine = plugged if plugged is not None else host.plug(ram_size=4 * MIB)
        self.ram = self.machine.memory
        self._next_page = 16 * PAGE_SIZE
        self._next_address = int(self.vgpu.resources.low.start)
        self.events: list[tuple[Engine, int, int]] = []
        """Status events in the order in which they were seen: engine, status, context id."""
        self.told: list[int] = []
        """What stood in GT0 to GT3 at each interrupt, together."""
        self._seen = dict.fromkeys(self.vgpu.platform.engines, 5)
        self.vgpu.mmio.read(PVINFO_BASE, 8)
        self.status = {engine: self.allocate(1) for engine in self.vgpu.platform.engines}
        self._set_up()

    def _set_up(self) -> None:
        mmio, config = self.vgpu.mmio, self.vgpu.config
        assert config.msi_capability is not None
        config.write(COMMAND, 2, Command.of(memory=True, master=True))
        config.write(config.msi_capability + 2, 2, MsiControl.of(enable=True))
        self.vgpu.on_interrupt(self._interrupted)
        for group in ("GT0", "GT1", "GT3"):
            mmio.write32(InterruptGroup.imr.at(group), 0)
            mmio.write32(InterruptGroup.ier.at(group), _ALL)
        mmio.write32(MasterInterrupt.control.at(), 1 << 31)
        for engine, address in self.status.items():
            base = ENGINES[engine].base
            mmio.write32(base + EngineRegisters.hws_pga.offset, address)
            mmio.write32(base + EngineRegisters.imr.offset, 0)
            self.enable(engine)

    def enable(self, engine: Engine) -> None:
        """Choose execlists; the next event is number 0, and the status page is made to say so."""
        self.write(self.at(self.status[engine]) + CONTEXT_STATUS_WRITE_OFFSET, [5])
        self.vgpu.mmio.write32(ENGINES[engine].base + EngineRegisters.mode.offset, masked_bits(_RUN_LIST))
        self._seen[engine] = 5

    # ---- another host ----

    def __getstate__(self) -> dict[str, object]:
        """What the guest itself knows: where its things are, and what it was told."""
        return {name: value for name, value in self.__dict__.items() if name not in ("host", "vgpu", "machine", "ram")}

    def take_over(self, host: Host, plugged: PluggedVgpu) -> None:
        """Go on where the guest has stopped, in another machine of the same memory."""
        self.host = host
        self.vgpu, self.machine = plugged
        self.ram = self.machine.memory
        self.vgpu.on_interrupt(self._interrupted)
        self.vgpu.standstill.end()

    # ---- memory ----

    def page(self) -> int:
        """A page of RAM."""
        self._next_page += PAGE_SIZE
        return self._next_page - PAGE_SIZE

    def map(self, address: int, ram: int) -> None:
        """Write the table entry of a page of graphics memory."""
        self.vgpu.mmio.write(GTT_OFFSET + (address >> 12) * 8, 8, ram | PRESENT_WRITABLE)

    def allocate(self, pages: int) -> GraphicsAddress:
        """Graphics memory with RAM behind it."""
        address = self._next_address
        for _ in range(pages):
            self.map(self._next_address, self.page())
            self._next_address += PAGE_SIZE
        return GraphicsAddress(address)

    def at(self, address: int) -> GuestAddress:
        """Where in RAM a graphics address lies."""
        found = self.vgpu.ggtt.translate(GraphicsAddress(address))
        assert found is not None
        return found

    def read32(self, ram: int) -> int:
        return int.from_bytes(self.ram.read(GuestAddress(ram), 4), "little")

    def write(self, ram: int, dwords: Sequence[int]) -> None:
        self.ram.write(GuestAddress(ram), b"".join(dword.to_bytes(4, "little") for dword in dwords))

    def write64(self, ram: int, value: int) -> None:
        self.ram.write(GuestAddress(ram), value.to_bytes(8, "little"))

    # ---- work ----

    def submit(self, first: GuestContext, second: GuestContext | None = None) -> None:
        """Four writes to the port of the contexts' engine."""
        elsp = ENGINES[first.engine].base + EngineRegisters.elsp.offset
        for dword in Submission.loading(first.descriptor(), second.descriptor() if second is not None else None):
            self.vgpu.mmio.write32(elsp, dword)

    def wait(self, duration_ns: int = 1_000_000) -> None:
        self.machine.clock.wait_ns(duration_ns)

    # ---- what the guest is told ----

    def _interrupted(self) -> None:
        mmio = self.vgpu.mmio
        mmio.write32(MasterInterrupt.control.at(), 0)
        identity = 0
        for group in ("GT0", "GT1", "GT3"):
            bits = mmio.read32(InterruptGroup.iir.at(group))
            mmio.write32(InterruptGroup.iir.at(group), bits)
            identity |= bits
        self.told.append(identity)
        self.take_events()
        mmio.write32(MasterInterrupt.control.at(), 1 << 31)

    def take_events(self) -> None:
        """Read what is new in the status pages."""
        for engine, address in self.status.items():
            page = self.at(address)
            newest = self.read32(page + CONTEXT_STATUS_WRITE_OFFSET)
            while self._seen[engine] != newest and newest < 6:
                self._seen[engine] = (self._seen[engine] + 1) % 6
                entry = page + CONTEXT_STATUS_OFFSET + 8 * self._seen[engine]
                self.events.append((engine, self.read32(entry), self.read32(entry + 4)))


class GuestContext:
    """A context: image, ring, and an address space of four levels."""

    def __init__(self, rig: GuestRig, context_id: int, engine: Engine = Engine.BCS0, *, ring_pages: int = 1) -> None:
        self.rig = rig
        self.engine = engine
        self.context_id = context_id
        self.layout = context_image(rig.vgpu.platform.graphics_version, engine)
        self.image = rig.allocate(rig.vgpu.platform.context_pages[engine])
        self.ring = rig.allocate(ring_pages)
        self.ring_size = ring_pages * PAGE_SIZE
        self.root = rig.page()
        self._tables: dict[tuple[int, int], int] = {}
        self.tail = 0
        values = {
            "context_control": CONTEXT_CONTROL_FIRST_RUN, "start": self.ring, "control": (ring_pages - 1) << 12 | 1,
            "pdp_lo[0]": self.root & _ALL, "pdp_hi[0]": self.root >> 32,
        }  # fmt: skip
        rig.ram.write(rig.at(self.image + STATE_OFFSET), self.layout.fresh_page(ENGINES[engine].base, values.items()))

    def descriptor(self, **fields: int) -> ContextDescriptor:
        return ContextDescriptor.naming(self.image, self.context_id, **fields)

    def value(self, name: str) -> int:
        """A register's value in the image."""
        return self.rig.read32(self.rig.at(self.image + self.layout.value_offset(name)))

    def set(self, name: str, value: int) -> None:
        """Change a register's value in the image."""
        self.rig.write(self.rig.at(self.image + self.layout.value_offset(name)), [value])

    def write(self, *dwords: int) -> int:
        """Append commands to the ring, an even number of dwords, and move the tail in the image; returns where they begin."""
        first = self.tail
        for dword in dwords:
            self.rig.write(self.rig.at(self.ring + self.tail), [dword])
            self.tail = (self.tail + 4) % self.ring_size
        self.set("tail", self.tail)
        return first

    def map(self, address: int, ram: int) -> None:
        """Map a page of the process to a page of RAM."""
        table = self.root
        for level in (3, 2, 1):
            key = (level, address >> 12 + 9 * level)
            if key not in self._tables:
                self._tables[key] = self.rig.page()
                self.rig.write64(table + 8 * (address >> 12 + 9 * level & 511), self._tables[key] | PRESENT_WRITABLE)
            table = self._tables[key]
        self.rig.write64(table + 8 * (address >> 12 & 511), ram | PRESENT_WRITABLE)
