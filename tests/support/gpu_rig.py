"""A bench for one GPU engine: memory, a GGTT, page tables, contexts with rings, and a record of what it tells.

The engine stands alone: its register bus is plain storage with a few masked registers, its interrupts are a list. Memory
is one RAM; pages are handed out in turn and mapped where a test wants them.
"""

from __future__ import annotations

from collections.abc import Sequence

from host_model.clock import HostClock, VirtualClock
from host_model.device.mmio.registers import RegisterPage
from host_model.gpu.engine import Activity, Engine
from host_model.gpu.translation import GlobalSpace
from host_model.hypervisor.local import Ram
from host_model.memory import HostMemory
from pvinfo.context_image import CONTEXT_CONTROL_FIRST_RUN, STATE_OFFSET, ContextImage, context_image
from pvinfo.execlist import ContextDescriptor, Submission
from pvinfo.finding import FindingLog
from pvinfo.platform import ENGINES, PLATFORMS
from pvinfo.platform import Engine as EngineName
from pvinfo.registers.engine import EngineInterrupt, EngineMode, EngineRegisters
from pvinfo.units import PAGE_SIZE, BusAddress, GraphicsAddress, GuestAddress

__all__ = ("EVENT_NAMES", "GpuRig", "RigBus", "RigContext", "Tables")

PRESENT_WRITABLE = 3
READ_ONLY = 1
PS = 1 << 7
IPS = 1 << 11

EVENT_NAMES = {field.mask: field.name for field in EngineInterrupt.bit_fields}


class RigBus:
    """Registers as commands see them: storage, and the order of writes. Some are masked, as the engine's modes are."""

    def __init__(self, page: RegisterPage) -> None:
        self.page = page
        self.writes: list[tuple[int, int]] = []
        self.masked: set[int] = set()

    def read32(self, offset: int, /) -> int:
        return self.page.read32(offset)

    def write32(self, offset: int, value: int, /) -> None:
        self.writes.append((offset, value))
        if offset in self.masked:
            enabled = value >> 16
            value = self.page.read32(offset) & ~enabled | value & enabled
        self.page.write32(offset, value)


class Tables:
    """Four-level page tables in the rig's memory, made as pages are mapped."""

    def __init__(self, rig: GpuRig) -> None:
        self._rig = rig
        self.root = rig.page()
        self._known: dict[tuple[int, int], BusAddress] = {}

    def entries(self, table: BusAddress) -> memoryview:
        """The 512 entries of a table."""
        page = self._rig.memory.page(table)
        assert page is not None
        return page.cast("Q")

    def table(self, address: int, level: int, flags: int = PRESENT_WRITABLE) -> BusAddress:
        """The table of ``level`` on the way to ``address``."""
        if level == 3:
            return self.root
        key = (level, address >> 12 + 9 * (level + 1))
        if key not in self._known:
            self._known[key] = self._rig.page()
            self.set(address, level + 1, self._known[key] | flags)
        return self._known[key]

    def set(self, address: int, level: int, entry: int) -> None:
        """Write the entry for ``address`` in its table of ``level``."""
        self.entries(self.table(address, level))[address >> 12 + 9 * level & 511] = entry

    def map(self, address: int, bus: int, *, pages: int = 1, flags: int = PRESENT_WRITABLE) -> None:
        """Map 4 KiB pages that follow each other on the bus."""
        for index in range(pages):
            self.set(address + index * PAGE_SIZE, 0, bus + index * PAGE_SIZE | flags)


