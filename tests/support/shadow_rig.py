"""Shadow tables on a bench: a vGPU that is no more than a port and registers, and a port that fails where it is told to."""

from __future__ import annotations

import mmap
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from host_model.device.mmio.registers import RegisterPage
from host_model.gpu.address_space import FaultReason, TranslationFault
from host_model.gpu.translation import ProcessSpace
from host_model.hypervisor.base import HypervisorPort
from host_model.hypervisor.local import LocalPort, Ram
from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.mediator.shadow.pool import DEFAULT_SHARE, ShadowPool
from host_model.mediator.shadow.ppgtt import ProcessTables, ShadowTables
from host_model.mediator.shadow.table import ShadowTable
from host_model.memory import WINDOW_SHIFT, HostMemory
from pvinfo.finding import FindingLog
from pvinfo.platform import PLATFORMS
from pvinfo.registers.gtt import GttRegisters
from pvinfo.units import PAGE_SIZE, BusAddress, GuestAddress
from pvinfo.vfio_user import DmaMap, DmaMapFlags

from .naive_ppgtt import NaiveTables
from .unreliable_port import UnreliablePort

__all__ = ("PORTS", "GpuView", "RiggedPort", "ShadowRig")

PORTS = ("tracking", "comparing", "another process")
FRAMES = ((1 << 46) - 1) & ~0xFFF


class RiggedPort(UnreliablePort):
    """An unreliable port that sees that the GPU forgets before pages leave."""

    def __init__(self, inner: HypervisorPort, invalidations: Callable[[], int]) -> None:
        super().__init__(inner)
        self._invalidations = invalidations
        self.batches = 0
        """Batches of pages that were let go."""
        self._invalidated = 0

    def unmap_guest_pages(self, addresses: Iterable[int]) -> None:
        addresses = list(addresses)
        if addresses:
            assert self._invalidations() > self._invalidated, "an invalidation goes before each batch of pages that leave"
            assert all(self.inner.pins(BusAddress(address)) for address in addresses), "only what is pinned is let go"
            self.batches += 1
        self._invalidated = self._invalidations()
        super().unmap_guest_pages(addresses)


class _Writer(Protocol):
    def __call__(self, address: int, data: bytes, /) -> None: ...


