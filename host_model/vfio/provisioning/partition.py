"""The policy of a device like a virtual function: a fixed part of the GPU, to which accesses pass without being shadowed.

What passes: the part's entries of the global table, its fences, and its slice of the aperture. The GPU tags each page of such a
device with whose it is, so that its own IOMMU domain translates it: entries hold the guest's addresses as the guest wrote them, and
a page is pinned when the GPU first asks for it (a *page request*).

What such a device has not: engines. A real virtual function's work is scheduled by firmware of the GPU, which is not modelled, so a
driver can draw through the aperture but submit nothing; all registers besides read all ones, which is told once as not modelled.

Source: linux:drivers/gpu/drm/xe/xe_gt_sriov_pf_config.c, linux:drivers/gpu/drm/xe/xe_ggtt.c (xe_ggtt_assign: a table entry's VF number)
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Final, final

from pvinfo.bus import Region
from pvinfo.errors import ResourceExhausted, StateError
from pvinfo.finding import FindingLog
from pvinfo.gtt_entry import FRAME_MASK_4K, GGTT_OFFSET
from pvinfo.registers.fence import FENCE_BASE, FENCE_COUNT, FenceHigh, FenceLow
from pvinfo.units import PAGE_MASK, PAGE_SHIFT, BusAddress, format_range

from ...device.config_space import ConfigurationSpace
from ...device.mmio.window import BAR0_SIZE
from ...host import Host
from ...mediator.resources import VgpuResources
from ...mediator.snapshot import guest_config
from ...memory import WINDOW_SHIFT
from ..device import VfioDevice
from ..dma.access import Access
from .life import Profile

__all__ = ("FIRST_NUMBER", "PartitionDevice", "PartitionDomain", "PartitionPolicy")

FIRST_NUMBER: Final = 1 << 16
"""Partitions are numbered from here on, vGPUs from 1."""
_PRESENT: Final = 1
_ALL: Final = (1 << 64) - 1


@final
class PartitionDomain:
    """The IOMMU domain of one partition: a window of the bus in which the guest's addresses are themselves."""

    def __init__(self, host: Host, exhausted: Callable[[ResourceExhausted], None]) -> None:
        """``exhausted`` is called when a page cannot be pinned because something ran out: the GPU finds nothing there."""
        self._host = host
        self._exhausted = exhausted
        self._access: Access | None = None
        self._pages: dict[int, BusAddress] = {}
        """Host address of each guest page that is pinned."""
        self.base = host.memory.attach(self, "partitions")
        """Bus address of the guest's address 0."""

    @property
    def pinned_pages(self) -> int:
        """Pages that the GPU has asked for."""
        return len(self._pages)

    def connect(self, access: Access) -> None:
        """See :class:`~host_model.vfio.memory.DeviceMemory`."""
        if self._access is not None:
            raise StateError("connecting the domain", f"connected through {self._access.name}", "disconnected")
        self._access = access

    def disconnect(self) -> None:
        """See :class:`~host_model.vfio.memory.DeviceMemory`."""
        self._let_go(list(self._pages))
        self._access = None

    def unmapped(self, iova: int, size: int) -> None:
        """See :class:`~host_model.vfio.memory.DeviceMemory`."""
        self._let_go([page for page in self._pages if iova <= page < iova + size])

    def _let_go(self, pages: list[int]) -> None:
        for page in pages:
            del self._pages[page]
            assert self._access is not None, "what is pinned was pinned through an access"
            self._access.unpin(page)
        self._host.memory.revoke()

    def _host_page(self, offset: int) -> BusAddress | None:
        page = offset & ~PAGE_MASK
        known = self._pages.get(page)
        if known is None and self._access is not None and self._access.space is not None:
            try:
                hosts = self._access.pin(page)
            except ResourceExhausted as error:
                self._exhausted(error)
                return None
            if hosts is not None:
                known = self._pages[page] = hosts[0]
        return known

    # ---- the GPU's side ----

    def pins(self, address: BusAddress) -> int:
        """See :class:`~host_model.isolation.Pinned`: the domain's window is the partition's, whatever is mapped there."""
        return 1 if address >> WINDOW_SHIFT == self.base >> WINDOW_SHIFT else 0

    def page(self, offset: int, /) -> memoryview | None:
        """The guest's page at ``offset``."""
        host = self._host_page(offset)
        return self._host.memory.page(host) if host is not None else None

    def span(self, offset: int, size: int, /) -> memoryview | None:
        """``size`` bytes at ``offset`` where they are in one page."""
        start = offset & PAGE_MASK
        page = self.page(offset) if start + size <= PAGE_MASK + 1 else None
        return page[start : start + size] if page is not None else None

    def close(self) -> None:
        """The partition is no more."""
        self._host.memory.detach(self.base)


