"""Frames as bytes for other programs: :mod:`pvinfo.frame` says how they lie."""

from __future__ import annotations

from typing import Final

from pvinfo.drm_format import DrmFormat
from pvinfo.errors import UsageError
from pvinfo.frame import FRAME_HEADER, FRAME_MAGIC, FRAME_VERSION, NO_HOT_SPOT, FrameFlags, FrameHeader

from .frame import Frame

__all__ = ("raw_frame", "raw_header", "raw_size", "same_picture", "write_frame_into")

_ALL: Final = 0xFFFFFFFF
_SEQUENCE: Final = FRAME_HEADER.field("sequence")
_SEQUENCES: Final = (1 << 8 * _SEQUENCE.size) - 1


def raw_size(frame: Frame | None) -> int:
    """Bytes of the frame with its header."""
    return FRAME_HEADER.size + (frame.pitch * frame.height if frame is not None else 0)


def _header(frame: Frame | None, sequence: int) -> FrameHeader:
    width, height, pitch = (frame.width, frame.height, frame.pitch) if frame is not None else (0, 0, 0)
    cursor = frame.cursor if frame is not None else None
    spot = frame.hot_spot if frame is not None else None
    return FrameHeader(
        FRAME_MAGIC, FRAME_VERSION, FRAME_HEADER.size, sequence, width, height, pitch, DrmFormat.XRGB8888, pitch * height,
        FrameFlags.of(cursor=cursor is not None),
        cursor.left & _ALL if cursor is not None else 0, cursor.top & _ALL if cursor is not None else 0,
        spot.x if spot is not None else NO_HOT_SPOT, spot.y if spot is not None else NO_HOT_SPOT,
    )  # fmt: skip


def raw_header(frame: Frame | None, sequence: int) -> bytes:
    """What stands before the pixels; None: nothing is shown."""
    return FRAME_HEADER.pack(_header(frame, sequence & ~1 & _SEQUENCES))


def same_picture(one: Frame | None, other: Frame | None) -> bool:
    """Whether two frames cannot be told apart; where a cursor's hot spot is, nobody sees."""
    if one is None or other is None:
        return one is other
    return (one.width, one.height, one.pitch) == (other.width, other.height, other.pitch) and one.pixels == other.pixels


def raw_frame(frame: Frame, sequence: int = 0) -> bytes:
    """The frame with its header, for a file."""
    return raw_header(frame, sequence) + frame.pixels


def write_frame_into(memory: memoryview, frame: Frame | None, sequence: int) -> None:
    """Write a frame into shared memory; None: nothing is shown. ``sequence`` is even, and another one each time.

    The sequence is stored at once: a reader on the same machine never sees half of it.

    Raises: UsageError when the memory is too short, or the sequence odd.
    """
    if sequence & 1 or not 0 <= sequence <= _SEQUENCES:
        raise UsageError(f"sequence {sequence}: a frame that is complete has an even number of {8 * _SEQUENCE.size} bits")
    view = memory.cast("B")
    if len(view) < raw_size(frame):
        raise UsageError(f"{len(view)} bytes of shared memory: the frame with its header takes {raw_size(frame)}")
    number = view[_SEQUENCE.offset : _SEQUENCE.offset + _SEQUENCE.size].cast("Q")
    number[0] = sequence - 1 & _SEQUENCES
    header = FRAME_HEADER.pack(_header(frame, sequence - 1 & _SEQUENCES))
    view[: FRAME_HEADER.size] = header
    if frame is not None:
        view[FRAME_HEADER.size : FRAME_HEADER.size + len(frame.pixels)] = frame.pixels
    number[0] = sequence
