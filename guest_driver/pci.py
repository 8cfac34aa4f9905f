"""What happens to the device before its driver proper: firmware places it, the PCI core hands it over.

Source: linux:drivers/pci/probe.c, linux:drivers/pci/msi/msi.c and any PC firmware.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from pvinfo.bus import ConfigSpace, Machine, Region
from pvinfo.pci import (
    BAR_COUNT,
    CAPABILITIES_POINTER,
    COMMAND,
    CONFIG_HEADER,
    GMCH_CTL,
    HEADER_SIZE,
    VENDOR_INTEL,
    BaseAddress,
    BaseAddressType,
    CapabilityId,
    Command,
    ConfigHeader,
    GmchControl,
    MsiControl,
    Pmcsr,
    PowerState,
    Status,
    bar_offset,
)
from pvinfo.platform import PLATFORMS, Platform
from pvinfo.units import GIB, MIB, PAGE_MASK, format_size

from .address_space import AddressSpace, Placement
from .log import DriverLog
from .refusal import Refusal, refuse

__all__ = ("Bar", "PciFunction")

_LATENCY_TIMER: Final = 0x0D
_CACHE_LINE_CYCLES: Final = 64
"""Latency timer that the PCI core gives a bus master. Source: linux:arch/x86/pci/i386.c"""

_LOW_WINDOW: Final = (0xC000_0000, 0xFEC0_0000)
"""Where a PC puts device memory below 4 GiB."""
_IO_WINDOW: Final = (0xC000, 0x1_0000)

_STOLEN_UNIT: Final = 32 * MIB
_STOLEN_FINE: Final = 0xF0
"""From this count of stolen memory on, gen9 counts anew in smaller steps."""
_STOLEN_FINE_UNIT: Final = 4 * MIB

_MSI_ADDRESS: Final = 0xFEE0_0000
"""The first processor's local interrupt controller."""
_MSI_VECTOR: Final = 0x25


class Bar(NamedTuple):
    """A base address register that was sized and placed."""

    number: int
    memory: bool
    """False: I/O ports."""
    wide: bool
    """The next register holds the upper half of the address."""
    prefetchable: bool
    size: int
    address: int
    region: Region | None
    """The window, when the machine can reach it."""

    def __str__(self) -> str:
        kind = f"{64 if self.wide else 32}-bit memory{', prefetchable' if self.prefetchable else ''}" if self.memory else "I/O"
        return f"BAR{self.number} at {self.address:#x}, {format_size(self.size)}, {kind}"


