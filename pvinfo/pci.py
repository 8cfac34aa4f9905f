"""The GPU's PCI configuration space: the standard header, two capabilities, and the registers Intel added.

A vGPU shows the physical GPU's space with its base address registers cleared and its stolen memory gone; the
guest sizes and places the base address registers as on any device.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from .bits import Bits, choice, flag, uint
from .errors import UsageError
from .units import MIB
from .wire import Codec, nested, reserved, u8, u16, u32

__all__ = (
    "ASLS",
    "BAR0",
    "BAR2",
    "BAR4",
    "BAR_COUNT",
    "BSM",
    "CAPABILITIES_POINTER",
    "CLASS_VGA",
    "COMMAND",
    "CONFIG_HEADER",
    "CONFIG_SIZE",
    "EXPANSION_ROM",
    "GMCH_CTL",
    "HEADER_SIZE",
    "INTERRUPT_LINE",
    "MSI_CAPABILITY",
    "POWER_MANAGEMENT_CAPABILITY",
    "REVISION_ID",
    "STATUS",
    "SWSCI",
    "SWSMISCI",
    "VENDOR_INTEL",
    "BaseAddress",
    "BaseAddressType",
    "CapabilityHeader",
    "CapabilityId",
    "ClassCode",
    "Command",
    "ConfigHeader",
    "GgttSize",
    "GmchControl",
    "HeaderType",
    "IoBaseAddress",
    "MsiCapability",
    "MsiControl",
    "Pmcsr",
    "PowerManagementCapabilities",
    "PowerManagementCapability",
    "PowerState",
    "RomAddress",
    "Status",
    "SwsciControl",
    "bar_offset",
    "bar_sizing_mask",
)

SOURCE: Final = "linux:include/uapi/linux/pci_regs.h"
GPU_SOURCE: Final = "linux:include/drm/intel/i915_drm.h"
SWSCI_SOURCE: Final = "linux:drivers/gpu/drm/i915/intel_pci_config.h"

VENDOR_INTEL: Final = 0x8086
CLASS_VGA: Final = 0x030000
"""Display controller, VGA compatible: base class 3, sub-class 0, interface 0."""

CONFIG_SIZE: Final = 4096
"""Bytes of the configuration space that a vGPU has."""
HEADER_SIZE: Final = 64

COMMAND: Final = 0x04
STATUS: Final = 0x06
REVISION_ID: Final = 0x08
BAR0: Final = 0x10
"""Registers and global translation table: 16 MiB, 64-bit, not prefetchable."""
BAR2: Final = 0x18
"""Aperture: graphics memory from address 0, 64-bit, prefetchable. A vGPU shows the physical GPU's length."""
BAR4: Final = 0x20
"""I/O ports of the physical GPU; a vGPU has none."""
BAR_COUNT: Final = 6
EXPANSION_ROM: Final = 0x30
CAPABILITIES_POINTER: Final = 0x34
INTERRUPT_LINE: Final = 0x3C

GMCH_CTL: Final = 0x50
"""Graphics control: sizes of the global table and of stolen memory. 16 bits."""
BSM: Final = 0x5C
"""Base of stolen memory; 0 in a vGPU, which has none."""
SWSMISCI: Final = 0xE0
"""Call of the firmware by SMI, an older way."""
SWSCI: Final = 0xE8
"""Call of the firmware by SCI. 16 bits."""
ASLS: Final = 0xFC
"""Guest-physical address of the OpRegion; 0: there is none."""


class Command(Bits):
    """What the function may do."""

    io = flag(0, "it answers I/O port accesses")
    memory = flag(1, "it answers memory accesses: the base address registers are in use")
    master = flag(2, "it may access memory and send message-signalled interrupts")
    special_cycles = flag(3, "it listens to special cycles")
    memory_write_invalidate = flag(4, "it may use memory write and invalidate")
    vga_palette_snoop = flag(5, "it listens to writes of the VGA palette")
    parity_response = flag(6, "it reports parity errors")
    serr_enable = flag(8, "it may report system errors")
    fast_back_to_back = flag(9, "it may start a transfer right after another")
    interrupt_disable = flag(10, "it must not use the interrupt pin")


class Status(Bits):
    """What the function is capable of, and what has happened to it."""

    interrupt = flag(3, "the interrupt pin would be asserted")
    capabilities = flag(4, "there is a list of capabilities")
    mhz66 = flag(5, "it runs at 66 MHz")
    fast_back_to_back = flag(7, "it takes transfers right after another")
    master_parity_error = flag(8, "a parity error in a transfer it made (write 1 to clear)")
    devsel_timing = uint(9, 2, "how fast it answers: 0 fast, 1 medium, 2 slow")
    signalled_target_abort = flag(11, "it aborted a transfer (write 1 to clear)")
    received_target_abort = flag(12, "its transfer was aborted (write 1 to clear)")
    received_master_abort = flag(13, "nobody answered its transfer (write 1 to clear)")
    signalled_system_error = flag(14, "it reported a system error (write 1 to clear)")
    parity_error = flag(15, "it saw a parity error (write 1 to clear)")


