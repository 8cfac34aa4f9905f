"""What a driver lays out before it submits anything: tables, contexts, rings, status pages, all legal.

Graphics memory maps every window of host memory. A process's space reaches the surfaces of :mod:`support.blit_script`,
batches, large pages of every size, all memory by a page of 1 GiB, and its own tables by an entry that points back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pvinfo.context_image import CONTEXT_CONTROL_FIRST_RUN, context_image
from pvinfo.execlist import AddressingMode, ContextDescriptor
from pvinfo.platform import ENGINES, Engine, Platform
from pvinfo.units import PAGE_SIZE, GraphicsAddress

from ..blit_script import OPERANDS, SURFACES
from .memory import GuardedMemory, Window

__all__ = ("BATCHES", "BATCH_PAGES", "CONTEXTS", "LARGE_SPACE", "RING_SIZE", "SMALL_SPACE", "Ground", "Place")

CONTEXTS: Final = 3
"""Of each engine."""
RING_SIZE: Final = 2 * PAGE_SIZE
BATCHES: Final = 0x1_0000
"""Where batches are in a process's space."""
BATCH_PAGES: Final = 16

_RAM, _LARGE, _FAR, _ROM = 0x0010_0000, 0x0800_0000, 0x40_0000_0000, 0x2000_0000
_RAM_PAGES, _LARGE_PAGES, _FAR_PAGES, _ROM_PAGES = 128, 512, 32, 8
_GRAPHICS: Final = {_RAM: 0x10_0000, _FAR: 0x20_0000, _ROM: 0x24_0000, _LARGE: 0x80_0000}
"""Where each window is in graphics memory."""
_TABLES: Final = 52
_SURFACE_PAGES: Final = 16
_FAR_TABLE, _FAR_BATCHES, _FAR_RINGS = 16, 17, 21
_NEAR_BATCHES: Final = 12
_BOUNDLESS: Final = 112
LARGE_SPACE, SMALL_SPACE = 0x1_4000_0000, 0x1_8000_0000
"""Two stretches of 1 GiB of a process's space where something is mapped everywhere: large pages, and small ones that are strewn about."""
_BITS: Final = 3
_PS, _IPS = 1 << 7, 1 << 11


class Place(NamedTuple):
    """A page of memory, by the names that it has."""

    bus: int
    graphics: int


class Ground:
    """Where everything is, on one platform."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.ram = Window(_RAM, _RAM_PAGES)
        self.far = Window(_FAR, _FAR_PAGES)
        self.large = Window(_LARGE, _LARGE_PAGES)
        self.rom = Window(_ROM, _ROM_PAGES, readonly=True)
        self.memory = GuardedMemory(self.ram, self.far, self.large, self.rom)
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
        self.entries: tuple[tuple[int, int], ...] = tuple(
            (graphics // PAGE_SIZE + page, window.base + page * PAGE_SIZE | 1)
            for window in self.memory.windows
            for graphics in (_GRAPHICS[window.base],)
            for page in range(window.size // PAGE_SIZE)
        )
        """The global table: page of graphics memory and entry."""
        self.addresses = (
            *SURFACES, OPERANDS, *(BATCHES + page * PAGE_SIZE for page in range(BATCH_PAGES)), 0x0400_0000, 0x0420_0000, 0xC010_0000,
            0xC800_0000, 0x1_3C00_0000, 0xFFFF_FFFF_F000, 0x1000_0000, 0x4_0000, 0xE000_0000, 0x24_0000, 0x80_0000, LARGE_SPACE, SMALL_SPACE,
            *(SURFACES[2] + page * PAGE_SIZE for page in range(0, _SURFACE_PAGES, 5)),
        )  # fmt: skip
        """Addresses of a process's space that lead somewhere, or nearly."""

    @staticmethod
    def near(page: int) -> Place:
        """Page of the memory that is always there."""
        return Place(_RAM + page * PAGE_SIZE, _GRAPHICS[_RAM] + page * PAGE_SIZE)

    @staticmethod
    def distant(page: int) -> Place:
        """Page of the memory that comes and goes."""
        return Place(_FAR + page * PAGE_SIZE, _GRAPHICS[_FAR] + page * PAGE_SIZE)

    def _number(self, engine: Engine, context: int) -> int:
        return self.platform.engines.index(engine) * CONTEXTS + context

    def image(self, engine: Engine, context: int) -> Place:
        """First page of a context's image."""
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

        def put(table: Place, index: int, bus: int, bits: int = _BITS) -> None:
            found.append((table.bus + 8 * index, bus | bits))

        put(self.pml4, 0, self.directories.bus)
        put(self.pml4, SURFACES[2] >> 39, self.far_directories.bus)
        put(self.pml4, 511, self.pml4.bus)
        put(self.directories, 0, self.directory.bus)
        put(self.directories, 1, self.directory.bus)
        put(self.directories, 2, 1 << 30, _BITS | _PS)
        put(self.directories, 3, 0, _BITS | _PS)
        put(self.directories, 4, 1 << 30, _BITS | _PS)
        put(self.directories, LARGE_SPACE >> 30, self.near(_BOUNDLESS).bus)
        put(self.directories, SMALL_SPACE >> 30, self.near(_BOUNDLESS + 1).bus)
        put(self.directory, 0, self.first.bus)
        put(self.directory, SURFACES[1] >> 21, self.second.bus)
        put(self.directory, OPERANDS >> 21, self.third.bus)
        put(self.directory, 32, _LARGE, _BITS | _PS)
        put(self.directory, 33, self.of_64k.bus, _BITS | _IPS)
        put(self.directory, 128, self.directory.bus)
        put(self.far_directories, 0, self.far_directory.bus)
        put(self.far_directory, 0, self.distant(_FAR_TABLE).bus)
        for page in range(_SURFACE_PAGES):
            put(self.first, SURFACES[0] // PAGE_SIZE + page, self.near(64 + 5 * page % 16).bus)
            put(self.second, page, self.near(80 + page).bus if page < 12 else _ROM + page % 4 * PAGE_SIZE)
            put(self.distant(_FAR_TABLE), page, self.distant(3 * page % 16).bus)
        for page in range(4):
            put(self.third, page, self.near(96 + page).bus, 1)
            put(self.first, 64 + page, _ROM + page * PAGE_SIZE)
        for number, batch in enumerate(self.batches):
            put(self.first, BATCHES // PAGE_SIZE + number, batch.bus)
        for part in range(32):
            put(self.of_64k, 16 * part, _LARGE + part * 0x1_0000)
        return found

    def lay_tables(self) -> None:
        """Write all page tables."""
        for table in self.tables:
            self.memory.poke(table.bus, bytes(PAGE_SIZE))
        for bus, entry in self.table_entries():
            self.memory.poke(bus, entry.to_bytes(8, "little"))
        large, small, pages = (self.near(_BOUNDLESS + number) for number in range(3))
        self.memory.poke(large.bus, (_LARGE | _BITS | _PS).to_bytes(8, "little") * 512)
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
