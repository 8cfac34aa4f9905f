"""The PCI configuration space of a GPU, physical or mediated.

Accesses are merged byte by byte under a mask of writable bits, so that any width and alignment a machine can produce has a
meaning (the kernel's mediator fails several of them, which real guests have met).

Source: linux:drivers/gpu/drm/i915/gvt/cfg_space.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from pvinfo.finding import FindingLog
from pvinfo.trace import Op, TraceWriter

from ..clock import HostClock

__all__ = ("CAPABILITY_MSI", "CAPABILITY_POWER", "CONFIG_SIZE", "ConfigurationSpace", "capabilities")

CONFIG_SIZE: Final = 4096

_COMMAND: Final = 0x04
_STATUS: Final = 0x06
_CAPABILITIES: Final = 0x34
_BAR0: Final = 0x10
_BARS: Final = range(0x10, 0x28, 4)
_ROM: Final = 0x30
_GMCH_CONTROL: Final = 0x50
_SOFTWARE_SCI: Final = 0xE8

_COMMAND_MEMORY: Final = 1 << 1
_COMMAND_MASTER: Final = 1 << 2
_STATUS_CAPABILITIES: Final = 1 << 4

_BAR_IO: Final = 1 << 0
_BAR_64_BIT: Final = 1 << 2

CAPABILITY_POWER: Final = 0x01
CAPABILITY_MSI: Final = 0x05

_WRITABLE_HEADER: Final[dict[int, int]] = {
    0x04: 0x0000_07FF,  # command: every bit that has a meaning; status is handled apart
    0x0C: 0x0000_00FF,  # cache line size
    0x3C: 0x0000_00FF,  # interrupt line
}
_STATUS_WRITE_1_CLEARS: Final = 0xF900_0000
"""The error bits of STATUS, in the dword of COMMAND."""


@final
class ConfigurationSpace:
    """4 KiB of configuration space; a :class:`~pvinfo.bus.ConfigSpace`.

    ``image`` is what it holds at power-on. ``bar_sizes`` gives the length of each window by its base address register's
    number; ``master_changed`` is called when software switches the device's access to memory on or off. ``software_sci`` is
    called with what software writes to SWSCI, by which it calls the firmware; the register itself stays as it is.
    """

    def __init__(
        self,
        image: bytes,
        bar_sizes: dict[int, int],
        findings: FindingLog,
        clock: HostClock,
        master_changed: Callable[[], None],
        software_sci: Callable[[int], None] | None = None,
    ) -> None:
        self._image = image
        self._bar_sizes = bar_sizes
        self._findings = findings
        self._clock = clock
        self._master_changed = master_changed
        self._software_sci = software_sci
        self.bytes = bytearray(image)
        self.trace: TraceWriter | None = None
        self.on_sleep: Callable[[bool], None] | None = None
        """Called when software has put the device to sleep (True), or woken it up."""
        self._capabilities = capabilities(image)

    def reset(self) -> None:
        """As at power-on."""
        self.bytes[:] = self._image

    # ---- what the rest of the device asks ----

    @property
    def memory_enabled(self) -> bool:
        """The device decodes its memory windows."""
        return bool(self._load(_COMMAND, 2) & _COMMAND_MEMORY)

    @property
    def master_enabled(self) -> bool:
        """The device may write to memory: DMA and message-signalled interrupts."""
        return bool(self._load(_COMMAND, 2) & _COMMAND_MASTER)

    @property
    def msi_capability(self) -> int | None:
        """Offset of the MSI capability."""
        return self._capabilities.get(CAPABILITY_MSI)

    @property
    def msi_enabled(self) -> bool:
        """Software has switched MSI on."""
        msi = self.msi_capability
        return msi is not None and bool(self._load(msi + 2, 2) & 1)

    @property
    def may_interrupt(self) -> bool:
        """Messages may be sent: software has set the device up for them, and it is awake."""
        return self.msi_enabled and self.master_enabled and not self.in_d3

    @property
    def in_d3(self) -> bool:
        """Software has put the device to sleep (D3hot)."""
        power = self._capabilities.get(CAPABILITY_POWER)
        return power is not None and self._load(power + 4, 2) & 3 == 3

    def bar_address(self, bar: int) -> int:
        """Where the machine has put the window of BAR ``bar`` (0 or 2)."""
        offset = _BAR0 + 4 * bar
        return self._load(offset, 8) & ~0xF

    # ---- software's accesses ----

    def read(self, offset: int, size: int) -> int:
        if not 0 <= offset <= CONFIG_SIZE - size:
            self._outside("read", offset, size, None)
            return (1 << 8 * size) - 1
        value = self._load(offset, size)
        if self.trace is not None:
            self.trace.add(self._clock.now_ns() // 1_000_000, Op.CONFIG_READ, size, offset, value)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        value &= (1 << 8 * size) - 1
        if self.trace is not None:
            self.trace.add(self._clock.now_ns() // 1_000_000, Op.CONFIG_WRITE, size, offset, value)
        if not 0 <= offset <= CONFIG_SIZE - size:
            self._outside("write", offset, size, value)
            return
        lanes = (1 << 8 * size) - 1
        for base in range(offset & ~3, offset + size, 4):
            shift = 8 * (base - offset)
            part, lane = (value >> shift, lanes >> shift) if shift >= 0 else (value << -shift, lanes << -shift)
            self._write_dword(base, part & 0xFFFFFFFF, lane & 0xFFFFFFFF)

    def _outside(self, what: str, offset: int, size: int, value: int | None) -> None:
        self._findings.fault(
            "config-outside", f"config+{offset:#x}", f"a {size}-byte {what} past the end of configuration space",
            value=value, nearest=f"[0, {CONFIG_SIZE:#x})",
        )  # fmt: skip

    def _write_dword(self, base: int, value: int, lanes: int) -> None:
        old = self._load(base, 4)
        if base in _BARS:
            self._store(base, 4, self._bar_value(base, old & ~lanes | value & lanes))
        elif base == _SOFTWARE_SCI:
            called = (old & ~lanes | value & lanes) & 0xFFFF
            if self._software_sci is not None and lanes & 0xFFFF:
                self._software_sci(called)
            elif self._software_sci is None:
                self._findings.note(
                    "software-sci", f"config+{_SOFTWARE_SCI:#x}", "a software SCI, but no firmware is here to answer it", value=called
                )
        else:
            writable = self._writable_bits(base) & lanes
            new = old & ~writable | value & writable
            if base == _COMMAND:
                new &= ~(value & lanes & _STATUS_WRITE_1_CLEARS)
            was_asleep = self.in_d3
            self._store(base, 4, new)
            if self.in_d3 != was_asleep and self.on_sleep is not None:
                self.on_sleep(self.in_d3)
            if base == _COMMAND and (new ^ old) & _COMMAND_MASTER:
                self._master_changed()

    def _writable_bits(self, base: int) -> int:
        if base < 0x40:
            return _WRITABLE_HEADER.get(base, 0)
        msi, power = self.msi_capability, self._capabilities.get(CAPABILITY_POWER)
        if base == _GMCH_CONTROL or (power is not None and base == power):
            return 0
        if base == msi:
            return 0x0001_0000  # enable; one vector, 32-bit, no masking
        if msi is not None and base == msi + 4:
            return 0xFFFF_FFFC
        if msi is not None and base == msi + 8:
            return 0x0000_FFFF
        if power is not None and base == power + 4:
            return 0x0000_0003  # power state
        return 0xFFFFFFFF

    def _bar_value(self, bar: int, value: int) -> int:
        """What a base address register keeps of ``value``: the address bits above its size, its type bits."""
        number = (bar - _BAR0) // 4
        size = self._bar_sizes.get(number)
        if size is not None:
            flags = self._image[bar] & (0x3 if self._image[bar] & _BAR_IO else 0xF)
            return value & ~(size - 1) & 0xFFFFFFF0 | flags
        below = self._bar_sizes.get(number - 1)
        if below is not None and self._image[bar - 4] & _BAR_64_BIT:
            return value & (~(below - 1) >> 32) & 0xFFFFFFFF
        return 0

    # ---- storage ----

    def _load(self, offset: int, size: int) -> int:
        return int.from_bytes(self.bytes[offset : offset + size], "little")

    def _store(self, offset: int, size: int, value: int) -> None:
        self.bytes[offset : offset + size] = value.to_bytes(size, "little")


def capabilities(image: bytes | bytearray) -> dict[int, int]:
    """The capability list of a configuration space: id to offset. A list that bites its tail ends there."""
    found: dict[int, int] = {}
    if not image[_STATUS] & _STATUS_CAPABILITIES:
        return found
    at, seen = image[_CAPABILITIES], set[int]()
    while at >= 0x40 and at not in seen:
        seen.add(at)
        found[image[at]] = at
        at = image[at + 1]
    return found
