"""The screen as a region of the device: who runs the guest's machine reads the picture, with no memory shared.

What is read is what a ``.raw`` file holds, see :mod:`pvinfo.frame`. A read that begins at 0 takes a new picture; all other reads are
of the picture that was taken last, until the client goes. So a program reads the 64 bytes of the header, then ``size`` bytes at
``pixels_offset`` in pieces of any length, and never gets parts of two pictures. Before the first picture, and behind the end
of one, everything reads 0. ``sequence`` is the same as long as the picture is: then there is no need to read the pixels again.

One picture is kept for a device, as large as its guest has made it and 128 MiB at most.
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.edid.reading import MAX_HEIGHT, MAX_WIDTH
from pvinfo.frame import FRAME_HEADER
from pvinfo.vfio_user import FRAME_TYPE

from .frame import PIXEL_SIZE, Frame, scan_out
from .planes import ScannedDevice
from .raw import raw_header, same_picture

__all__ = ("FrameRegion",)

_HEADER: Final = FRAME_HEADER.size


@final
class FrameRegion:
    """The region of one device."""

    type = FRAME_TYPE
    size = _HEADER + MAX_WIDTH * MAX_HEIGHT * PIXEL_SIZE
    write = None

    def __init__(self, device: ScannedDevice) -> None:
        self._device = device
        self._sequence = 0
        self._header = bytes(_HEADER)
        self._frame: Frame | None = None

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the picture: of a new one from 0 on."""
        if not offset:
            self._take()
        found = self._header[offset : offset + length]
        if self._frame is not None and offset + length > _HEADER:
            start = max(offset - _HEADER, 0)
            found += self._frame.pixels[start : start + length - len(found)]
        return found.ljust(length, b"\0")

    def client_gone(self) -> None:
        """The picture is let go."""
        self._frame = None
        self._header = bytes(_HEADER)

    def _take(self) -> None:
        frame = scan_out(self._device)
        if not self._sequence or not same_picture(frame, self._frame):
            self._sequence += 2
        self._frame = frame
        self._header = raw_header(frame, self._sequence)
