"""A machine whose GPU is watched: every access is written down on its way.

The recorder stands on the guest's side of the bus, so that it sees the same whether the host is in this process or
behind a socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from pvinfo.bus import Clock, ConfigSpace, GuestMemory, Machine, PciDevice, Region
from pvinfo.gtt_entry import GGTT_OFFSET

from .access import Access, AccessKind

__all__ = ("Recorder", "RecordingMachine")


@final
class Recorder:
    """The accesses of one guest, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_ns = clock.now_ns()
        self.accesses: list[Access] = []
        self.on_access: Callable[[int], None] | None = None
        """Called before each access is written down, with the number of those before it."""

    def add(self, kind: AccessKind, size: int, offset: int, value: int) -> None:
        """Write one down."""
        if self.on_access is not None:
            self.on_access(len(self.accesses))
        self.accesses.append(Access(self._clock.now_ns() - self._start_ns, kind, size, offset, value))

    def __len__(self) -> int:
        return len(self.accesses)


class _RecordingConfig:
    def __init__(self, inner: ConfigSpace, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def read(self, offset: int, size: int) -> int:
        value = self._inner.read(offset, size)
        self._recorder.add(AccessKind.CONFIG_READ, size, offset, value)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self._recorder.add(AccessKind.CONFIG_WRITE, size, offset, value)
        self._inner.write(offset, size, value)


class _RecordingRegion:
    """A window in which accesses from ``split`` on are of the second pair of kinds, with offsets from there."""

    def __init__(
        self, inner: Region, recorder: Recorder, kinds: tuple[AccessKind, AccessKind],
        split: int | None = None, kinds_above: tuple[AccessKind, AccessKind] | None = None,
    ) -> None:  # fmt: skip
        self._inner = inner
        self._recorder = recorder
        self._split = split if split is not None else inner.size
        self._read, self._write = kinds
        self._read_above, self._write_above = kinds_above if kinds_above is not None else kinds

    @property
    def size(self) -> int:
        return self._inner.size

    def read(self, offset: int, size: int) -> int:
        value = self._inner.read(offset, size)
        self._note_read(offset, size, value)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        self._note_write(offset, size, value)
        self._inner.write(offset, size, value)

    def read32(self, offset: int, /) -> int:
        value = self._inner.read32(offset)
        self._note_read(offset, 4, value)
        return value

    def write32(self, offset: int, value: int, /) -> None:
        self._note_write(offset, 4, value)
        self._inner.write32(offset, value)

    def _note_read(self, offset: int, size: int, value: int) -> None:
        if offset < self._split:
            self._recorder.add(self._read, size, offset, value)
        else:
            self._recorder.add(self._read_above, size, offset - self._split, value)

    def _note_write(self, offset: int, size: int, value: int) -> None:
        value &= (1 << 8 * size) - 1
        if offset < self._split:
            self._recorder.add(self._write, size, offset, value)
        else:
            self._recorder.add(self._write_above, size, offset - self._split, value)


class _RecordingDevice:
    def __init__(self, inner: PciDevice, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder
        self.config: ConfigSpace = _RecordingConfig(inner.config, recorder)

    def bar(self, index: int) -> Region | None:
        region = self._inner.bar(index)
        if region is None:
            return None
        if index == 0:
            return _RecordingRegion(
                region, self._recorder, (AccessKind.REGISTER_READ, AccessKind.REGISTER_WRITE),
                GGTT_OFFSET, (AccessKind.GGTT_READ, AccessKind.GGTT_WRITE),
            )  # fmt: skip
        return _RecordingRegion(region, self._recorder, (AccessKind.APERTURE_READ, AccessKind.APERTURE_WRITE))

    def reset(self) -> None:
        self._recorder.add(AccessKind.RESET, 0, 0, 0)
        self._inner.reset()

    def on_interrupt(self, handler: Callable[[], None] | None) -> None:
        if handler is None:
            self._inner.on_interrupt(None)
            return
        wanted = handler

        def note_and_deliver() -> None:
            self._recorder.add(AccessKind.INTERRUPT, 0, 0, 0)
            wanted()

        self._inner.on_interrupt(note_and_deliver)


@final
class RecordingMachine:
    """A :class:`~pvinfo.bus.Machine` like ``inner``, whose GPU is watched by ``recorder``."""

    def __init__(self, inner: Machine, recorder: Recorder) -> None:
        self.gpu: PciDevice = _RecordingDevice(inner.gpu, recorder)
        self.memory: GuestMemory = inner.memory
        self.clock: Clock = inner.clock
