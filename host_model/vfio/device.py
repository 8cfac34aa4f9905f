"""A device as VFIO shows it to a user in the same process: regions, interrupts, reset, planes.

An open device is *blocked* until it is bound to an IOMMU context, a type1 container or an iommufd context: nothing but binding and
closing is legal before. It stays bound until it is closed; what it has stored stays for the next user, as the kernel's mediator has it.

Source: linux:drivers/vfio/device_cdev.c, linux:drivers/gpu/drm/i915/gvt/kvmgt.c (intel_vgpu_ioctl, intel_vgpu_mmap)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, final

from pvinfo.bus import PciDevice, Region
from pvinfo.errors import StateError, UsageError
from pvinfo.gfx_plane import DrmPlaneType, GfxPlaneInfo
from pvinfo.pci import COMMAND, INTERRUPT_LINE, STATUS, Command, Status
from pvinfo.units import PAGE_MASK, format_range
from pvinfo.vfio_user import (
    CAPABILITY_HEADER,
    DEVICE_INFO,
    OPREGION_TYPE,
    REGION_INFO,
    SPARSE_AREA,
    SPARSE_MMAP,
    TYPED_REGION,
    CapabilityHeader,
    CapabilityId,
    DeviceFlags,
    DeviceInfo,
    IrqFlags,
    IrqIndex,
    RegionFlags,
    RegionIndex,
    RegionInfo,
    SparseArea,
    SparseMmap,
    TypedRegion,
)

from ..device.display.edid_region import EdidRegion
from ..mediator.firmware import declared_connectors, opregion_of
from ..mediator.vgpu import Vgpu
from ..scanout.exported_plane import ExportedPlanes, PlaneBuffer
from ..scanout.frame_region import FrameRegion
from .dma.access import Access
from .dma.iommufd import Ioas, IommufdContext
from .dma.port import DmaPort
from .dma.type1 import Type1Container
from .memory import DeviceMemory
from .migration import Migratable, Migration, MigrationState, VgpuMigration
from .signals import Signal, Signals
from .user.device_server import message_vectors
from .user.regions import DeviceRegions, ReadOnlyRegion, SpecificRegion

__all__ = ("REGION_SHIFT", "DeviceState", "MappedRegion", "RegionDescription", "VfioDevice", "open_vgpu")

REGION_SHIFT: Final = 40
"""Region ``n`` begins at ``n << 40`` of the device's file. Source: linux:drivers/gpu/drm/i915/gvt/kvmgt.c (VFIO_PCI_OFFSET_SHIFT)"""


class DeviceState(Enum):
    """Where an open device is in its life."""

    BLOCKED = "blocked"
    """open, and not bound to an IOMMU context"""
    BOUND = "bound"
    CLOSED = "closed"


class RegionDescription(NamedTuple):
    """One region."""

    number: int
    flags: RegionFlags
    size: int
    """0: the device has no such region."""
    offset: int
    """Where it begins in the device's file."""
    areas: tuple[SparseArea, ...] = ()
    """The parts that can be mapped, where not all of it can."""
    type: TypedRegion | None = None
    """What a device-specific region is for."""

    def pack(self, argsz: int) -> bytes:
        """The kernel's record with its capabilities; where ``argsz`` has no room for those, the record alone, which says how much they take."""
        parts: list[tuple[CapabilityId, bytes]] = []
        if self.areas:
            areas = b"".join(map(SPARSE_AREA.pack, self.areas))
            parts.append((CapabilityId.SPARSE_MMAP, SPARSE_MMAP.pack(SparseMmap(len(self.areas), bytes(4))) + areas))
        if self.type is not None:
            parts.append((CapabilityId.TYPE, TYPED_REGION.pack(self.type)))
        chain = b""
        for number, (kind, body) in enumerate(parts, 1):
            end = REGION_INFO.size + len(chain) + CAPABILITY_HEADER.size + len(body)
            chain += CAPABILITY_HEADER.pack(CapabilityHeader(kind, 1, end if number < len(parts) else 0)) + body
        whole = REGION_INFO.size + len(chain)
        fits = bool(chain) and argsz >= whole
        head = REGION_INFO.pack(RegionInfo(whole, self.flags, self.number, REGION_INFO.size if fits else 0, self.size, self.offset))
        return head + chain if fits else head