@final
class PciFunction:
    """The GPU as a PCI function: found, sized, placed, and switched on and off."""

    def __init__(self, machine: Machine, log: DriverLog) -> None:
        self._machine = machine
        self._log = log
        self.config: ConfigSpace = machine.gpu.config
        self.header: ConfigHeader = self._read_header()
        self.bars: dict[int, Bar] = {}
        """By index of the lower register."""
        self.capabilities: dict[int, int] = {}
        """Offset of each capability, by id."""
        self.msi_enabled = False
        self._saved: dict[int, int] = {}
        """The dwords of the header from before it was put to sleep."""

    # ---- what it is ----

    def _read_header(self) -> ConfigHeader:
        data = b"".join(self.config.read(offset, 4).to_bytes(4, "little") for offset in range(0, HEADER_SIZE, 4))
        return CONFIG_HEADER.unpack_from(data)

    def identify(self) -> Platform:
        """The platform it belongs to.

        Raises: HostRefused when it is no display controller, or none this driver knows.
        """
        header = self.header
        if header.vendor_id == VENDOR_INTEL and header.class_code.base_class == 0x03:
            for platform in PLATFORMS.values():
                if header.device_id == platform.device_id or header.device_id in platform.device_ids:
                    return platform
        refuse(
            Refusal.UNKNOWN_DEVICE,
            f"device {header.vendor_id:04x}:{header.device_id:04x} of class {header.class_code >> 8:06x}",
        )

    @property
    def revision(self) -> int:
        """Revision id, from which the driver knows the stepping."""
        return self.header.class_code.revision

    def gmch_control(self) -> GmchControl:
        """Size of the global table and of stolen memory."""
        return GmchControl(self.config.read(GMCH_CTL, 2))

    def stolen_bytes(self) -> int:
        """How much memory the firmware has taken for graphics. Source: linux:arch/x86/kernel/early-quirks.c"""
        gms = self.gmch_control().gms
        return gms * _STOLEN_UNIT if gms < _STOLEN_FINE else (gms - _STOLEN_FINE + 1) * _STOLEN_FINE_UNIT

    # ---- what firmware does ----

    def place(self) -> None:
        """Size every base address register by writing all ones, then give each an address, the largest first."""
        self._command(memory=0, io=0)
        sized: list[Bar] = []
        index = 0
        while index < BAR_COUNT:
            bar = self._size(index)
            if bar is not None:
                sized.append(bar)
            index += 2 if bar is not None and bar.wide else 1
        low = AddressSpace("device memory below 4 GiB", _LOW_WINDOW[1])
        ram_end = (self._machine.memory.size + PAGE_MASK) & ~PAGE_MASK
        low.reserve(0, min(max(ram_end, _LOW_WINDOW[0]), _LOW_WINDOW[1]), "RAM")
        ports = AddressSpace("I/O ports", _IO_WINDOW[1])
        ports.reserve(0, _IO_WINDOW[0], "legacy devices")
        high = max(4 * GIB, self._machine.memory.size)
        for bar in sorted(sized, key=lambda bar: bar.size, reverse=True):
            if not bar.memory:
                address = ports.insert(max(bar.size, 0x1000), str(bar), Placement.LOW).start
            elif any((min(top, _LOW_WINDOW[1]) & -bar.size) - bar.size >= bottom for bottom, top in low.holes()):
                address = low.insert(max(bar.size, 0x1000), str(bar), Placement.HIGH, alignment=max(bar.size, 0x1000)).start
            elif bar.wide:
                address = (high + bar.size - 1) & -bar.size
                high = address + bar.size
            else:
                self._log.error("bar-unplaced", f"{bar} does not fit below 4 GiB")
                continue
            self._write_address(bar, address)
            region = self._machine.gpu.bar(bar.number) if bar.memory else None
            self.bars[bar.number] = bar._replace(address=address, region=region)
            self._log.debug("bar", str(self.bars[bar.number]))
        self._walk_capabilities()

    def _size(self, index: int) -> Bar | None:
        offset = bar_offset(index)
        low = self._probe(offset)
        if low & BaseAddress.io.mask:
            return Bar(index, False, False, False, -(low & 0xFFFC) & 0xFFFF, 0, None)
        value = BaseAddress(low)
        wide = value.type == BaseAddressType.BITS_64 and index + 1 < BAR_COUNT
        mask = low & ~0xF
        if wide:
            mask |= self._probe(bar_offset(index + 1)) << 32
        if not mask:
            return None
        width = 64 if wide else 32
        return Bar(index, True, wide, value.prefetchable, -mask & ((1 << width) - 1), 0, None)

    def _probe(self, offset: int) -> int:
        before = self.config.read(offset, 4)
        self.config.write(offset, 4, 0xFFFF_FFFF)
        answer = self.config.read(offset, 4)
        self.config.write(offset, 4, before)
        return answer

    def _write_address(self, bar: Bar, address: int) -> None:
        self.config.write(bar_offset(bar.number), 4, address & 0xFFFF_FFFF)
        if bar.wide:
            self.config.write(bar_offset(bar.number + 1), 4, address >> 32)

    def _walk_capabilities(self) -> None:
        if not Status(self.config.read(0x06, 2)).capabilities:
            return
        offset = self.config.read(CAPABILITIES_POINTER, 1) & ~3
        while offset:
            if offset < HEADER_SIZE or offset in self.capabilities.values():
                self._log.warning("capability-list", f"the list of capabilities leads to {offset:#x}, which ends no list")
                return
            self.capabilities[self.config.read(offset, 1)] = offset
            offset = self.config.read(offset + 1, 1) & ~3

    # ---- what the PCI core does for the driver ----

    def _command(self, **flags: int) -> None:
        command = Command(self.config.read(COMMAND, 2))
        wanted = Command.of(command, **flags)
        if wanted != command:
            self.config.write(COMMAND, 2, wanted)

    def enable(self) -> None:
        """Let the base address registers answer (``pci_enable_device``).

        Raises: HostRefused when there are no registers behind base address register 0.
        """
        if not self._usable(0):
            refuse(Refusal.NO_REGISTERS, "BAR0 of 0 bytes")
        self._command(memory=1, io=int(any(not bar.memory for bar in self.bars.values())))

    def _usable(self, index: int) -> bool:
        bar = self.bars.get(index)
        return bar is not None and bar.memory and bar.region is not None

    def registers(self) -> Region:
        """BAR0. Raises: HostRefused when there is none."""
        bar = self.bars.get(0)
        if bar is None or bar.region is None:
            refuse(Refusal.NO_REGISTERS, "BAR0 of 0 bytes")
        return bar.region

    def aperture(self) -> tuple[Region, int]:
        """BAR2 and its length. Raises: HostRefused when there is none."""
        bar = self.bars.get(2)
        if bar is None or bar.region is None:
            refuse(Refusal.NO_APERTURE, "BAR2 of 0 bytes")
        return bar.region, bar.size

    def set_master(self) -> None:
        """Let it access memory (``pci_set_master``)."""
        self._command(master=1)
        if self.config.read(_LATENCY_TIMER, 1) < 16:
            self.config.write(_LATENCY_TIMER, 1, _CACHE_LINE_CYCLES)

    def enable_msi(self) -> bool:
        """Have it send its interrupts as messages (``pci_enable_msi``); False when it cannot."""
        base = self.capabilities.get(CapabilityId.MSI)
        if base is None:
            return False
        control = MsiControl(self.config.read(base + 2, 2))
        idle = MsiControl.of(control, enable=0, enabled_log2=0)
        self.config.write(base + 2, 2, idle)
        self.config.write(base + 4, 4, _MSI_ADDRESS)
        if control.address_64:
            self.config.write(base + 8, 4, 0)
        self.config.write(base + (0xC if control.address_64 else 8), 2, _MSI_VECTOR)
        self._command(interrupt_disable=1)
        self.config.write(base + 2, 2, MsiControl.of(idle, enable=1))
        self.msi_enabled = True
        return True

    def disable_msi(self) -> None:
        """Back to the interrupt pin (``pci_disable_msi``)."""
        if not self.msi_enabled:
            return
        base = self.capabilities[CapabilityId.MSI]
        self.config.write(base + 2, 2, MsiControl.of(self.config.read(base + 2, 2), enable=0))
        self._command(interrupt_disable=0)
        self.msi_enabled = False

    # ---- sleep ----

    def sleep(self) -> None:
        """Save the header, take the memory from it, put it to sleep (``pci_save_state``, ``pci_disable_device``, D3hot)."""
        self._saved = {offset: self.config.read(offset, 4) for offset in range(0, HEADER_SIZE, 4)}
        self._command(master=0)
        self._set_power_state(PowerState.D3HOT)

    def wake(self) -> None:
        """Wake it up, and put back what it may have lost (``pci_restore_state``)."""
        self._set_power_state(PowerState.D0)
        for offset, value in reversed(self._saved.items()):
            if self.config.read(offset, 4) != value:
                self.config.write(offset, 4, value)
        if self.msi_enabled:
            self.enable_msi()

    def _set_power_state(self, state: PowerState) -> None:
        base = self.capabilities.get(CapabilityId.POWER_MANAGEMENT)
        if base is not None:
            control = Pmcsr(self.config.read(base + 4, 2))
            self.config.write(base + 4, 2, Pmcsr.of(control, state=state))
