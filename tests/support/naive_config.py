"""The naive model's configuration space: a dictionary of bytes, written one byte at a time.

Source: linux:drivers/gpu/drm/i915/gvt/cfg_space.c
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .naive_model import NaiveVgpu

__all__ = ("NaiveConfig",)

BAR0_SIZE = 16 << 20


class NaiveConfig:
    """4096 bytes and what a write may change of each."""

    def __init__(self, vgpu: NaiveVgpu, image: bytes, aperture: int) -> None:
        self.vgpu = vgpu
        self.sizes = {0x10: BAR0_SIZE, 0x18: aperture}
        self.bytes: dict[int, int] = {}
        self._at_reset = dict(enumerate(image))
        self.msi = self.power = 0
        self.reset()
        at = self.bytes[0x34] if self.bytes[0x06] & 0x10 else 0
        for _ in range(48):
            if at >= 0x40:
                if self.bytes[at] == 5:
                    self.msi = at
                if self.bytes[at] == 1:
                    self.power = at
                at = self.bytes[at + 1]
        self.reset()

    def reset(self) -> None:
        self.bytes = self._at_reset.copy()
        for offset in (0x04, 0x05, 0x51, *range(0x5C, 0x60), *range(0x11, 0x18), *range(0x19, 0x28), *range(0x30, 0x34), *range(0xFC, 0x100)):
            self.bytes[offset] = 0
        for bar in self.sizes:
            self.bytes[bar] &= 0x0F
        if self.msi:
            for offset in (2, 3, 4, 5, 6, 7, 8, 9):
                self.bytes[self.msi + offset] = 0

    def power_state(self) -> int:
        return self.bytes[self.power + 4] & 3 if self.power else 0

    def may_send_messages(self) -> bool:
        """MSI is on, and the device is awake and may write to memory."""
        return bool(self.msi and self.power_state() != 3 and self.bytes[self.msi + 2] & 1 and self.bytes[0x04] & 4)

    def read(self, offset: int, size: int) -> int:
        if offset < 0 or offset + size > 4096:
            return (1 << 8 * size) - 1
        return sum(self.bytes[offset + lane] << 8 * lane for lane in range(size))

    def write(self, offset: int, size: int, value: int) -> None:
        if offset < 0 or offset + size > 4096:
            return
        # The device looks at who may master the bus once the access, or each dword of it, has been taken.
        for first in range(offset & ~3, offset + size, 4):
            mastering = self.bytes[0x04] & 4
            awake = self.power_state() != 3
            for at in range(max(first, offset), min(first + 4, offset + size)):
                self.write_byte(at, value >> 8 * (at - offset) & 0xFF)
            if awake != (self.power_state() != 3):
                self.vgpu.display.pipes.asleep = awake
                self.vgpu.display.pipes.switched()
                if not awake:
                    self.vgpu.check_pending()
            if self.bytes[0x04] & 4 != mastering:
                self.vgpu.check_pending()

    def write_byte(self, at: int, byte: int) -> None:
        if at == 0x07:
            self.bytes[at] &= ~(byte & 0xF9)
            return
        bar = at & ~7
        if 0x10 <= at < 0x28:
            size = self.sizes.get(bar, 0)
            mask = (1 << 64) - size if size else 0
            writable = mask >> 8 * (at - bar) & 0xFF
            if at == bar:
                writable &= 0xF0
        else:
            writable = self.writable(at)
        self.bytes[at] = self.bytes[at] & ~writable | byte & writable

    def writable(self, at: int) -> int:
        if at < 0x40:
            return {0x04: 0xFF, 0x05: 0x07, 0x0C: 0xFF, 0x3C: 0xFF}.get(at, 0)
        if 0x50 <= at < 0x54 or 0xE8 <= at < 0xEC:
            return 0
        for start, masks in (
            (self.msi, (0, 0, 1, 0, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0)),
            (self.power, (0, 0, 0, 0, 3, 0, 0, 0)),
        ):
            if start and start <= at < start + len(masks):
                return masks[at - start]
        return 0xFF