class RigContext:
    """A context: image, ring and address space. ``write`` adds commands at the tail."""

    def __init__(self, rig: GpuRig, context_id: int, *, ring_pages: int = 1, inhibit: bool = True) -> None:
        self.rig = rig
        self.context_id = context_id
        self.layout: ContextImage = context_image(rig.platform.graphics_version, rig.name)
        self.tables = Tables(rig)
        self.image = rig.allocate(rig.platform.context_pages[rig.name])
        self.ring = rig.allocate(ring_pages)
        self.ring_size = ring_pages * PAGE_SIZE
        self.tail = 0
        values = {
            "context_control": CONTEXT_CONTROL_FIRST_RUN if inhibit else CONTEXT_CONTROL_FIRST_RUN & ~1,
            "start": self.ring, "control": (ring_pages - 1) << 12 | 1, "pdp_lo[0]": self.tables.root & 0xFFFFFFFF, "pdp_hi[0]": self.tables.root >> 32,
        }  # fmt: skip
        page = self.layout.fresh_page(ENGINES[rig.name].base, values.items())
        rig.ggtt.write(self.image + STATE_OFFSET, page)

    def value(self, name: str) -> int:
        """A register's value in the image."""
        return self.rig.ggtt.read32(self.image + self.layout.value_offset(name))

    def set(self, name: str, value: int) -> None:
        """Change a register's value in the image."""
        self.rig.ggtt.write32(self.image + self.layout.value_offset(name), value)

    def write(self, *dwords: int) -> int:
        """Append commands to the ring and move the tail in the image; returns where they begin, as offset in the ring."""
        first = self.tail
        for dword in (*dwords, 0) if len(dwords) % 2 else dwords:
            self.rig.ggtt.write32(self.ring + self.tail, dword)
            self.tail = (self.tail + 4) % self.ring_size
        self.set("tail", self.tail)
        return first

    def descriptor(self, **fields: int) -> ContextDescriptor:
        return ContextDescriptor.naming(GraphicsAddress(self.image), self.context_id, **fields)

    def map(self, address: int, pages: int = 1, flags: int = PRESENT_WRITABLE) -> BusAddress:
        """Fresh memory at ``address`` of the context's space."""
        bus = self.rig.page(pages)
        self.tables.map(address, bus, pages=pages, flags=flags)
        return bus

    def batch(self, address: int, *dwords: int) -> None:
        """Put commands at ``address`` of the context's space, mapping memory there first."""
        bus = self.map(address & ~0xFFF, (4 * len(dwords) + (address & 0xFFF)) // PAGE_SIZE + 1)
        self.rig.poke(bus + (address & 0xFFF), *dwords)


class GpuRig:
    """One engine on a bench."""

    def __init__(
        self, name: EngineName = EngineName.RCS0, platform: str = "skl", *, clock: HostClock | None = None,
        ram_pages: int = 4096, ggtt_pages: int = 4096, memory: HostMemory | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.platform = PLATFORMS[platform]
        self.clock = clock if clock is not None else VirtualClock()
        self.memory = memory if memory is not None else HostMemory()
        self.ram = Ram(ram_pages * PAGE_SIZE)
        self.base = self.memory.attach(self.ram)
        self._next_page = 1
        self.entries = memoryview(bytearray(8 * ggtt_pages)).cast("Q")
        self._next_graphics_page = 1
        self.ggtt = GlobalSpace(self.entries, self.memory)
        self.registers = RegisterPage()
        self.bus = RigBus(self.registers)
        self.findings = FindingLog(0)
        self.told: list[str] = []
        self.engine = self.add_engine(name)
        self.status_page = self.allocate(1)
        self.open(self.engine)

    def add_engine(self, name: EngineName) -> Engine:
        """Another engine on the same memory, GGTT and registers."""
        return Engine(
            name, self.platform, self.clock, self.memory, self.ggtt, self.registers.dwords, self.bus,
            lambda event: self.told.append(EVENT_NAMES[event]), self.findings,
        )  # fmt: skip

    def open(self, engine: Engine) -> None:
        """What a driver does at resume: status page, execlists."""
        registers = EngineRegisters(self.registers, engine.base)
        registers.hws_pga = self.status_page
        registers.mode = EngineMode.of(run_list_enable=True)
        registers.emr = type(registers.emr)(0xFFFFFFFE)

    # ---- memory ----

    def page(self, pages: int = 1) -> BusAddress:
        """Fresh pages of memory that follow each other."""
        bus = BusAddress(self.base + self._next_page * PAGE_SIZE)
        self._next_page += pages
        return bus

    def allocate(self, pages: int) -> int:
        """Fresh pages of memory, mapped in the GGTT; their graphics address."""
        bus = self.page(pages)
        first = self._next_graphics_page
        for index in range(pages):
            self.entries[first + index] = bus + index * PAGE_SIZE | 1
        self._next_graphics_page += pages
        return first * PAGE_SIZE

    def start_over(self, page: int) -> None:
        """Hand out the memory and the graphics memory from ``page`` on again."""
        self._next_page = self._next_graphics_page = page

    def peek(self, bus: int, count: int = 1) -> list[int]:
        """Dwords at a bus address."""
        return list(memoryview(self.ram.read(GuestAddress(bus - self.base), 4 * count)).cast("I"))

    def poke(self, bus: int, *dwords: int) -> None:
        """Store dwords at a bus address."""
        self.ram.write(GuestAddress(bus - self.base), memoryview(bytearray(4 * len(dwords))) if not dwords else _bytes(dwords))

    # ---- work ----

    def submit(self, *contexts: RigContext | ContextDescriptor) -> None:
        """Write a submission of one or two contexts to the port."""
        elements = [context.descriptor() if isinstance(context, RigContext) else context for context in contexts]
        for dword in Submission.loading(*elements):
            self.engine.write_port(dword)

    def run(self, duration_ns: int = 10_000_000) -> None:
        """Let virtual time pass."""
        assert isinstance(self.clock, VirtualClock)
        self.clock.wait_ns(duration_ns)

    def execute(self, *dwords: int, context: RigContext | None = None) -> RigContext:
        """Run commands in the ring of a context to the end; a new one unless one is given."""
        context = context if context is not None else RigContext(self, 0x20)
        context.write(*dwords)
        self.submit(context)
        self.run()
        return context

    @property
    def done(self) -> bool:
        """The engine has nothing to do any more."""
        return self.engine.activity is Activity.IDLE

    def register(self, offset: int) -> int:
        """A register of the engine, by its offset from the base."""
        return self.registers.read32(self.engine.base + offset)

    def events(self) -> list[tuple[int, int]]:
        """Status and context of every event since the last call, as the status page has them; entries are taken as drivers do."""
        taken: list[tuple[int, int]] = []
        newest = self.ggtt.read32(self.status_page + 0x7C)
        while self._read_pointer != newest:
            self._read_pointer = (self._read_pointer + 1) % 6 if self._read_pointer < 6 else 0
            entry = self.status_page + 0x40 + 8 * self._read_pointer
            taken.append((self.ggtt.read32(entry), self.ggtt.read32(entry + 4)))
            self.ggtt.write64(entry, 0xFFFFFFFFFFFFFFFF)
        return taken

    _read_pointer = 7

    def watch_events(self) -> None:
        """Begin reading events, as a driver does after a reset."""
        self._read_pointer = 5
        self.ggtt.write32(self.status_page + 0x7C, 5)


def _bytes(dwords: Sequence[int]) -> bytes:
    return b"".join(dword.to_bytes(4, "little") for dword in dwords)
