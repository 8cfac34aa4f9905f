"""A stream of bytes out of a guest: kept whole, followed as it comes, copied to a file if wanted."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

__all__ = ("GuestStream",)

_READ_SIZE: Final = 1 << 16


def _ignore(data: bytes) -> None:
    """What a stream does with its data when nobody follows it."""


@final
class GuestStream:
    """Everything that came over one pipe; ``on_data`` is called with each piece."""

    def __init__(self, copy: Path | None, on_data: Callable[[bytes], None] = _ignore) -> None:
        self._on_data: Final = on_data
        self._copy: Final = None if copy is None else copy.open("wb", buffering=0)
        self._data: Final = bytearray()
        self._source: tuple[int, selectors.BaseSelector] | None = None

    def follow(self, fd: int, selector: selectors.BaseSelector) -> None:
        """Reads ``fd``, which is non-blocking and from now on owned here, whenever it is ready."""
        selector.register(fd, selectors.EVENT_READ, self._ready)
        self._source = (fd, selector)

    def text(self) -> str:
        """What came until now; a serial line's carriage returns are dropped."""
        return self._data.decode("utf-8", "replace").replace("\r\n", "\n")

    def drain(self) -> None:
        """Reads what is still in the pipe after its writer has gone."""
        while self._read():
            pass

    def close(self) -> None:
        """Lets go of the pipe and of the copy; what came stays readable."""
        self._forget()
        if self._copy is not None:
            self._copy.close()

    def _ready(self, events: int) -> None:
        self._read()

    def _read(self) -> bool:
        """Takes what is there; whether there may be more."""
        if self._source is None:
            return False
        try:
            data = os.read(self._source[0], _READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            self._forget()
            return False
        self._data.extend(data)
        if self._copy is not None:
            self._copy.write(data)
        self._on_data(data)
        return True

    def _forget(self) -> None:
        if self._source is not None:
            fd, selector = self._source
            selector.unregister(fd)
            os.close(fd)
            self._source = None
