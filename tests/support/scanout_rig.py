"""A vGPU that shows a picture: its display registers are written as they stand once latched, its surfaces lie in scattered pages."""

from __future__ import annotations

import random

from support.naive_scanout import Color, NaiveDisplay
from support.vgpu_rig import GuestRig

from host_model.host import Host
from host_model.scanout import Frame, scan_out
from pvinfo.registers.transcoder import TranscoderSwitch
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress

__all__ = ("ScanoutRig", "colors_of", "plane_base")

PIPE_SOURCE = 0x6001C
PALETTE = 0x4A000
CURSOR = 0x70080
SURFACE_PAGES = 512


def plane_base(number: int, pipe: int = 0) -> int:
    """First register of plane ``number``, from 1."""
    return 0x70180 + 0x1000 * pipe + 0x100 * (number - 1)


def colors_of(frame: Frame) -> list[list[Color]]:
    """Red, green, blue."""
    pixels, rows = frame.pixels, []
    for start in range(0, frame.height * frame.pitch, frame.pitch):
        rows.append([(pixels[at + 2], pixels[at + 1], pixels[at]) for at in range(start, start + 4 * frame.width, 4)])
    return rows


class ScanoutRig:
    """One vGPU whose pipe A runs. ``surface`` is the first graphics address of 2 MiB whose pages follow each other in no order."""

    def __init__(self, platform: str = "skl", host: Host | None = None, seed: int = 1) -> None:
        host = host if host is not None else Host(platform)
        self.rig = GuestRig(host, host.plug(ram_size=4 * MIB))
        self.vgpu = self.rig.vgpu
        self.registers = self.vgpu.registers
        self.surface = int(self.vgpu.resources.low.start) + MIB
        pages = [self.rig.page() for _ in range(SURFACE_PAGES)]
        random.Random(seed).shuffle(pages)
        self.pages = pages
        for number, page in enumerate(pages):
            self.rig.map(self.surface + PAGE_SIZE * number, page)
        self.size(64, 48)
        self.vgpu.mmio.write32(TranscoderSwitch.conf.at("TRANSCODER_A"), 1 << 31)

    # ---- memory ----

    def store(self, offset: int, data: bytes) -> None:
        """Store bytes at ``offset`` of the surface memory."""
        done = 0
        while done < len(data):
            page, inside = divmod(offset + done, PAGE_SIZE)
            length = min(PAGE_SIZE - inside, len(data) - done)
            self.rig.ram.write(GuestAddress(self.pages[page] + inside), data[done : done + length])
            done += length

    def contents(self) -> bytes:
        """All of the surface memory, in the order of graphics addresses."""
        return b"".join(self.rig.ram.read(GuestAddress(page), PAGE_SIZE) for page in self.pages)

    # ---- registers ----

    def clear(self) -> None:
        """No plane, no cursor, no palette."""
        for number in range(1, 5):
            for offset in range(0, 0x30, 4):
                self.registers.write32(plane_base(number) + offset, 0)
        for offset in range(0, 0x30, 4):
            self.registers.write32(CURSOR + offset, 0)
        self.registers.write32(0x70034, 0)
        for number in range(256):
            self.registers.write32(PALETTE + 4 * number, 0x010101 * number)

    def size(self, width: int, height: int) -> None:
        """The size of the pipe's picture."""
        self.registers.write32(PIPE_SOURCE, width - 1 << 16 | height - 1)

    def plane(
        self, number: int, control: int, stride: int, *, surface: int | None = None, offset: tuple[int, int] = (0, 0),
        place: tuple[int, int] = (0, 0), size: tuple[int, int] = (64, 48), key: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        """Write a plane's registers; ``control`` without its enable bit."""
        base = plane_base(number)
        address = self.surface if surface is None else surface
        values = {
            0: control | 1 << 31, 8: stride, 0xC: place[1] << 16 | place[0], 0x10: size[1] - 1 << 16 | size[0] - 1, 0x14: key[0], 0x18: key[1],
            0x1C: address, 0x24: offset[1] << 16 | offset[0], 0x2C: address,
        }  # fmt: skip
        for at, value in values.items():
            self.registers.write32(base + at, value)

    def cursor(self, control: int, x: int, y: int, *, surface: int | None = None, lines: int = 0) -> None:
        """Write the cursor's registers."""
        address = self.surface if surface is None else surface
        place = abs(x) | (x < 0) << 15 | abs(y) << 16 | (y < 0) << 31
        for at, value in {0: control, 4: address, 8: place, 0x20: lines, 0x2C: address}.items():
            self.registers.write32(CURSOR + at, value)

    # ---- pictures ----

    def frame(self) -> Frame:
        """What the model shows."""
        frame = scan_out(self.vgpu)
        assert frame is not None
        return frame

    def naive(self) -> list[list[Color]]:
        """What the rules say."""
        contents, start = self.contents(), self.surface

        def byte(address: int) -> int:
            assert start <= address < start + len(contents), hex(address)
            return contents[address - start]

        return NaiveDisplay(self.vgpu.platform.graphics_version, self.registers.read32, byte).picture()
