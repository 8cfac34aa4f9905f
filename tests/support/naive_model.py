"""A second opinion on what a guest sees: slow, made of dictionaries, and written from the kernel's rules, not from our code.

Nothing of ``host_model`` is imported, and of ``pvinfo`` only the raw table of tracked registers, which is the kernel's
data. Random guests run against this and against the real mediator (:mod:`support.duel`); whatever they see differently is
a defect of one of the two. Where the product differs from the kernel on purpose, so does this, and says so.

Source: linux:drivers/gpu/drm/i915/gvt (mmio.c, handlers.c, gtt.c, interrupt.c, vgpu.c, aperture_gm.c, display.c)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

from .naive_config import NaiveConfig

__all__ = ("ANYTHING", "NaiveVgpu")

ANYTHING = None
"""What is read where the rules do not fix the value: time stamps, answers of devices that this model leaves out."""

REGISTERS_END = 0x200000
GTT_START = 0x800000
PVINFO = 0x78000
ENGINE_BASES = (0x2000, 0x12000, 0x1A000, 0x22000)
HOTPLUG = 0xC4030
SCRATCH = "scratch"

Rule = Callable[["NaiveVgpu", int, int], int]
"""Write rule: the vGPU, the dword's offset, the dword as the write leaves it; gives what is stored."""
ReadRule = Callable[["NaiveVgpu", int], "int | None"]


