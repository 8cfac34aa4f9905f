"""What a driver lays out before it submits anything: tables, contexts, rings, status pages, all legal.

Graphics memory maps every window of host memory. A process's space reaches the surfaces of :mod:`support.blit_script`,
batches, large pages of every size, all memory by a page of 1 GiB, and its own tables by an entry that points back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from pvinfo.context_image import CONTEXT_CONTROL_FIRST_RUN, context_image
from pvinfo.execlist import AddressingMode, ContextDescriptor
from pvinfo.platform import ENGINES, Engine, Platform
from pvinfo.units import PAGE_SIZE, GraphicsAddress

from ..blit_script import OPERANDS, SURFACES

__all__ = ("BATCHES", "BATCH_PAGES", "CONTEXTS", "FAR_PAGES", "HOST_PLAN", "LARGE_PAGES", "LARGE_SPACE", "NEAR_PAGES", "RING_SIZE", "ROM_PAGES", "SMALL_SPACE", "Ground", "Memory", "Place", "Plan")

CONTEXTS: Final = 3
"""Of each engine."""
RING_SIZE: Final = 2 * PAGE_SIZE
BATCHES: Final = 0x1_0000
"""Where batches are in a process's space."""
BATCH_PAGES: Final = 16

NEAR_PAGES, FAR_PAGES, LARGE_PAGES, ROM_PAGES = 128, 32, 512, 8
_TABLES: Final = 52
_SURFACE_PAGES: Final = 16
_FAR_TABLE, _FAR_BATCHES, _FAR_RINGS = 16, 17, 21
_NEAR_BATCHES: Final = 12
_BOUNDLESS: Final = 112
_WHOLE_IMAGE: Final = 24
"""Pages, or a few more than a render context has."""
_LARGE_IN_TABLE: Final = 16
"""Pages of the large stretch that graphics memory shows under a mediator, besides images: each device reset has them written anew."""
LARGE_SPACE, SMALL_SPACE = 0x1_4000_0000, 0x1_8000_0000
"""Two stretches of 1 GiB of a process's space where something is mapped everywhere: large pages, and small ones that are strewn about."""
_BITS: Final = 3
_PS, _IPS = 1 << 7, 1 << 11


class Place(NamedTuple):
    """A page of memory, by the names that it has."""

    bus: int
    graphics: int


class Plan(NamedTuple):
    """Where each stretch of memory begins."""

    near: Place
    """What is always there."""
    far: Place
    """What comes and goes."""
    large: Place
    """2 MiB in one piece."""
    rom: Place
    mediated: bool
    """Under a mediator: context images have all their pages, and there are no page-table entries of 1 GiB."""

    def pages(self) -> Iterator[Place]:
        """All of them that graphics memory shows."""
        for first, count in zip(self[:4], (NEAR_PAGES, FAR_PAGES, LARGE_PAGES, ROM_PAGES), strict=True):
            hidden = range(_LARGE_IN_TABLE, LARGE_PAGES - _WHOLE_IMAGE * CONTEXTS) if self.mediated else ()
            for page in range(count):
                if page in hidden and count == LARGE_PAGES:
                    continue
                yield Place(first.bus + page * PAGE_SIZE, first.graphics + page * PAGE_SIZE)


HOST_PLAN: Final = Plan(
    Place(0x0010_0000, 0x10_0000), Place(0x40_0000_0000, 0x20_0000), Place(0x0800_0000, 0x80_0000), Place(0x2000_0000, 0x24_0000), mediated=False
)
"""Far from each other in host memory."""


class Memory(Protocol):
    """What it is all laid out in."""

    def poke(self, address: int, data: bytes) -> None:
        """Store as the processor does."""

    def peek(self, address: int, size: int) -> bytes:
        """Read as the processor does."""