@final
class MappedRegion:
    """A part of a region that the user has mapped; a :class:`~pvinfo.bus.Region` by offset from its start. It ends with the device."""

    def __init__(self, region: Region, start: int, size: int, still_open: Callable[[], None]) -> None:
        self._region = region
        self._start = start
        self._still_open = still_open
        self.size = size

    def _at(self, offset: int, size: int) -> int:
        self._still_open()
        if offset < 0 or offset + size > self.size:
            raise UsageError(f"{size} bytes at {offset:#x} of a mapping of {self.size:#x} bytes")
        return self._start + offset

    def read(self, offset: int, size: int) -> int:
        """See :class:`~pvinfo.bus.Region`. Raises: UsageError outside the mapping; StateError once the device is closed."""
        return self._region.read(self._at(offset, size), size)

    def write(self, offset: int, size: int, value: int) -> None:
        """See :class:`~pvinfo.bus.Region`. Raises: as :meth:`read`."""
        self._region.write(self._at(offset, size), size, value)

    def read32(self, offset: int, /) -> int:
        """See :class:`~pvinfo.bus.Region`. Raises: as :meth:`read`."""
        return self.read(offset, 4)

    def write32(self, offset: int, value: int, /) -> None:
        """See :class:`~pvinfo.bus.Region`. Raises: as :meth:`read`."""
        self.write(offset, 4, value)


