"""The two-wire bus to a monitor's memory, whatever carries it, and what is read from there."""

from __future__ import annotations

from typing import Final, Protocol

from pvinfo.errors import DriverError

from ..log import DriverLog

__all__ = ("EDID_ADDRESS", "I2cBus", "read_edid")

EDID_ADDRESS: Final = 0x50
"""Where on the bus a monitor's description is. Source: linux:drivers/gpu/drm/drm_edid.c (DDC_ADDR)"""
BLOCK: Final = 128
_MOST_EXTENSIONS: Final = 1
"""What lies within the first 256 bytes; beyond a monitor's memory has segments, which this driver does not ask for."""
_EXTENSIONS_AT: Final = 126
_TRIES: Final = 4


class I2cBus(Protocol):
    """A bus that a monitor may be at."""

    def read_from(self, address: int, offset: int, size: int) -> bytes | None:
        """``size`` bytes from ``offset`` on of the device at ``address``; None when nobody answers.

        Raises: DriverError when the bus itself does not work.
        """


def _block(bus: I2cBus, log: DriverLog, number: int) -> bytes | None:
    """One block whose bytes add up to 0; None when nobody answers."""
    rest = 0
    for attempt in range(1, _TRIES + 1):
        raw = bus.read_from(EDID_ADDRESS, number * BLOCK, BLOCK)
        if raw is None:
            return None
        rest = sum(raw) % 256
        if not rest:
            return raw
        log.debug("edid-checksum", f"block {number} of the EDID adds up to {rest:#x}, not 0, in attempt {attempt}")
    raise DriverError(f"block {number} of the EDID adds up to {rest:#x}, not 0, in each of {_TRIES} attempts")


def read_edid(bus: I2cBus, log: DriverLog) -> bytes | None:
    """What a monitor says of itself; None when there is none (``drm_edid_read_ddc``).

    Raises: DriverError when its check sum is wrong every time, or the bus does not work.
    """
    if bus.read_from(EDID_ADDRESS, 0, 1) is None:
        return None
    first = _block(bus, log, 0)
    if first is None:
        return None
    blocks = [first]
    for number in range(1, min(first[_EXTENSIONS_AT], _MOST_EXTENSIONS) + 1):
        block = _block(bus, log, number)
        if block is None:
            raise DriverError(f"the EDID speaks of block {number}, but the monitor does not give it")
        blocks.append(block)
    return b"".join(blocks)