class BaseAddressType(IntEnum):
    """Width of a memory base address register."""

    BITS_32 = 0
    BITS_64 = 2
    """The next register holds address bits 63:32."""


class BaseAddress(Bits):
    """A memory base address register, lower half. The low four bits are fixed."""

    io = flag(0, "0: this is memory")
    type = choice(1, 2, BaseAddressType, "width of the address")
    prefetchable = flag(3, "reads have no side effect")
    base = uint(4, 28, "address bits 31:4; as many of the lowest stay 0 as the length has zeros", unit="16 bytes")


class IoBaseAddress(Bits):
    """An I/O base address register."""

    io = flag(0, "1: this is I/O")
    base = uint(2, 30, "port bits 31:2", unit="4 ports")


class RomAddress(Bits):
    """The expansion ROM's base address register."""

    enable = flag(0, "the ROM answers")
    base = uint(11, 21, "address bits 31:11", unit="2 KiB")


class ClassCode(Bits):
    """What kind of function it is, with its revision: the dword at 8."""

    revision = uint(0, 8, "revision; the driver knows the stepping by it")
    interface = uint(8, 8, "programming interface")
    sub_class = uint(16, 8, "sub-class")
    base_class = uint(24, 8, "base class, 3 for display controllers")


class HeaderType(Bits):
    """Layout of the header."""

    layout = uint(0, 7, "0 for a function, 1 for a bridge")
    multi_function = flag(7, "the device has more than one function")


class GgttSize(IntEnum):
    """Size of the global table; the address space it covers is 512 times as much."""

    NONE = 0
    MIB_2 = 1
    MIB_4 = 2
    MIB_8 = 3


class GmchControl(Bits):
    """Graphics control, from gen8 on."""

    vga_disable = flag(1, "VGA accesses do not go to this function", source=GPU_SOURCE)
    ggms = choice(6, 2, GgttSize, "size of the global table: 2, 4 or 8 MiB for 1, 2 or 4 GiB of graphics memory", source=GPU_SOURCE)
    gms = uint(8, 8, "memory taken from the system for graphics (gen9: from 0xf0 on in steps of 4 MiB); 0 in a vGPU", unit="32 MiB", source=GPU_SOURCE)

    @property
    def ggtt_bytes(self) -> int:
        """Length of the global table."""
        return 0 if not self.ggms else (1 << int(self.ggms)) * MIB


class SwsciControl(Bits):
    """A call of the firmware through the OpRegion."""

    trigger = flag(0, "start the call", source=SWSCI_SOURCE)
    sci_select = flag(15, "raise an SCI, not an SMI", source=SWSCI_SOURCE)


class CapabilityId(IntEnum):
    """Capabilities that the GPU has."""

    POWER_MANAGEMENT = 0x01
    MSI = 0x05
    VENDOR = 0x09
    PCI_EXPRESS = 0x10


class MsiControl(Bits):
    """Message-signalled interrupts: enable and form. The mediator delivers only the plain form with one message."""

    enable = flag(0, "send messages instead of using the pin")
    capable_log2 = uint(1, 3, "messages the function can send, as a power of two")
    enabled_log2 = uint(4, 3, "messages it may send, as a power of two; anything but 0 stops delivery by a GVT-g host")
    address_64 = flag(7, "the record has an upper address half")
    maskable = flag(8, "the record has mask and pending bits")


class PowerManagementCapabilities(Bits):
    """What of power management the function can do."""

    version = uint(0, 3, "version of the specification")
    pme_clock = flag(3, "waking needs the bus clock")
    device_specific_init = flag(5, "it needs the driver after power-on")
    aux_current = uint(6, 3, "current drawn while asleep")
    d1 = flag(9, "it has state D1")
    d2 = flag(10, "it has state D2")
    pme_support = uint(11, 5, "states from which it can wake")


class PowerState(IntEnum):
    """Power state of a function."""

    D0 = 0
    D1 = 1
    D2 = 2
    D3HOT = 3


class Pmcsr(Bits):
    """Power state, 16 bits. A vGPU that enters D3hot keeps its tables over the next reset: the guest resumes with them."""

    state = choice(0, 2, PowerState, "power state")
    no_soft_reset = flag(3, "leaving D3hot does not reset the function")
    pme_enable = flag(8, "it may wake the system")
    data_select = uint(9, 4, "what the data register shows")
    data_scale = uint(13, 2, "unit of the data register")
    pme_status = flag(15, "it has asked to wake the system (write 1 to clear)")