class Ground:
    """Where everything is, on one platform."""

    def __init__(self, platform: Platform, memory: Memory, plan: Plan = HOST_PLAN) -> None:
        self.platform = platform
        self.memory = memory
        self.plan = plan
        self.status_pages = {engine: self.near(number) for number, engine in enumerate(platform.engines)}
        self.pml4, self.directories, self.directory, self.first, self.second, self.third, self.of_64k, self.far_directories, self.far_directory = (
            self.near(_TABLES + number) for number in range(9)
        )
        self.tables = (
            self.pml4, self.directories, self.directory, self.first, self.second, self.third, self.of_64k, self.far_directories,
            self.far_directory, self.distant(_FAR_TABLE),
        )  # fmt: skip
        self.batches = [self.near(100 + page) for page in range(_NEAR_BATCHES)] + [
            self.distant(_FAR_BATCHES + page) for page in range(BATCH_PAGES - _NEAR_BATCHES)
        ]
        self.entries: tuple[tuple[int, int], ...] = tuple((place.graphics // PAGE_SIZE, place.bus | 1) for place in plan.pages())
        """The global table: page of graphics memory and entry."""
        self.addresses = (
            *SURFACES, OPERANDS, *(BATCHES + page * PAGE_SIZE for page in range(BATCH_PAGES)), 0x0400_0000, 0x0420_0000, 0xC010_0000,
            0xC800_0000, 0x1_3C00_0000, 0xFFFF_FFFF_F000, 0x1000_0000, 0x4_0000, 0xE000_0000, 0x24_0000, 0x80_0000, LARGE_SPACE, SMALL_SPACE,
            *(SURFACES[2] + page * PAGE_SIZE for page in range(0, _SURFACE_PAGES, 5)),
        )  # fmt: skip
        """Addresses of a process's space that lead somewhere, or nearly."""

    def near(self, page: int) -> Place:
        """Page of the memory that is always there."""
        first = self.plan.near
        return Place(first.bus + page * PAGE_SIZE, first.graphics + page * PAGE_SIZE)

    def distant(self, page: int) -> Place:
        """Page of the memory that comes and goes."""
        first = self.plan.far
        return Place(first.bus + page * PAGE_SIZE, first.graphics + page * PAGE_SIZE)

    def _number(self, engine: Engine, context: int) -> int:
        return self.platform.engines.index(engine) * CONTEXTS + context

    def image(self, engine: Engine, context: int) -> Place:
        """First page of a context's image."""
        if self.plan.mediated and engine is Engine.RCS0:
            first, page = self.plan.large, LARGE_PAGES - _WHOLE_IMAGE * (context + 1)
            return Place(first.bus + page * PAGE_SIZE, first.graphics + page * PAGE_SIZE)
        return self.near(4 + 4 * self._number(engine, context))

    def ring(self, engine: Engine, context: int) -> Place:
        """Where a context's ring begins; the last one's is in memory that comes and goes."""
        if context == CONTEXTS - 1:
            return self.distant(_FAR_RINGS + 2 * self.platform.engines.index(engine))
        return self.near(6 + 4 * self._number(engine, context))

    # ---- memory ----

    def table_entries(self) -> list[tuple[int, int]]:
        """The page tables: bus address of each entry, and the entry."""
        found: list[tuple[int, int]] = []
        large, rom = self.plan.large.bus, self.plan.rom.bus

        def put(table: Place, index: int, bus: int, bits: int = _BITS) -> None:
            found.append((table.bus + 8 * index, bus | bits))

        put(self.pml4, 0, self.directories.bus)
        put(self.pml4, SURFACES[2] >> 39, self.far_directories.bus)
        put(self.pml4, 511, self.pml4.bus)
        put(self.directories, 0, self.directory.bus)
        put(self.directories, 1, self.directory.bus)
        if not self.plan.mediated:
            put(self.directories, 2, 1 << 30, _BITS | _PS)
            put(self.directories, 3, 0, _BITS | _PS)
            put(self.directories, 4, 1 << 30, _BITS | _PS)
        put(self.directories, LARGE_SPACE >> 30, self.near(_BOUNDLESS).bus)
        put(self.directories, SMALL_SPACE >> 30, self.near(_BOUNDLESS + 1).bus)
        put(self.directory, 0, self.first.bus)
        put(self.directory, SURFACES[1] >> 21, self.second.bus)
        put(self.directory, OPERANDS >> 21, self.third.bus)
        put(self.directory, 32, large, _BITS | _PS)
        put(self.directory, 33, self.of_64k.bus, _BITS | _IPS)
        put(self.directory, 128, self.directory.bus)
        put(self.far_directories, 0, self.far_directory.bus)
        put(self.far_directory, 0, self.distant(_FAR_TABLE).bus)
        for page in range(_SURFACE_PAGES):
            put(self.first, SURFACES[0] // PAGE_SIZE + page, self.near(64 + 5 * page % 16).bus)
            put(self.second, page, self.near(80 + page).bus if page < 12 else rom + page % 4 * PAGE_SIZE)
            put(self.distant(_FAR_TABLE), page, self.distant(3 * page % 16).bus)
        for page in range(4):
            put(self.third, page, self.near(96 + page).bus, 1)
            put(self.first, 64 + page, rom + page * PAGE_SIZE)
        for number, batch in enumerate(self.batches):
            put(self.first, BATCHES // PAGE_SIZE + number, batch.bus)
        for part in range(32):
            put(self.of_64k, 16 * part, large + part * 0x1_0000)
        return found

    def lay_tables(self) -> None:
        """Write all page tables."""
        for table in self.tables:
            self.memory.poke(table.bus, bytes(PAGE_SIZE))
        for bus, entry in self.table_entries():
            self.memory.poke(bus, entry.to_bytes(8, "little"))
        large, small, pages = (self.near(_BOUNDLESS + number) for number in range(3))
        self.memory.poke(large.bus, (self.plan.large.bus | _BITS | _PS).to_bytes(8, "little") * 512)
        self.memory.poke(small.bus, (pages.bus | _BITS).to_bytes(8, "little") * 512)
        self.memory.poke(pages.bus, b"".join([(self.near(64 + 5 * page % 32).bus | _BITS).to_bytes(8, "little") for page in range(512)]))

    def image_values(self, engine: Engine, context: int) -> dict[str, int]:
        """What the image of a fresh context holds."""
        values = {"context_control": CONTEXT_CONTROL_FIRST_RUN, "start": self.ring(engine, context).graphics, "control": RING_SIZE - PAGE_SIZE | 1}
        root = self.pml4.bus if context != 1 else self.directory.bus
        return values | {"pdp_lo[0]": root & 0xFFFFFFFF, "pdp_hi[0]": root >> 32} | (
            {f"pdp_lo[{number}]": root for number in (1, 2, 3)} if context == 1 else {}
        )

    def lay_image(self, engine: Engine, context: int, changed: dict[str, int] | None = None) -> None:
        """Write the image of a fresh context, with some values changed."""
        layout = context_image(self.platform.graphics_version, engine)
        values = self.image_values(engine, context) | {name: value for name, value in (changed or {}).items() if layout.has(name)}
        place = self.image(engine, context)
        self.memory.poke(place.bus, bytes(PAGE_SIZE))
        self.memory.poke(place.bus + PAGE_SIZE, layout.fresh_page(ENGINES[engine].base, values.items()))

    def descriptor(self, engine: Engine, context: int, **fields: int) -> ContextDescriptor:
        """The legal descriptor of a context; the second has three levels of tables."""
        if context == 1:
            fields = {"addressing_mode": AddressingMode.LEGACY_32_BIT} | fields
        return ContextDescriptor.naming(GraphicsAddress(self.image(engine, context).graphics), self._number(engine, context) + 1 << 5, **fields)
