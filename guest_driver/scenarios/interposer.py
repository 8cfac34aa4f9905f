"""A host that says something else: the PVINFO page altered on its way to the guest.

A guest's refusals can be tried only against hosts that deserve them. In this process such a host is made; behind a
socket there is none, so the interposer stands on the guest's side of the wire and alters what the guest reads of a few
fields of the page, or takes base address register 2 away. Every access still reaches the host, which sees nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, final

from pvinfo.bus import Clock, ConfigSpace, GuestMemory, Machine, PciDevice, Region
from pvinfo.page import PVINFO_BASE, PVINFO_SIZE, VGT_IF
from pvinfo.pci import bar_offset

__all__ = ("Alterations", "InterposedMachine")

_APERTURE: Final = 2
_PAGE_END: Final = PVINFO_BASE + PVINFO_SIZE


class Alterations(NamedTuple):
    """What the guest reads instead of the truth."""

    fields: dict[str, int]
    """Values of fields of the page, by dotted path."""
    hide_aperture: bool

    def __bool__(self) -> bool:
        return bool(self.fields) or self.hide_aperture

    @property
    def move_slices(self) -> bool:
        """The guest is told of slices that its vGPU does not have."""
        return any(path.startswith(("avail_rs.mappable_gmadr", "avail_rs.nonmappable_gmadr")) for path in self.fields)

    def in_words(self) -> list[str]:
        """One phrase for each."""
        words = [f"{path} reads {value:#x}" for path, value in self.fields.items()]
        if self.hide_aperture:
            words.append("base address register 2 has no length")
        return words


class _AlteredRegion:
    """BAR0 with some bytes of the page replaced in what is read."""

    def __init__(self, inner: Region, replaced: dict[int, int]) -> None:
        self._inner = inner
        self._replaced = replaced

    @property
    def size(self) -> int:
        return self._inner.size

    def _alter(self, offset: int, size: int, value: int) -> int:
        for at in range(size):
            byte = self._replaced.get(offset + at)
            if byte is not None:
                value = value & ~(0xFF << 8 * at) | byte << 8 * at
        return value

    def read(self, offset: int, size: int) -> int:
        value = self._inner.read(offset, size)
        return self._alter(offset, size, value) if offset < _PAGE_END and offset + size > PVINFO_BASE else value

    def read32(self, offset: int, /) -> int:
        value = self._inner.read32(offset)
        return self._alter(offset, 4, value) if PVINFO_BASE <= offset < _PAGE_END else value

    def write(self, offset: int, size: int, value: int) -> None:
        self._inner.write(offset, size, value)

    def write32(self, offset: int, value: int, /) -> None:
        self._inner.write32(offset, value)


class _ConfigWithoutAperture:
    """Configuration space in which both registers of BAR2 read zero, whatever is written."""

    def __init__(self, inner: ConfigSpace) -> None:
        self._inner = inner
        self._hidden = range(bar_offset(_APERTURE), bar_offset(_APERTURE) + 8)

    def read(self, offset: int, size: int) -> int:
        value = self._inner.read(offset, size)
        for at in range(size):
            if offset + at in self._hidden:
                value &= ~(0xFF << 8 * at)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        if offset not in self._hidden:
            self._inner.write(offset, size, value)


class _InterposedDevice:
    def __init__(self, inner: PciDevice, alterations: Alterations) -> None:
        self._inner = inner
        self._hide_aperture = alterations.hide_aperture
        self.config: ConfigSpace = _ConfigWithoutAperture(inner.config) if self._hide_aperture else inner.config
        self._replaced: dict[int, int] = {}
        for path, value in alterations.fields.items():
            field = VGT_IF.field(path)
            for at, byte in enumerate(value.to_bytes(field.size, "little")):
                self._replaced[PVINFO_BASE + field.offset + at] = byte

    def bar(self, index: int) -> Region | None:
        if index == _APERTURE and self._hide_aperture:
            return None
        region = self._inner.bar(index)
        return _AlteredRegion(region, self._replaced) if index == 0 and region is not None else region

    def reset(self) -> None:
        self._inner.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        self._inner.on_interrupt(handler)


@final
class InterposedMachine:
    """A :class:`~pvinfo.bus.Machine` like ``inner``, whose guest reads ``alterations`` instead of the truth."""

    def __init__(self, inner: Machine, alterations: Alterations) -> None:
        self.gpu: PciDevice = _InterposedDevice(inner.gpu, alterations)
        self.memory: GuestMemory = inner.memory
        self.clock: Clock = inner.clock
