"""A PCI device behind vfio-user: what each request of the client does to it.

The device is any :class:`~pvinfo.bus.PciDevice`; its guest's memory is announced to a :class:`MemoryWindow`. State of
the device outlives its client, as the protocol asks; memory maps and event descriptors do not.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final, Protocol, assert_never, final

from pvinfo.bits import Bits
from pvinfo.bus import ConfigSpace, PciDevice
from pvinfo.errors import PeerError
from pvinfo.finding import FindingLog
from pvinfo.pci import BAR0, BAR_COUNT, CAPABILITIES_POINTER, COMMAND, INTERRUPT_LINE, STATUS, CapabilityId, MsiControl, Status
from pvinfo.pci import Command as PciCommand
from pvinfo.units import GuestAddress, format_range
from pvinfo.vfio_user import (
    CAPABILITY_HEADER,
    DEVICE_INFO,
    DMA_UNMAP,
    IRQ_INFO,
    REGION_ACCESS,
    REGION_INFO,
    REGION_IO_FDS,
    TYPED_REGION,
    WRITE_MULTI,
    CapabilityHeader,
    Command,
    DeviceFeature,
    DeviceFlags,
    DeviceInfo,
    DmaMap,
    DmaUnmap,
    DmaUnmapFlags,
    IrqIndex,
    IrqInfo,
    IrqSet,
    MigrationData,
    RegionAccess,
    RegionFlags,
    RegionInfo,
    RegionIoFds,
    WriteMulti,
)
from pvinfo.vfio_user import CapabilityId as RegionCapabilityId

from .interrupts import DescriptorWatch, InterruptLines
from .regions import DeviceRegions, SpecificRegion
from .requests import Request

__all__ = ("DeviceServer", "MemoryWindow")

_INTERRUPT_PIN: Final = INTERRUPT_LINE + 1
_MOST_VECTORS_LOG2: Final = 5
_MOST_CAPABILITIES: Final = 48
"""As many as fit between the header and the end of the first 256 bytes: a longer chain is a loop."""


class MemoryWindow(Protocol):
    """Where a client's memory maps go: the hypervisor port of the device, or guest RAM itself."""

    def map(self, request: DmaMap, fd: int | None) -> None:
        """Add a range; ``fd`` is closed afterwards. Raises: PeerError with the errno to answer with."""

    def unmap(self, address: int, size: int) -> None:
        """Take away exactly one earlier range. Raises: PeerError with the errno to answer with."""

    def unmap_all(self) -> None:
        """Take away every range."""

    def disconnect(self) -> None:
        """The client has gone: take away every range, for good."""

    def doubtful_page(self) -> GuestAddress | None:
        """A page that a running machine must have written and that reads zero here; None where all looks well."""


def message_vectors(config: ConfigSpace) -> int:
    """How many message-signalled interrupts the MSI capability in ``config`` asks for; 0 without one."""
    at = config.read(CAPABILITIES_POINTER, 1) & ~3
    for _ in range(_MOST_CAPABILITIES):
        if at < 0x40:
            return 0
        if config.read(at, 1) == CapabilityId.MSI:
            return 1 << min(MsiControl(config.read(at + 2, 2)).capable_log2, _MOST_VECTORS_LOG2)
        at = config.read(at + 1, 1) & ~3
    return 0