@final
class VfioDevice:
    """A device that one user has open.

    ``port`` is the one by which the device reaches memory. ``mappable`` is the part of BAR2 that the user may map. ``planes`` are those of
    a device with a display. ``closed`` is called when the user closes it. ``migratable`` is one that can be moved to another host.
    """

    def __init__(
        self, name: str, device: PciDevice, port: DeviceMemory, *, mappable: range = range(0), typed: Sequence[SpecificRegion] = (),
        planes: ExportedPlanes | None = None, closed: Callable[[], None] | None = None, migratable: Migratable | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self._migration = Migration(name, migratable) if migratable is not None else None
        self._device = device
        self._port = port
        self._mappable = mappable
        self._planes = planes
        self._closed = closed
        self._regions = DeviceRegions(device, typed)
        self._buffers: list[PlaneBuffer] = []
        self._state = DeviceState.BLOCKED
        self._container: Type1Container | None = None
        self._context: IommufdContext | None = None
        self._access: Access | None = None
        counts = {
            IrqIndex.INTX: 1 if device.config.read(INTERRUPT_LINE + 1, 1) else 0,
            IrqIndex.MSI: message_vectors(device.config),
            IrqIndex.ERR: 1,
            IrqIndex.REQ: 1,
        }
        self._signals = Signals(counts, self._asserts_pin)

    def _asserts_pin(self) -> bool:
        config = self._device.config
        return Status(config.read(STATUS, 2)).interrupt and not Command(config.read(COMMAND, 2)).interrupt_disable

    # ---- life ----

    @property
    def state(self) -> DeviceState:
        """Where it is in its life."""
        return self._state

    @property
    def attached(self) -> bool:
        """It looks into an address space."""
        return self._access is not None and self._access.space is not None

    @property
    def pinned_pages(self) -> int:
        """Pages of its user's memory that it has pinned."""
        return self._access.pinned_pages if self._access is not None else 0

    def _require(self, state: DeviceState, action: str) -> None:
        if self._state is not state:
            legal = {
                DeviceState.BLOCKED: "blocked: bind_container, bind_iommufd and close are legal",
                DeviceState.BOUND: "bound: everything is legal but to bind it again",
                DeviceState.CLOSED: "closed: nothing is legal, the device is opened anew",
            }[self._state]
            raise StateError(f"{action} of {self.name}", legal, state.value)

    def _bound(self, action: str) -> None:
        self._require(DeviceState.BOUND, action)

    def bind_container(self, container: Type1Container) -> None:
        """Use a type1 container: bound and attached at once. Raises: StateError unless blocked, or when the container is closed."""
        self._require(DeviceState.BLOCKED, "binding")
        self._container = container
        self._enter(container.add_device(self.name, self._port.unmapped))

    def bind_iommufd(self, context: IommufdContext) -> None:
        """Bind to an iommufd context; there is no memory before :meth:`attach`. Raises: StateError unless blocked."""
        self._require(DeviceState.BLOCKED, "binding")
        self._context = context
        self._enter(context.create_access(self.name, self._port.unmapped))

    def _enter(self, access: Access) -> None:
        self._access = access
        self._port.connect(access)
        self._device.on_interrupt(self._signals.fire)
        self._state = DeviceState.BOUND

    def attach(self, ioas: Ioas) -> None:
        """Look into ``ioas``; into that instead of the present one, where there is one. Legal while bound to an iommufd context.

        Raises: StateError; UsageError for a space of another context.
        """
        context, access = self._iommufd("attaching")
        (context.replace if access.space is not None else context.attach)(access, ioas)

    def detach(self) -> None:
        """Look into no space any more. Raises: StateError unless attached to a space of an iommufd context."""
        context, access = self._iommufd("detaching")
        context.detach(access)

    def _iommufd(self, action: str) -> tuple[IommufdContext, Access]:
        self._bound(action)
        if self._context is None or self._access is None:
            raise StateError(f"{action} of {self.name}", "bound to a type1 container, whose memory it has until it is closed", "bound to an iommufd context")
        return self._context, self._access

    def close(self) -> None:
        """The user goes: interrupts, buffers and pins are let go. What the device has stored stays; one in the midst of a migration is reset. Raises: StateError when closed."""
        if self._state is DeviceState.CLOSED:
            self._require(DeviceState.BOUND, "closing")
        while self._buffers and self._planes is not None:
            self._planes.release(self._buffers.pop())
        self._regions.client_gone()
        self._signals.disconnect_all()
        if self._migration is not None and self._migration.state is not MigrationState.RUNNING:
            self._device.reset()
            self._migration.device_reset()
        if self._access is not None:
            self._device.on_interrupt(None)
            self._port.disconnect()
            if self._container is not None:
                self._container.remove_device(self._access)
            elif self._context is not None:
                self._context.destroy_access(self._access)
        self._access = None
        self._state = DeviceState.CLOSED
        if self._closed is not None:
            self._closed()

    # ---- what it is ----

    def info(self) -> DeviceInfo:
        """The device as a whole. Raises: StateError unless bound."""
        self._bound("asking for the description")
        return DeviceInfo(DEVICE_INFO.size, DeviceFlags.of(reset=True, pci=True), self._regions.count, len(IrqIndex))

    def region(self, index: int) -> RegionDescription:
        """Region ``index``. Raises: StateError unless bound; PeerError for a number that is no region."""
        self._bound("asking for a region")
        flags, size = self._regions.describe(index)
        areas: tuple[SparseArea, ...] = ()
        if index == RegionIndex.BAR2 and self._mappable:
            areas = (SparseArea(self._mappable.start, len(self._mappable)),)
            flags = RegionFlags(flags | RegionFlags.of(mmap=True, caps=True))
        return RegionDescription(index, flags, size, index << REGION_SHIFT, areas, self._regions.type_of(index))

    def read(self, index: int, offset: int, length: int) -> bytes:
        """Bytes of a region. Raises: StateError unless bound; PeerError when they are not all inside."""
        self._bound("reading")
        return self._regions.read(index, offset, length)

    def write(self, index: int, offset: int, data: bytes) -> None:
        """Store bytes in a region. Raises: StateError unless bound; PeerError, with nothing written, when they are not all inside."""
        self._bound("writing")
        self._regions.write(index, offset, data)

    def mmap(self, index: int, offset: int, size: int) -> MappedRegion:
        """Map a part of a region. Raises: StateError unless bound; UsageError for anything but whole pages of what can be mapped."""
        self._bound("mapping a region")
        region = self._device.bar(index) if index == RegionIndex.BAR2 else None
        if region is None or not self._mappable:
            raise UsageError(f"mapping region {index} of {self.name}: BAR2 alone can be mapped, where the device has a slice of the aperture")
        low = self._mappable
        if size <= 0 or (offset | size) & PAGE_MASK or offset < low.start or offset + size > low.stop:
            raise UsageError(f"mapping {size:#x} bytes at {offset:#x} of BAR2 of {self.name}: whole pages of {format_range(low.start, low.stop)}")
        return MappedRegion(region, offset, size, lambda: self._bound("using a mapping"))

    # ---- interrupts ----

    def irq(self, irq: IrqIndex) -> tuple[IrqFlags, int]:
        """Behaviour and count of one kind of interrupt. Raises: StateError unless bound."""
        self._bound("asking for interrupts")
        return self._signals.describe(irq)

    def connect_irq(self, irq: IrqIndex, signals: Sequence[Signal | None], start: int = 0) -> None:
        """See :meth:`.Signals.connect`; none at all disconnects the kind. Raises: StateError unless bound; UsageError."""
        self._bound("connecting interrupts")
        if signals:
            self._signals.connect(irq, signals, start)
        else:
            self._signals.disconnect(irq)

    def trigger_irq(self, irq: IrqIndex, number: int = 0) -> None:
        """See :meth:`.Signals.trigger`. Raises: StateError unless bound; UsageError."""
        self._bound("triggering an interrupt")
        self._signals.trigger(irq, number)

    def mask_irq(self, irq: IrqIndex) -> None:
        """See :meth:`.Signals.mask`. Raises: StateError unless bound; UsageError."""
        self._bound("masking an interrupt")
        self._signals.mask(irq)

    def unmask_irq(self, irq: IrqIndex) -> None:
        """See :meth:`.Signals.unmask`. Raises: StateError unless bound; UsageError."""
        self._bound("unmasking an interrupt")
        self._signals.unmask(irq)

    def reset(self) -> None:
        """Device reset. Raises: StateError unless bound."""
        self._bound("resetting")
        self._device.reset()
        self._signals.device_reset()
        if self._migration is not None:
            self._migration.device_reset()

    # ---- migration ----

    @property
    def migration(self) -> Migration:
        """How it is moved to another host. Raises: StateError unless bound; UsageError when it cannot be moved."""
        self._bound("migrating")
        if self._migration is None:
            raise UsageError(f"migration of {self.name}: its state cannot be saved")
        return self._migration

    # ---- planes ----

    def query_plane(self, plane: DrmPlaneType) -> GfxPlaneInfo | None:
        """See :meth:`.ExportedPlanes.query`. Raises: StateError unless bound; UsageError where there is no such plane, or no display."""
        self._bound("asking for a plane")
        return self._display().query(plane)

    def fetch_plane(self, number: int) -> PlaneBuffer:
        """The buffer that :meth:`query_plane` named; it is let go by :meth:`release_plane`, or with the device.

        Raises: StateError unless bound; UsageError.
        """
        self._bound("fetching a plane")
        buffer = self._display().fetch(number)
        self._buffers.append(buffer)
        return buffer

    def release_plane(self, buffer: PlaneBuffer) -> None:
        """Undo one :meth:`fetch_plane`. Raises: StateError unless bound; UsageError for a buffer that was not fetched."""
        self._bound("releasing a plane")
        if buffer not in self._buffers:
            raise UsageError(f"plane buffer {buffer.number}: {self.name}'s user has not fetched it")
        self._buffers.remove(buffer)
        self._display().release(buffer)

    def _display(self) -> ExportedPlanes:
        if self._planes is None:
            raise UsageError(f"planes of {self.name}: it has no display")
        return self._planes


def open_vgpu(vgpu: Vgpu, port: DmaPort, *, closed: Callable[[], None] | None = None) -> VfioDevice:
    """``vgpu``, which was made on ``port``, as its user opens it: with the regions of the kernel's mediator, and the picture behind."""
    (connector, *_) = declared_connectors(vgpu)
    port.on_leaving = vgpu.machine_gone
    port.on_exhausted = lambda error: vgpu.findings.note("host-exhausted", "guest memory", f"{error}: the GPU is not let at the page")
    typed: tuple[SpecificRegion, ...] = (ReadOnlyRegion(OPREGION_TYPE, opregion_of(vgpu)), EdidRegion(vgpu.display, connector), FrameRegion(vgpu))
    return VfioDevice(
        f"vGPU {vgpu.number}", vgpu, port, mappable=vgpu.resources.low, typed=typed, planes=vgpu.exported_planes, closed=closed,
        migratable=VgpuMigration(vgpu),
    )  # fmt: skip