def vfio_pieces(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """An access as VFIO cuts it: aligned pieces of 4, 2 or 1 bytes."""
    while size:
        width = 4
        while offset % width or width > size:
            width //= 2
        yield offset, width
        offset += width
        size -= width


class Tracked:
    """The kernel's table for one platform: which bits are read-only, which registers are masked."""

    def __init__(self, platform: str) -> None:
        self.read_only: dict[int, int] = {}
        self.masked: set[int] = set()
        blocks: set[int] = set()
        for line in files("pvinfo.registers").joinpath("tracked.tsv").read_text("ascii").splitlines():
            if not line.startswith("0x"):
                continue
            start, size, platforms, flags, read_only, *_ = line.split("\t")
            if platforms != "ALL" and platform.upper() not in platforms.split(","):
                continue
            for offset in range(int(start, 16), int(start, 16) + int(size, 16), 4):
                if int(size, 16) >= 1024 and int(start, 16) != 0xC800:
                    blocks.add(offset)
                if int(read_only, 16):
                    self.read_only[offset] = int(read_only, 16)
                if "MODE_MASK" in flags.split(","):
                    self.masked.add(offset)
        for offset in blocks:  # blocks of plain storage win over single registers
            self.read_only.pop(offset, None)
            self.masked.discard(offset)


@cache
def tracked(platform: str) -> Tracked:
    """The table of ``platform``, read once."""
    return Tracked(platform)


class NaiveVgpu:
    """One vGPU and its guest's memory."""

    def __init__(
        self, platform: str, number: int, low: range, high: range, fences: int, ggtt_pages: int, aperture: int, ram_size: int,
        golden_registers: bytes, golden_config: bytes,
    ) -> None:  # fmt: skip
        from .naive_display import NaiveDisplay, hide_picture
        from .naive_rules import ZERO_FILLED, opaque_registers, read_rules, write_rules

        self.platform = platform
        self.number = number
        self.low, self.high = low, high
        self.fence_count = fences
        self.ggtt_pages = ggtt_pages
        self.ram_size = ram_size
        self.golden = hide_picture(golden_registers)
        self.tracked = tracked(platform)
        self.write_rules = write_rules(platform)
        self.read_rules = read_rules(platform)
        self.opaque = opaque_registers(platform)
        self.zero_filled = ZERO_FILLED
        self.config = NaiveConfig(self, golden_config, aperture)
        self.registers: dict[int, int] = {}
        """Dwords that differ, or may differ, from the golden ones; :meth:`get` is the way to read."""
        self.entries: dict[int, int] = {}
        self.halves: dict[int, tuple[int, int]] = {}
        self.hardware: dict[int, tuple[str | int, int]] = {}
        """Per owned page of graphics memory: guest frame or scratch, and the other bits."""
        self.hardware_fences = [0] * fences
        self.ram: dict[int, int] = {}
        self.scratch: dict[int, int] = {}
        self.failsafe = ""
        self.aware = False
        self.display_ready = False
        self.notifications: dict[int, int] = {}
        self.messages = 0
        """Interrupts that the guest has been sent."""
        self.connected = True
        self.display = NaiveDisplay(self)
        self.populate()

    # ---- registers ----

    def get(self, offset: int) -> int:
        """The dword that is stored."""
        if offset not in self.registers:
            return int.from_bytes(self.golden[offset : offset + 4], "little")
        return self.registers[offset]

    def put(self, offset: int, value: int) -> None:
        """Store a dword."""
        self.registers[offset] = value & 0xFFFFFFFF

    def populate(self) -> None:
        """The PVINFO page and the few registers that a guest must find differently from the golden ones."""
        self.registers.update(dict.fromkeys(range(PVINFO, PVINFO + 0x1000, 4), 0))
        for offset, value in {
            0x0: 0x76544776, 0x4: 0x47765447, 0x8: 1, 0xC: self.number, 0x10: 0x1C,
            0x40: self.low.start, 0x44: len(self.low), 0x48: self.high.start, 0x4C: len(self.high), 0x50: self.fence_count,
            0x830: 0xFFFFFFFF, 0x834: 0xFFFFFFFF,
        }.items():  # fmt: skip
            self.put(PVINFO + offset, value)
        self.put(0xC000, self.get(0xC000) | 1)
        self.display_ready = False

    def reset(self) -> None:
        """Device reset."""
        slept = self.config.power_state() == 3
        self.registers.clear()
        self.populate()
        self.put(0x13805C, 0)
        self.put(0x138060, 0)
        self.entries.clear()  # the kernel keeps what the guest wrote; we do not
        self.halves.clear()
        self.hardware.clear()
        self.hardware_fences = [0] * self.fence_count
        self.failsafe = ""
        self.display.reset()
        if not slept:
            self.aware = False
        self.config.reset()

    def reset_whole_gt(self) -> None:
        """GDRST bit 0: the registers below the interrupt and display ones, and the page."""
        for offset in [offset for offset in self.registers if offset < 0x44200]:
            del self.registers[offset]
        self.populate()

    def enter_failsafe(self, reason: str) -> None:
        if not self.failsafe:
            self.failsafe = reason

    # ---- BAR0 ----

    def read(self, offset: int, size: int) -> int | None:
        gtt_end = GTT_START + 8 * self.ggtt_pages
        if offset >= 0 and offset + size <= REGISTERS_END:
            value = 0
            unknown = False
            for at, width in vfio_pieces(offset, size):
                dword = self.read_dword(at & ~3)
                if dword is None:
                    unknown = True
                else:
                    value |= (dword >> 8 * (at % 4) & (1 << 8 * width) - 1) << 8 * (at - offset)
            return ANYTHING if unknown else value
        if offset >= GTT_START and offset + size <= gtt_end:
            value = 0
            for lane in range(size):
                byte = offset + lane - GTT_START
                value |= (self.entries.get(byte // 8, 0) >> 8 * (byte % 8) & 0xFF) << 8 * lane
            return value
        return (1 << 8 * size) - 1

    def read_dword(self, base: int) -> int | None:
        if self.failsafe:
            return ANYTHING if base in self.opaque else self.get(base)
        if PVINFO <= base < PVINFO + 0x1000:
            self.aware = True
        if base in self.read_rules:
            return self.read_rules[base](self, base)
        if base in self.opaque:
            return ANYTHING
        return self.get(base)

    def write(self, offset: int, size: int, value: int) -> None:
        gtt_end = GTT_START + 8 * self.ggtt_pages
        if offset >= 0 and offset + size <= REGISTERS_END:
            for at, width in vfio_pieces(offset, size):
                self.write_piece(at, width, value >> 8 * (at - offset) & (1 << 8 * width) - 1)
        elif offset >= GTT_START and offset + size <= gtt_end:
            self.write_entries(offset - GTT_START, size, value)

    def write_piece(self, offset: int, width: int, value: int) -> None:
        base = offset & ~3
        old = self.get(base)
        lanes = (1 << 8 * width) - 1 << 8 * (offset - base)
        shifted = value << 8 * (offset - base)
        if self.failsafe:
            self.put(base, old & ~lanes | shifted)
            return
        zero_filled = base in self.zero_filled and base in self.write_rules
        data = shifted if zero_filled else old & ~lanes | shifted
        fixed = 0 if base == HOTPLUG else self.tracked.read_only.get(base, 0)  # whose status the kernel lets nobody clear
        data = data & ~fixed | old & fixed
        if base in self.write_rules:
            data = self.write_rules[base](self, base, data) & 0xFFFFFFFF
        if base in self.tracked.masked:
            enabled = data >> 16
            data = old & ~enabled | data & enabled
        self.put(base, data)

    # ---- the translation table ----

    def owner_of(self, page: int) -> bool:
        return page << 12 in self.low or page << 12 in self.high

    def write_entries(self, at: int, size: int, value: int) -> None:
        page = at // 8
        if self.failsafe:
            for lane in range(size):
                byte = at + lane
                if self.owner_of(byte // 8):
                    old = self.entries.get(byte // 8, 0) & ~(0xFF << 8 * (byte % 8))
                    self.entries[byte // 8] = old | (value >> 8 * lane & 0xFF) << 8 * (byte % 8)
        elif at % 4 or size not in (4, 8):
            pass  # dropped
        elif size == 8 and at % 8 == 0:
            if self.owner_of(page):
                self.halves.pop(page, None)
                self.write_entry(page, value)
        else:
            for number in range(size // 4):
                self.write_half((at + 4 * number) // 8, (at // 4 + number) % 2, value >> 32 * number & 0xFFFFFFFF)

    def write_half(self, page: int, half: int, value: int) -> None:
        if not self.owner_of(page):
            return
        waiting = self.halves.get(page)
        if waiting is not None and waiting[0] != half:
            del self.halves[page]
            self.write_entry(page, value << 32 * half | waiting[1] << 32 * waiting[0])
        else:
            self.halves[page] = (half, value)
            self.entries[page] = value << 32 * half
            self.hardware[page] = (SCRATCH, 0)

    def write_entry(self, page: int, entry: int) -> None:
        self.entries[page] = entry
        frame = entry >> 12 & (1 << 34) - 1
        others = entry & ~(((1 << 34) - 1) << 12)
        if not entry & 1:
            self.hardware[page] = (SCRATCH, 0)
        elif frame << 12 < self.ram_size:
            self.hardware[page] = (frame, others)
        else:
            self.hardware[page] = (SCRATCH, others)

    def owns_range(self, start: int, end: int) -> bool:
        """``[start, end)`` lies whole in one slice."""
        return any(part.start <= start and end <= part.stop for part in (self.low, self.high))

    # ---- fences ----

    def push_fence(self, number: int) -> None:
        low, high = self.get(0x100000 + 8 * number), self.get(0x100004 + 8 * number)
        start, end = low >> 12 << 12, (high >> 12) + 1 << 12
        usable = low & 1 and start < end and self.owns_range(start, end)  # the kernel does not look at the range
        self.hardware_fences[number] = (high << 32 | low) if usable else 0

    # ---- the aperture ----

    def aperture_byte(self, address: int) -> tuple[dict[int, int], int] | None:
        if address not in self.low:
            return None
        tiled = self.through_fence(address)
        if tiled is None:
            return None
        address = tiled
        frame, _ = self.hardware.get(address >> 12, (SCRATCH, 1))
        if isinstance(frame, str):
            return self.scratch, address & 0xFFF
        return self.ram, frame << 12 | address & 0xFFF

    def through_fence(self, address: int) -> int | None:
        """Where the tiling of the first fence over the byte keeps it; None past the fence's end."""
        for fence in self.hardware_fences:
            first, last = fence >> 12 & 0xFFFFF, fence >> 44 & 0xFFFFF
            if not fence & 1 or not first <= address >> 12 <= last:
                continue
            pitch = 128 * ((fence >> 32 & 0x7FF) + 1)
            y, x = (address - (first << 12)) // pitch, (address - (first << 12)) % pitch
            if fence & 2:
                tile = y // 32 * (pitch // 128) + x // 128
                inside = x % 128 // 16 * 512 + y % 32 * 16 + x % 16
            else:
                tile = y // 8 * (pitch // 512) + x // 512
                inside = y % 8 * 512 + x % 512
            place = (first + tile << 12) + inside
            return place if place >> 12 <= last else None
        return address

    def read_aperture(self, address: int, size: int) -> int:
        value = 0
        for lane in range(size):
            place = self.aperture_byte(address + lane)
            value |= (place[0].get(place[1], 0) if place else 0xFF) << 8 * lane
        return value

    def write_aperture(self, address: int, size: int, value: int) -> None:
        for lane in range(size):
            place = self.aperture_byte(address + lane)
            if place:
                place[0][place[1]] = value >> 8 * lane & 0xFF

    # ---- interrupts ----

    GROUPS = (
        (0x44300, 0x0000FFFF, 0), (0x44300, 0xFFFF0000, 1), (0x44310, 0x0000FFFF, 2), (0x44310, 0xFFFF0000, 3),
        (0x44320, 0x0000FFFF, 4), (0x44330, 0x0000FFFF, 6),
        (0x44400, 0xFFFFFFFF, 16), (0x44410, 0xFFFFFFFF, 17), (0x44420, 0xFFFFFFFF, 18),
        (0x44440, 0xFFFFFFFF, 20), (0x44460, 0xFFFFFFFF, 22), (0xC4000, 0xFFFFFFFF, 23), (0x444E0, 0xFFFFFFFF, 30),
    )  # fmt: skip
    """Base of the group's ISR, the bits of the group, and the bit of the master register behind which they stand."""

    def show_pending(self) -> None:
        """The master register's bits follow the groups; as on hardware also while it is switched off."""
        master = self.get(0x44200) & 0x80000000
        for base, mask, bit in self.GROUPS:
            if self.get(base + 8) & self.get(base + 0xC) & mask:
                master |= 1 << bit
        self.put(0x44200, master)

    def check_pending(self) -> None:
        """Send a message when the master register is on and shows anything."""
        self.show_pending()
        master = self.get(0x44200)
        if master & 0x80000000 and master & 0x7FFFFFFF and self.config.may_send_messages() and self.connected:
            self.messages += 1

    def event(self, group: int, bit: int) -> None:
        """Something happens: its bit shows unless it is masked, in which case it is lost."""
        if not self.get(group + 4) & 1 << bit:
            self.put(group + 8, self.get(group + 8) | 1 << bit)
        self.check_pending()