@final
class DeviceServer:
    """One device, and at most one client at a time. ``typed`` are regions of its own behind those of any PCI function."""

    def __init__(
        self,
        device: PciDevice,
        memory: MemoryWindow,
        watch: DescriptorWatch,
        findings: FindingLog,
        typed: Sequence[SpecificRegion] = (),
    ) -> None:
        self.device = device
        self.memory = memory
        self.findings = findings
        self.regions = DeviceRegions(device, typed)
        self._memory_checked = False
        counts = {
            IrqIndex.INTX: 1 if device.config.read(_INTERRUPT_PIN, 1) else 0,
            IrqIndex.MSI: message_vectors(device.config),
            IrqIndex.MSIX: 0,
            IrqIndex.ERR: 1,
            IrqIndex.REQ: 1,
        }
        self.interrupts = InterruptLines(counts, self._asserts_pin, watch)
        device.on_interrupt(self.interrupts.fire)

    def _asserts_pin(self) -> bool:
        config = self.device.config
        return Status(config.read(STATUS, 2)).interrupt and not PciCommand(config.read(COMMAND, 2)).interrupt_disable

    def client_gone(self) -> None:
        """Let go of everything that the client gave; the device stays as it is."""
        self.memory.disconnect()
        self.regions.client_gone()
        self._memory_checked = False
        self.interrupts.clear()

    def close(self) -> None:
        """The device is served no more."""
        self.client_gone()
        self.device.on_interrupt(None)

    # ---- requests ----

    def handle(self, request: Request) -> bytes:
        """Do what ``request`` says; the body of the reply. Its file descriptors are taken over, unless it raises.

        Raises: PeerError with the errno to answer with.
        """
        match request.body:
            case RegionAccess() as access:
                return self._access(request.command, access, request.data)
            case WriteMulti():
                return self._write_multi(request.data)
            case DmaMap() as wanted:
                return self._map(wanted, request.fds)
            case DmaUnmap() as gone:
                return self._unmap(gone)
            case DeviceInfo():
                info = DeviceInfo(DEVICE_INFO.size, DeviceFlags.of(reset=True, pci=True), self.regions.count, len(IrqIndex))
                return DEVICE_INFO.pack(info)
            case RegionInfo() as asked:
                return self._region_info(asked)
            case RegionIoFds() as asked_fds:
                return self._region_io_fds(asked_fds)
            case IrqInfo() as asked_irq:
                return self._irq_info(asked_irq)
            case IrqSet() as wanted_irqs:
                self.interrupts.set(wanted_irqs, request.data, request.fds)
                return b""
            case DeviceFeature() as feature:
                raise PeerError(errno.ENOTTY, f"DEVICE_FEATURE {feature.flags.feature}: this device has no such feature")
            case MigrationData():
                raise PeerError(errno.EINVAL, f"{request.command.name}: this device does not migrate")
            case None:
                self.device.reset()
                self.interrupts.device_reset()
                return b""
            case other:
                assert_never(other)

    def _access(self, command: Command, access: RegionAccess, data: bytes) -> bytes:
        if command is Command.REGION_READ:
            return REGION_ACCESS.pack(access) + self.regions.read(access.region, access.offset, access.length)
        self.regions.write(access.region, access.offset, data)
        return REGION_ACCESS.pack(access)

    def _write_multi(self, entries: bytes) -> bytes:
        done, wrong = self.regions.write_multi(entries)
        if wrong is not None:
            if not done:
                raise wrong
            self.findings.note("vfio-user-write-multi", "REGION_WRITE_MULTI", f"{wrong}; the {done} writes before it were done")
        return WRITE_MULTI.pack(WriteMulti(done))

    # ---- memory ----

    def _map(self, wanted: DmaMap, fds: tuple[int, ...]) -> bytes:
        fd = fds[0] if fds else None
        self.memory.map(wanted, fd)
        if fd is not None:
            os.close(fd)
        elif wanted.flags.writable and not self._is_own_window(wanted):
            self.findings.note(
                "guest-ram-not-shared", "guest memory",
                f"{format_range(wanted.address, wanted.address + wanted.size)} came without a file descriptor, so the device"
                " cannot reach it: give the machine memory that can be shared (QEMU: memory-backend-memfd,share=on)",
                value=wanted.address,
            )  # fmt: skip
        return b""

    def _is_own_window(self, wanted: DmaMap) -> bool:
        """A base address register's window, which the client announces like any other memory."""
        config = self.device.config
        if not PciCommand(config.read(COMMAND, 2)).memory:
            return False
        for index in range(BAR_COUNT):
            region = self.device.bar(index)
            if region is None:
                continue
            low = config.read(BAR0 + 4 * index, 4)
            high = config.read(BAR0 + 4 * index + 4, 4) << 32 if low & 7 == 4 else 0
            start = high | (low & ~0xF)
            if start <= wanted.address and wanted.address + wanted.size <= start + region.size:
                return True
        return False

    def _unmap(self, gone: DmaUnmap) -> bytes:
        if gone.flags & ~DmaUnmapFlags.all.mask:
            raise PeerError(errno.EINVAL, f"DMA_UNMAP flags {int(gone.flags):#x}: the device does not track what it writes")
        if not gone.flags.all:
            self.memory.unmap(gone.address, gone.size)
        elif gone.address or gone.size:
            raise PeerError(errno.EINVAL, "DMA_UNMAP of everything: address and size are 0")
        else:
            self.memory.unmap_all()
        return DMA_UNMAP.pack(gone)

    def page_to_check(self) -> GuestAddress | None:
        """Guest memory that the client is to be asked for by message, because what we see of it cannot be right.

        Asked once, when the guest lets the device access memory: by then its firmware has run.
        """
        if self._memory_checked or not PciCommand(self.device.config.read(COMMAND, 2)).master:
            return None
        self._memory_checked = True
        return self.memory.doubtful_page()

    def page_checked(self, address: int, content: bytes | None) -> None:
        """The client's own view of that page; None when it did not tell."""
        if content is not None and any(content):
            self.findings.note(
                "guest-ram-private", f"guest memory at {address:#x}",
                "the file that came for this memory reads zero, but the guest has data there: the machine keeps its pages to"
                " itself, and whatever the device reads or writes is lost (QEMU: memory-backend-memfd needs share=on)",
            )  # fmt: skip

    # ---- what the device is ----

    def _region_info(self, asked: RegionInfo) -> bytes:
        flags, size = self.regions.describe(asked.region)
        kind = self.regions.type_of(asked.region)
        if kind is None:
            return REGION_INFO.pack(RegionInfo(REGION_INFO.size, flags, asked.region, 0, size, 0))
        capability = CAPABILITY_HEADER.pack(CapabilityHeader(RegionCapabilityId.TYPE, 1, 0)) + TYPED_REGION.pack(kind)
        whole = REGION_INFO.size + len(capability)
        if asked.argsz < whole:
            # The client learns how much room the capability takes, and asks again.
            return REGION_INFO.pack(RegionInfo(whole, flags, asked.region, 0, size, 0))
        return REGION_INFO.pack(RegionInfo(whole, flags, asked.region, REGION_INFO.size, size, 0)) + capability

    def _region_io_fds(self, asked: RegionIoFds) -> bytes:
        flags, _ = self.regions.describe(asked.region)
        if asked.flags or asked.parts or flags == RegionFlags(0):
            raise PeerError(errno.EINVAL, f"DEVICE_GET_REGION_IO_FDS of region {asked.region}: flags and count are 0, and the region exists")
        return REGION_IO_FDS.pack(RegionIoFds(REGION_IO_FDS.size, 0, asked.region, 0))

    def _irq_info(self, asked: IrqInfo) -> bytes:
        try:
            irq = IrqIndex(asked.irq)
        except ValueError:
            raise PeerError(errno.EINVAL, f"kind of interrupt {asked.irq}: kinds are 0 to {max(IrqIndex)}") from None
        flags, count = self.interrupts.describe(irq)
        return IRQ_INFO.pack(IrqInfo(IRQ_INFO.size, flags, irq, count))