class ConfigHeader(NamedTuple):
    """The first 64 bytes of a function's configuration space."""

    vendor_id: Annotated[int, u16("maker; Intel is 0x8086")]
    device_id: Annotated[int, u16("model; the driver knows the platform by it")]
    command: Annotated[Command, u16("what the function may do")]
    status: Annotated[Status, u16("what it is capable of and what has happened to it")]
    class_code: Annotated[ClassCode, u32("kind of function and revision")]
    cache_line_size: Annotated[int, u8("cache line size", unit="dwords")]
    latency_timer: Annotated[int, u8("bus cycles it may keep the bus", unit="cycles")]
    header_type: Annotated[HeaderType, u8("layout of this header")]
    bist: Annotated[int, u8("built-in self test")]
    bar0: Annotated[BaseAddress, u32("registers and global table, lower half")]
    bar1: Annotated[int, u32("registers and global table, address bits 63:32")]
    bar2: Annotated[BaseAddress, u32("aperture, lower half")]
    bar3: Annotated[int, u32("aperture, address bits 63:32")]
    bar4: Annotated[IoBaseAddress, u32("I/O ports; 0 in a vGPU, which has none")]
    bar5: Annotated[int, u32("not used")]
    cardbus_cis: Annotated[int, u32("CardBus information; 0")]
    subsystem_vendor_id: Annotated[int, u16("maker of the board")]
    subsystem_id: Annotated[int, u16("model of the board")]
    expansion_rom: Annotated[RomAddress, u32("place of the expansion ROM; a vGPU has none")]
    capabilities_pointer: Annotated[int, u8("offset of the first capability")]
    reserved: Annotated[bytes, reserved(7)]
    interrupt_line: Annotated[int, u8("interrupt number that firmware chose; means nothing to the function")]
    interrupt_pin: Annotated[int, u8("interrupt pin: 0 none, 1 INTA")]
    min_grant: Annotated[int, u8("0")]
    max_latency: Annotated[int, u8("0")]

    @property
    def registers_address(self) -> int:
        """Where the machine sees BAR0."""
        return self.bar1 << 32 | self.bar0 & ~0xF

    @property
    def aperture_address(self) -> int:
        """Where the machine sees BAR2."""
        return self.bar3 << 32 | self.bar2 & ~0xF


CONFIG_HEADER: Final = Codec(ConfigHeader, doc="header of the GPU's configuration space (type 0)", source=SOURCE, size=HEADER_SIZE)


class CapabilityHeader(NamedTuple):
    """How every capability begins."""

    id: Annotated[int, u8("which capability, see CapabilityId")]
    next: Annotated[int, u8("offset of the next capability, 0 at the end of the list")]


class MsiCapability(NamedTuple):
    """Message-signalled interrupts, in the plain form: 32-bit address, one message, no masking."""

    header: Annotated[CapabilityHeader, nested("capability 5")]
    control: Annotated[MsiControl, u16("enable and form")]
    address: Annotated[int, u32("where the message is written")]
    data: Annotated[int, u16("what is written")]


MSI_CAPABILITY: Final = Codec(MsiCapability, doc="message-signalled interrupt capability", source=SOURCE, size=10)


class PowerManagementCapability(NamedTuple):
    """Power management."""

    header: Annotated[CapabilityHeader, nested("capability 1")]
    capabilities: Annotated[PowerManagementCapabilities, u16("what it can do")]
    pmcsr: Annotated[Pmcsr, u16("control and status")]
    bridge: Annotated[int, u8("bridge extensions; 0")]
    data: Annotated[int, u8("what data_select of pmcsr chose; 0")]


POWER_MANAGEMENT_CAPABILITY: Final = Codec(PowerManagementCapability, doc="power management capability", source=SOURCE, size=8)


def bar_offset(index: int) -> int:
    """Offset of base address register ``index``. Raises: UsageError when there is no such register."""
    if not 0 <= index < BAR_COUNT:
        raise UsageError(f"base address register {index}: a function has 0 to {BAR_COUNT - 1}")
    return BAR0 + 4 * index


def bar_sizing_mask(size: int) -> int:
    """What a 64-bit base address register of ``size`` bytes reads back after all ones were written to it, form bits aside.

    Raises: UsageError when the size is not a power of two of at least 16.
    """
    if size < 16 or size & (size - 1):
        raise UsageError(f"base address register of {size:#x} bytes: its length is a power of two, at least 16")
    return (1 << 64) - size
