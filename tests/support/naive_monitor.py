"""The naive model's monitors: what answers on an AUX channel or an I2C bus, as the standards have it.

Where the product differs from the kernel's mediator on purpose, so does this: link training must be asked for, and is lost when
the link changes; what a monitor says of itself cannot be written; I2C honours the index that was written.

Source: linux:include/drm/display/drm_dp.h, linux:drivers/gpu/drm/i915/gvt/display.c (dpcd_fix_data)
"""

from __future__ import annotations

__all__ = ("NaiveEdid", "NaiveSink")

CAPABILITIES = {0x0: 0x12, 0x1: 0x14, 0x2: 0x84, 0x6: 0x01, 0x200: 0x01, 0x600: 0x01}
"""DPCD 1.2, four lanes of 5.4 Gb/s, 8b/10b; one monitor, which is on. All else is 0. The kernel leaves out the coding and the power."""
RATE, LANES, PATTERN, STATUS, POWER = 0x100, 0x101, 0x102, 0x202, 0x600
NATIVE_NAK, I2C_NAK = b"\x10", b"\x40"


class NaiveEdid:
    """An I2C memory at 0x50, with its segment register at 0x30."""

    def __init__(self, edid: bytes) -> None:
        self.edid = dict(enumerate(edid))
        self.target: tuple[int, bool] | None = None
        """Address and whether it is read, while a transaction is under way."""
        self.segment = 0
        self.index = 0
        self.fresh = False
        """The next byte written is the first of its message."""

    def start(self, address: int, reading: bool) -> bool:
        if (address, reading) not in ((0x50, True), (0x50, False), (0x30, False)):
            self.stop()
            return False
        self.target = address, reading
        self.fresh = not reading
        return True

    def stop(self) -> None:
        self.target = None
        self.segment = 0

    def take(self, byte: int) -> None:
        if self.fresh and self.target == (0x30, False):
            self.segment = byte
        if self.fresh and self.target == (0x50, False):
            self.index = byte
        self.fresh = False

    def give(self) -> int:
        byte = self.edid.get(256 * self.segment + self.index, 0)
        self.index = (self.index + 1) % 256
        return byte


class NaiveSink:
    """A DisplayPort monitor."""

    def __init__(self, edid: bytes) -> None:
        self.dpcd = dict(CAPABILITIES)
        self.edid = NaiveEdid(edid)
        self.recovered: set[int] = set()
        self.equalised: set[int] = set()

    def answer(self, message: bytes) -> bytes:
        """The reply; nothing to what is no message."""
        if len(message) < 3:
            return b""
        request, address = message[0] >> 4, int.from_bytes(message[:3], "big") & 0xFFFFF
        length = message[3] + 1 if len(message) > 3 else 0
        body = message[4:]
        nak = NATIVE_NAK if request & 8 else I2C_NAK
        if length > 16 or length and len(body) != (0 if request & 1 else length):
            return nak
        if request == 9:
            return b"\0" + bytes(self.dpcd.get(address + step, 0) if address + step < 0x700 else 0 for step in range(length))
        if request == 8:
            self.write({address + step: byte for step, byte in enumerate(body)})
            return b"\0"
        return nak if request & 8 else self.i2c(request, address & 0x7F, length, body)

    # ---- the link ----

    def lanes(self) -> set[int]:
        """Lanes in use."""
        count = self.dpcd.get(LANES, 0) & 0x1F
        usable = count in (1, 2, 4) and self.dpcd.get(RATE, 0) in (0x06, 0x0A, 0x14) and self.dpcd[POWER] & 7 == 1
        return set(range(count)) if usable else set()

    def write(self, written: dict[int, int]) -> None:
        written = {place: byte for place, byte in written.items() if 0x100 <= place < 0x200 or place == POWER}
        before = self.dpcd.get(RATE, 0), self.dpcd.get(LANES, 0)
        self.dpcd |= written
        if before != (self.dpcd.get(RATE, 0), self.dpcd.get(LANES, 0)) or self.dpcd[POWER] & 7 != 1:
            self.recovered, self.equalised = set(), set()
        pattern = self.dpcd.get(PATTERN, 0) & 3
        if PATTERN in written and pattern == 1:
            self.recovered, self.equalised = self.lanes(), set()
        if PATTERN in written and pattern >= 2:
            self.equalised = self.recovered & self.lanes()
        if written:
            for lane in range(4):
                place, shift = STATUS + lane // 2, lane % 2 * 4
                status = (1 if lane in self.recovered else 0) | (6 if lane in self.equalised else 0)
                self.dpcd[place] = self.dpcd.get(place, 0) & ~(0xF << shift) | status << shift
            aligned = bool(self.lanes()) and self.equalised == self.lanes()
            self.dpcd[STATUS + 2] = int(aligned)
            self.dpcd[STATUS + 3] = int(aligned and pattern == 0)

    # ---- I2C ----

    def i2c(self, request: int, address: int, length: int, body: bytes) -> bytes:
        reading = bool(request & 1)
        if request & 2:
            return b"\0" if self.edid.target else I2C_NAK
        found = self.edid.target == (address, reading) and not (length == 0 and request & 4)
        found = found or self.edid.start(address, reading)
        reply = b"\0" if found else I2C_NAK
        if found and reading:
            reply += bytes(self.edid.give() for _ in range(length))
        elif found:
            for byte in body:
                self.edid.take(byte)
        if not request & 4:
            self.edid.stop()
        return reply
