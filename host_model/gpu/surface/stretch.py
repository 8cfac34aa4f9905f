"""A stretch of host memory: what lies behind a range of graphics addresses."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, final

from pvinfo.units import PAGE_SIZE

from .tiling import Buffer

__all__ = ("Stretch", "copy_pieces")

_CHUNK: Final = 1 << 16
"""Bytes of a colour that are laid out to be stored again and again: small enough to stay near the processor."""


def copy_pieces(targets: Sequence[memoryview], sources: Sequence[Buffer]) -> None:
    """Copy as many bytes as both have, wherever the pieces of either begin and end."""
    if len(targets) == len(sources) and list(map(len, targets)) == list(map(len, sources)):
        for target, source in zip(targets, sources, strict=True):
            target[:] = source
        return
    waiting = iter(sources)
    source = b""
    for target in targets:
        size = len(target)
        at = 0
        while at < size:
            if not source:
                source = next(waiting)
            length = min(size - at, len(source))
            target[at : at + length] = source[:length]
            source = memoryview(source)[length:]
            at += length


@final
class Stretch:
    """Byte views, in order, used as one range."""

    __slots__ = ("_ends", "_single", "_views", "size")

    def __init__(self, views: list[memoryview]) -> None:
        self._views = views
        self._single = views[0] if len(views) == 1 else None
        self._ends = list(accumulate(map(len, views)))
        self.size = self._ends[-1] if views else 0

    def single(self) -> memoryview | None:
        """The whole of it, where it is one view."""
        return self._single

    def pieces(self, offset: int, size: int) -> list[memoryview]:
        """The views behind a part of the stretch."""
        if self._single is not None:
            return [self._single[offset : offset + size]]
        if size == self.size:
            return self._views
        if not size:
            return []
        number = bisect_right(self._ends, offset)
        view, end = self._views[number], self._ends[number]
        start = offset - (end - len(view))
        found = [view[start : start + size]]
        while offset + size > end:
            number += 1
            view = self._views[number]
            found.append(view if end + len(view) <= offset + size else view[: offset + size - end])
            end = self._ends[number]
        return found

    def read(self, offset: int, size: int) -> Buffer:
        """A part of the stretch; where it is one view this is the memory itself, and changes with it."""
        pieces = self.pieces(offset, size)
        return pieces[0] if len(pieces) == 1 else bytearray().join(pieces)

    def write(self, offset: int, data: Buffer) -> None:
        """Store ``data``."""
        pieces = self.pieces(offset, len(data))
        if len(pieces) == 1:
            pieces[0][:] = data
            return
        copy_pieces(pieces, (memoryview(data),))

    def fill(self, offset: int, size: int, pixel: bytes) -> None:
        """Store ``pixel`` again and again; the part begins and ends with a whole one."""
        if size <= _CHUNK:
            self.write(offset, pixel * (size // len(pixel)))
            return
        chunk = memoryview(pixel * (_CHUNK // len(pixel) + 2))
        page = chunk[:PAGE_SIZE]
        phase = 0
        for piece in self.pieces(offset, size):
            length = len(piece)
            if length == PAGE_SIZE and not phase:
                piece[:] = page
                continue
            for start in range(0, length, _CHUNK):
                end = min(start + _CHUNK, length)
                piece[start:end] = chunk[phase : phase + end - start]
            phase = (phase + length) % len(pixel)