@final
class _PassedRegisters:
    """BAR0 of a partition: its entries of the global table and its fences, as the hardware has them."""

    size = BAR0_SIZE

    def __init__(self, partition: PartitionDevice) -> None:
        self._partition = partition
        self._table = range(GGTT_OFFSET, GGTT_OFFSET + partition.host.gpu.ggtt.window_size)

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)

    def read(self, offset: int, size: int) -> int:
        value = self._qword(offset & ~7)
        if value is None or (offset & 7) + size > 8:
            self._nothing("read", offset)
            return (1 << 8 * size) - 1
        return value >> 8 * (offset & 7) & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        known = self._qword(offset & ~7)
        if known is None or (offset & 7) + size > 8:
            self._nothing("write", offset)
            return
        lanes = (1 << 8 * size) - 1 << 8 * (offset & 7)
        self._store(offset & ~7, known & ~lanes | value << 8 * (offset & 7) & lanes)

    def _qword(self, at: int) -> int | None:
        """What the partition has at ``at``, as it wrote it; None where it has nothing."""
        partition = self._partition
        if at in self._table:
            index = (at - GGTT_OFFSET) >> 3
            return partition.entry(index) if partition.owns(index << PAGE_SHIFT) else None
        fence = (at - FENCE_BASE) >> 3
        if 0 <= fence < len(partition.resources.fences):
            return partition.host.gpu.fences[partition.resources.fences[fence]]
        return None

    def _store(self, at: int, value: int) -> None:
        if at in self._table:
            self._partition.set_entry((at - GGTT_OFFSET) >> 3, value)
        else:
            self._partition.set_fence((at - FENCE_BASE) >> 3, value)

    def _nothing(self, what: str, offset: int) -> None:
        in_table = offset in self._table or FENCE_BASE <= offset < FENCE_BASE + 8 * FENCE_COUNT
        if in_table:
            self._partition.findings.fault(
                "partition-outside", f"BAR0+{offset:#x}", f"a {what} outside the partition; reads all ones, writes are dropped",
                nearest=self._partition.resources.owned,
            )  # fmt: skip
        else:
            self._partition.findings.not_modelled("partition-register", f"BAR0+{offset:#x}", f"a {what} of a register that a partition has not; reads all ones, writes are dropped")


@final
class _PassedAperture:
    """BAR2 of a partition: its slice of the hardware's aperture."""

    def __init__(self, partition: PartitionDevice) -> None:
        self._partition = partition
        self._hardware = partition.host.gpu.aperture
        self.size = self._hardware.size

    def read32(self, offset: int, /) -> int:
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        self.write(offset, 4, value)

    def _owned(self, what: str, offset: int, size: int) -> bool:
        low = self._partition.resources.low
        if offset in low and offset + size <= low.stop:
            return True
        self._partition.findings.fault(
            "partition-outside", f"BAR2+{offset:#x}", f"a {what} outside the partition; reads all ones, writes are dropped", nearest=format_range(low.start, low.stop)
        )
        return False

    def read(self, offset: int, size: int) -> int:
        if not self._owned("read", offset, size):
            return (1 << 8 * size) - 1
        with self._partition.host.guard.on_behalf_of(self._partition.number):
            return int.from_bytes(self._hardware.copy_out(offset, size), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        if self._owned("write", offset, size):
            with self._partition.host.guard.on_behalf_of(self._partition.number):
                self._hardware.copy_in(offset, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))


