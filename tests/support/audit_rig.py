"""A bench for the command audit: a vGPU with memory behind its graphics addresses, address spaces that only count, host buffers that can run out."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

from host_model.device.mmio.registers import RegisterPage
from host_model.gpu.context import RegisterState, SavedContext
from host_model.host import Host
from host_model.mediator.resources import ResourcePool
from host_model.mediator.audit.audit import Audited, AuditedWorkaround, CommandAudit
from host_model.mediator.refusal import Refused
from host_model.mediator.vgpu import Vgpu
from pvinfo.errors import ResourceExhausted
from pvinfo.page import PVINFO_BASE
from pvinfo.platform import ENGINES, Engine, platform_named
from pvinfo.units import PAGE_SIZE, GuestAddress

__all__ = ("ROOTS", "SHADOW_ROOTS", "AuditRig", "Buffer", "BufferStore", "Space", "Spaces", "context_registers")

ROOTS: Final = (0x1_2345_6000,)
"""Root of the address space that the rig's contexts have."""
SHADOW_ROOTS: Final = (0x3_ABCD_E000,)
_END: Final = 0x05000000
_LOAD: Final = 0x22


class Buffer:
    """A host buffer."""

    def __init__(self, store: BufferStore, address: int, size: int) -> None:
        self._store = store
        self.address = address
        self.dwords = memoryview(bytearray(size + PAGE_SIZE - 1 & -PAGE_SIZE)).cast("I")

    def release(self) -> None:
        """Twice is an error here."""
        del self._store.live[self.address]


class BufferStore:
    """Where host buffers come from: graphics addresses from 64 KiB on."""

    def __init__(self) -> None:
        self.live: dict[int, Buffer] = {}
        self.limit: int | None = None
        """Buffers that there may be at a time."""
        self.owners: list[int] = []
        self._next = 0x10000

    def allocate(self, size: int, owner: int) -> Buffer:
        if self.limit is not None and len(self.live) >= self.limit:
            raise ResourceExhausted("graphics memory", size, 0, "bytes")
        self.owners.append(owner)
        buffer = self.live[self._next] = Buffer(self, self._next, size)
        self._next += 4 * len(buffer.dwords)
        return buffer


class Space:
    """An address space."""

    def __init__(self, levels: int, roots: tuple[int, ...], shadow_roots: tuple[int, ...]) -> None:
        self.levels = levels
        self.roots = roots
        self._shadow_roots = shadow_roots
        self.references = 0
        self.pins = 0

    @property
    def shadow_roots(self) -> tuple[int, ...]:
        assert self.pins, "the roots of the shadow are good while the space is pinned"
        return self._shadow_roots