class ShadowRig:
    """One vGPU's shadow tables over a machine of ``pages`` pages."""

    def __init__(
        self, kind: str = PORTS[0], *, platform: str = "skl", pages: int = 256, share: int = DEFAULT_SHARE, number: int = 1,
        beside: ShadowRig | None = None,
    ) -> None:  # fmt: skip
        """``beside``: on the same host, with the same pool."""
        self.number = number
        self.platform = PLATFORMS[platform]
        self.registers = RegisterPage()
        self.findings = FindingLog(number)
        self.memory: HostMemory = beside.memory if beside is not None else HostMemory()
        self.pages = pages
        self.invalidations = 0
        self.on_invalidate: list[Callable[[], None]] = []
        self.pool: ShadowPool
        if beside is not None:
            self.pool = beside.pool
            beside.on_invalidate.append(self._invalidate)
        else:
            self.pool = ShadowPool(self.memory, self._invalidate, share=share)
        self._close: Callable[[], None]
        self.write: _Writer
        inner = self._open_other_process() if kind == "another process" else self._open_local(track_writes=kind == "tracking")
        self.port = RiggedPort(inner, lambda: self.invalidations)
        (self.base,) = inner.map_guest_pages((0,))
        inner.unmap_guest_pages((self.base,))
        self.tables = ShadowTables(self, self.pool)

    def _open_local(self, *, track_writes: bool) -> HypervisorPort:
        ram = Ram(self.pages * PAGE_SIZE)
        port = LocalPort(ram, self.memory, track_writes=track_writes)
        self.write = lambda address, data, /: ram.write(GuestAddress(address), data)
        self._close = port.close
        return port

    def _open_other_process(self) -> HypervisorPort:
        size = self.pages * PAGE_SIZE
        fd = os.memfd_create("test-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        theirs = mmap.mmap(fd, size)
        port = VfioUserPort(self.memory)
        port.map(DmaMap(32, DmaMapFlags(3), 0, 0, size), fd)
        os.close(fd)

        def write(address: int, data: bytes, /) -> None:
            theirs[address : address + len(data)] = data

        def close() -> None:
            port.close()
            theirs.close()

        self.write, self._close = write, close
        return port

    def close(self) -> None:
        """The machine is gone."""
        self._close()

    def _invalidate(self) -> None:
        self.invalidations += 1
        for forget in self.on_invalidate:
            forget()

    # ---- the guest ----

    def read(self, address: int, size: int) -> bytes:
        data = self.port.inner.read_guest(GuestAddress(address), size)
        assert data is not None
        return data

    def entry(self, table: int, index: int) -> int:
        """An entry of the guest's table."""
        return int.from_bytes(self.read(table + 8 * index, 8), "little")

    def set(self, table: int, index: int, *entries: int) -> None:
        """Write entries of a table that follow each other."""
        self.write(table + 8 * index, struct.pack(f"<{len(entries)}Q", *entries))

    def chain(self, *tables: int, index: int = 0, flags: int = 3) -> None:
        """Have the entry ``index`` of each table lead to the next."""
        for upper, lower in zip(tables, tables[1:], strict=False):
            self.set(upper, index, lower | flags)

    def allow_64k(self, field: int = 15) -> None:
        """What the guest writes to the register that allows 64 KiB pages."""
        self.registers.write32(GttRegisters.gamw_eco_dev_rw_ia.offset, field)

    @property
    def naive(self) -> NaiveTables:
        """The guest's tables as they are now."""
        large = self.platform.graphics_version == 9 and self.registers.read32(GttRegisters.gamw_eco_dev_rw_ia.offset) & 15 == 15
        return NaiveTables(self.read, self.pages, large=large)

    # ---- the GPU ----

    def gpu(self, space: ProcessTables) -> GpuView:
        """The GPU with the space loaded; it forgets translations only when it is told to."""
        view = GpuView(self, space)
        self.on_invalidate.append(view.space.invalidate)
        return view

    def shadow(self, table: int) -> memoryview:
        """The entries of a shadow table at a bus address, or where an entry leads."""
        page = self.memory.page(BusAddress(table & FRAMES))
        assert page is not None
        return page.cast("Q")

    # ---- what must hold at any time ----

    @property
    def pinned(self) -> Counter[int]:
        """Pins of each page of the guest, by guest address."""
        pins, base = self.port.inner.pins, self.base
        return Counter({page: count for page in range(0, self.pages * PAGE_SIZE, PAGE_SIZE) if (count := pins(BusAddress(base + page)))})

    def check(self) -> None:
        """References, children, pins and shadow entries agree with each other, whatever the guest's tables say."""
        store = self.tables._store
        known: list[ShadowTable] = list(store._known.values())
        assert self.pool.used(self.number) == len(known) + len(store._scratch)
        references: Counter[int] = Counter()
        for space in self.tables._shadowed:
            references.update(table.address for table in space.root_tables if table is not None)
        scratch = {page.address for page in store._scratch}
        pins: Counter[int] = Counter()
        for table in known:
            led: Counter[int] = Counter()
            for (shadow, seen), count in Counter(zip(table.entries, table.seen_entries or [1] * 512, strict=True)).items():
                bus = shadow & FRAMES
                if not shadow & 1:
                    continue
                if bus in scratch:
                    assert bus == store._scratch[table.level].address
                elif table.level:
                    led[bus] += count
                    own = (0x8C0 if seen & 0x80 else 0x800) if table.level == 1 else 0
                    assert seen & 1 and shadow & ~FRAMES == seen & ~FRAMES & ~own
                else:
                    pins[bus - self.base] += count
            assert led == Counter({child.address: count for child, count in table.children.items()})
            references += led
        assert references == Counter({table.address: table.references for table in known})
        assert pins == self.pinned
        assert store.written <= set(known)
        if isinstance(self.port.inner, LocalPort) and self.port.can_track_writes:
            watched = {page << 12: len(watchers) for page, watchers in self.port.inner._ram._watched.items()}
            assert watched == Counter(table.source for table in known if table.seen), "each table's page is watched for it, and no other"


class GpuView:
    """A space as the GPU walks it, page requests written down."""

    def __init__(self, rig: ShadowRig, tables: ProcessTables) -> None:
        self._rig = rig
        self._asked: list[int] = []
        self.space = ProcessSpace(self)
        self.space.on_denied = lambda address: None
        self.tables = tables
        self.load()

    def load(self) -> None:
        """Take the shadow roots, as a context switch does."""
        self.space.load(*self.tables.shadow_roots)

    # ---- BusMemory ----

    @property
    def revision(self) -> int:
        return 0

    def page(self, address: BusAddress, /) -> memoryview | None:
        return self._rig.memory.page(address)

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        self._asked.append(address)
        return self._rig.memory.span(address, size)

    # ---- what it finds ----

    def page_at(self, address: int) -> int | None:
        """Guest address of the page that the GPU reaches; None where it faults for want of an entry, or finds scratch."""
        bus = self.bus_at(address)
        if bus is None or bus == self.scratch:
            return None
        assert bus >> WINDOW_SHIFT, "the only page of the host's that a space shows is scratch"
        assert self._rig.port.pins(BusAddress(bus)), "the GPU reaches what is pinned only"
        return bus - self._rig.base

    @property
    def scratch(self) -> int:
        """Bus address of the vGPU's page of scratch."""
        return self._rig.tables._store._scratch[0].address

    def bus_at(self, address: int) -> int | None:
        """Bus address of the page that a walk of the tables finds now; None where it faults for want of an entry."""
        try:
            self.space.spans(address & ~0xFFF, 1, write=False)
        except TranslationFault as fault:
            assert fault.reason is FaultReason.NOT_PRESENT, fault
            return None
        return self._asked.pop()