@final
class PartitionDevice:
    """A partition that was made; a :class:`~pvinfo.bus.PciDevice`."""

    connected: Final = False

    def __init__(self, host: Host, number: int, profile: Profile, resources: VgpuResources) -> None:
        self.host = host
        self.number = number
        self.profile = profile
        self.resources = resources
        self.findings = FindingLog(number)
        self.domain = PartitionDomain(
            host, lambda error: self.findings.note("host-exhausted", "guest memory", f"{error}: the GPU is not let at the page")
        )
        host.guard.machines[number] = self.domain
        self._scratch = host.memory.allocate_page(number)
        self._registers = _PassedRegisters(self)
        self._aperture = _PassedAperture(self)
        sizes = {0: BAR0_SIZE, 2: self._aperture.size}
        self.config = ConfigurationSpace(guest_config(host.mediator.golden), sizes, self.findings, host.clock, lambda: None)
        self._clear()

    # ---- PciDevice ----

    def bar(self, index: int) -> Region | None:
        windows: dict[int, Region] = {0: self._registers, 2: self._aperture}
        return windows.get(index)

    def reset(self) -> None:
        """Function-level reset: nothing is translated, no fence is in use."""
        self._clear()
        self.config.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        """Without engines there is nothing to tell."""

    # ---- the partition ----

    def owns(self, address: int) -> bool:
        """The graphics address is the partition's."""
        return address in self.resources.low or address in self.resources.high

    def entry(self, index: int) -> int:
        """An entry of the table as the guest wrote it; the scratch page reads 0."""
        hardware = self.host.gpu.ggtt.entries[index]
        frame = hardware & FRAME_MASK_4K
        if frame == self._scratch:
            return 0
        return hardware & ~FRAME_MASK_4K & _ALL | frame - self.domain.base

    def set_entry(self, index: int, entry: int) -> None:
        """Pass an entry to the hardware, which tags it with whose it is."""
        if not entry & _PRESENT:
            self.host.gpu.ggtt.entries[index] = self._scratch | _PRESENT
            return
        frame = entry & FRAME_MASK_4K & (1 << WINDOW_SHIFT) - 1
        self.host.gpu.ggtt.entries[index] = entry & ~FRAME_MASK_4K & _ALL | self.domain.base + frame

    def set_fence(self, number: int, value: int) -> None:
        """Pass a fence to the hardware, which lets it cover nothing but the partition."""
        low, high = FenceLow(value & 0xFFFFFFFF), FenceHigh(value >> 32)
        if low.valid and not (self.owns(low.start_page << PAGE_SHIFT) and low.start_page <= high.last_page and self._in_one(low.start_page, high.last_page)):
            self.findings.fault("partition-outside", f"fence {number}", "the fence is not all in one slice; it stays out of use", value=value, nearest=self.resources.owned)
            value = 0
        self.host.gpu.write_fence(self.resources.fences[number], value if low.valid else 0)

    def _in_one(self, first: int, last: int) -> bool:
        return any(first << PAGE_SHIFT in part and last << PAGE_SHIFT in part for part in (self.resources.low, self.resources.high))

    def _clear(self) -> None:
        table = self.host.gpu.ggtt.entries
        nothing = self._scratch | _PRESENT
        for part in (self.resources.low, self.resources.high):
            row = memoryview(nothing.to_bytes(8, "little") * (len(part) >> PAGE_SHIFT)).cast("Q")
            table[part.start >> PAGE_SHIFT : part.stop >> PAGE_SHIFT] = row
        for fence in self.resources.fences:
            self.host.gpu.write_fence(fence, 0)

    # ---- MadeDevice ----

    def open(self, closed: Callable[[], None]) -> VfioDevice:
        """See :class:`~.life.MadeDevice`."""
        return VfioDevice(f"partition {self.number}", self, self.domain, mappable=self.resources.low, closed=closed)

    def destroy(self) -> None:
        """See :class:`~.life.MadeDevice`."""
        table = self.host.gpu.ggtt.entries
        for part in (self.resources.low, self.resources.high):
            table[part.start >> PAGE_SHIFT : part.stop >> PAGE_SHIFT] = memoryview(bytes(8 * (len(part) >> PAGE_SHIFT))).cast("Q")
        for fence in self.resources.fences:
            self.host.gpu.write_fence(fence, 0)
        del self.host.guard.machines[self.number]
        self.domain.close()
        self.host.memory.release_page(self._scratch)


@final
class PartitionPolicy:
    """Partitions of the GPU of ``host``, of the sizes of its vGPUs."""

    name = "partition"

    def __init__(self, host: Host) -> None:
        self._host = host

    def profiles(self) -> tuple[Profile, ...]:
        """One for each size of vGPU that the host offers."""
        return tuple(Profile(f"{offer.type.name}-partition", self.name, offer.type) for offer in self._host.types())

    def reserve(self, profile: Profile, name: str) -> VgpuResources:
        """See :class:`~.life.DevicePolicy`."""
        return self._host.pool.take(profile.size, holder=name)

    def give_back(self, resources: VgpuResources) -> None:
        """See :class:`~.life.DevicePolicy`."""
        self._host.pool.give_back(resources)

    def make(self, profile: Profile, resources: VgpuResources, name: str) -> PartitionDevice:
        """See :class:`~.life.DevicePolicy`."""
        number = next(number for number in count(FIRST_NUMBER) if number not in self._host.guard.machines)
        return PartitionDevice(self._host, number, profile, resources)