class Spaces:
    """The spaces that a guest has announced."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, tuple[int, ...]], Space] = {}
        self.refuse_pins = False

    def add(self, levels: int, roots: tuple[int, ...], shadow_roots: tuple[int, ...]) -> Space:
        space = self._known[levels, roots] = Space(levels, roots, shadow_roots)
        return space

    def find(self, levels: int, roots: Sequence[int]) -> Space | None:
        return self._known.get((levels, tuple(roots)))

    def acquire(self, levels: int, roots: Sequence[int]) -> Space:
        space = self._known[levels, tuple(roots)]
        space.references += 1
        return space

    def release(self, tables: Space) -> None:
        assert tables.references > 0
        tables.references -= 1

    def pin(self, tables: Space) -> None:
        if self.refuse_pins:
            raise Refused("ppgtt-entry", "level 0", "the entry leads nowhere")
        tables.pins += 1

    def unpin(self, tables: Space) -> None:
        assert tables.pins > 0 and tables.references > 0
        tables.pins -= 1

    @property
    def kept(self) -> int:
        """References and pins that somebody has."""
        return sum(space.references + space.pins for space in self._known.values())


class _Seen:
    """The vGPU, but for its address spaces."""

    def __init__(self, vgpu: Vgpu, spaces: Spaces) -> None:
        self._vgpu = vgpu
        self.tables = spaces

    def __getattr__(self, name: str) -> object:
        return getattr(self._vgpu, name)


def context_registers(platform: str) -> set[int]:
    """What default contexts load behind their first 0x50 dwords: read from images that the GPU has saved."""
    part = platform_named(platform)
    found: set[int] = set()
    for engine in part.engines:
        page = memoryview(bytearray(PAGE_SIZE)).cast("I")
        RegisterState(engine, part, RegisterPage().dwords).save(page, SavedContext(0, None, None, 0))
        at = 0x50
        while page[at] != _END and page[at] >> 23 in (0, _LOAD) and at < 0x300:
            length = (page[at] & 0xFF) + 2 if page[at] >> 23 == _LOAD else 1
            found.update(page[at + 1 : at + length : 2])
            at += length
    return found


class AuditRig:
    """One vGPU and its audit."""

    def __init__(self, platform: str = "skl", *, low_at: int | None = None, high_at: int | None = None) -> None:
        host = Host(platform)
        host.pool = ResourcePool(host.gpu.aperture_size, host.gpu.ggtt_size, host_high=0)
        plugged = host.plug(low_at=low_at, high_at=high_at)
        self.platform_name = platform
        self.vgpu = plugged.vgpu
        self.vgpu.mmio.read(PVINFO_BASE, 8)
        self.ram = plugged.machine.memory
        self.low = self.vgpu.resources.low
        self.high = self.vgpu.resources.high
        self.spaces = Spaces()
        self.space = self.spaces.add(4, ROOTS, SHADOW_ROOTS)
        self.store = BufferStore()
        self.audit: CommandAudit[Space] = CommandAudit(_Seen(self.vgpu, self.spaces), self.store)  # type: ignore[arg-type]
        self._next_page = PAGE_SIZE

    # ---- the guest's memory ----

    def map(self, address: int, pages: int = 1) -> int:
        """Put fresh guest pages behind graphics addresses; the guest address of the first."""
        first = self._next_page
        for page in range(pages):
            self.vgpu.mmio.write(0x80_0000 + 8 * ((address >> 12) + page), 8, first + PAGE_SIZE * page | 1)
        self._next_page += PAGE_SIZE * pages
        return first

    def write(self, address: int, dwords: Sequence[int]) -> None:
        """Store dwords at a graphics address whose pages follow each other in guest memory."""
        place = self.vgpu.ggtt.entry(address >> 12) & -PAGE_SIZE | address & PAGE_SIZE - 1
        self.ram.write(GuestAddress(place), array("I", dwords).tobytes())

    def place(self, address: int, dwords: Sequence[int]) -> int:
        """Map as many pages as ``dwords`` need at ``address``, and store them there; returns ``address``."""
        self.map(address & -PAGE_SIZE, ((address & PAGE_SIZE - 1) + 4 * len(dwords) + PAGE_SIZE - 1) // PAGE_SIZE)
        self.write(address, dwords)
        return address

    def read_dword(self, address: int) -> int | None:
        """What the guest has at a graphics address."""
        if not any(address in part for part in (self.low, self.high)):
            return None
        entry = self.vgpu.ggtt.entry(address >> 12)
        if not entry & 1:
            return None
        return int.from_bytes(self.ram.read(GuestAddress(entry & -PAGE_SIZE | address & PAGE_SIZE - 1), 4), "little")

    def set_status_page(self, engine: Engine, address: int) -> None:
        self.vgpu.registers.write32(ENGINES[engine].base + 0x80, address)

    # ---- the audit ----

    def ring(
        self, engine: Engine, words: Sequence[int], *, inhibit: bool = False, space: Space | None = None, start: int = 0x1000
    ) -> tuple[Audited[Space], list[int]]:
        """What the audit says of a ring, and what is left to run. Raises: Refused, after a look whether nothing was kept."""
        dwords = memoryview(array("I", words))
        before = len(self.store.live)
        try:
            audited = self.audit.ring(engine, dwords, lambda index: start + 4 * index, space or self.space, inhibit=inhibit)
        except Refused:
            assert len(self.store.live) == before and not self.spaces.kept, "everything was given back"
            raise
        return audited, list(dwords)

    def refusal(self, engine: Engine, words: Sequence[int], *, inhibit: bool = False, space: Space | None = None) -> Refused:
        """Why the audit refuses a ring."""
        try:
            audited, _ = self.ring(engine, words, inhibit=inhibit, space=space)
        except Refused as refused:
            return refused
        raise AssertionError(f"accepted: {[hex(word) for word in words]} as {audited}")

    def copy_of(self, patched: Sequence[int], at: int = 0) -> Buffer:
        """The copy that the batch start at ``at`` of a patched stream leads to."""
        return self.store.live[patched[at + 1] | patched[at + 2] << 32]

    def give_back(self, audited: Audited[Space] | AuditedWorkaround[Space]) -> None:
        """The work is over."""
        for batch in audited.batches:
            batch.release()
        for space in audited.tables:
            self.spaces.unpin(space)
            self.spaces.release(space)
