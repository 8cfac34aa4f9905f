"""Which registers are served by code, and how that code is written.

A handler is a small function beside the idea it belongs to::

    @on_write(ResetRegisters.gdrst)
    def reset_requested(vgpu: Vgpu, offset: int, value: ResetDomains) -> int:
        …
        return 0        # what the register reads afterwards

    @on_read(Guc.status, platforms=GEN9)
    def guc_status_read(vgpu: Vgpu, offset: int) -> int: …

A write handler is given what the guest wrote (bits it cannot write already as they were) and returns what to store; a
masked register's low half is merged under its mask after that. ``offset`` says which instance of a block it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from pvinfo.errors import LayoutError
from pvinfo.platform import PLATFORMS
from pvinfo.register import Access, Register, RegisterArray

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("GEN8", "GEN9", "Handlers", "handlers_for", "on_read", "on_read_range", "on_write", "on_write_range")

V = TypeVar("V", bound=int)
ReadHandler = Callable[["Vgpu", int], int]
WriteHandler = Callable[["Vgpu", int, V], int]

GEN8: Final = tuple(name for name, platform in PLATFORMS.items() if platform.graphics_version == 8)
GEN9: Final = tuple(name for name, platform in PLATFORMS.items() if platform.graphics_version == 9)

_ZERO_FILLED: Final = (Access.WRITE_1_CLEARS, Access.MASKED, Access.SELF_CLEARING, Access.WRITE_ONLY)
"""Where bytes that a narrow write leaves out must count as zero, not as what is stored."""


class _Read(NamedTuple):
    offsets: tuple[int, ...]
    platforms: Collection[str]
    handler: ReadHandler


class _Write(NamedTuple):
    offsets: tuple[int, ...]
    platforms: Collection[str]
    handler: WriteHandler[int]
    value_type: type[int]
    zero_filled: bool


_READS: Final[list[_Read]] = []
_WRITES: Final[list[_Write]] = []


def on_read(
    register: Register[V] | RegisterArray[V], *, platforms: Collection[str] = ()
) -> Callable[[ReadHandler], ReadHandler]:
    """Serve reads of ``register`` (every instance) on the named platforms, or on all."""
    return on_read_range(register.offsets(), platforms=platforms)


def on_read_range(
    offsets: Iterable[int], *, platforms: Collection[str] = ()
) -> Callable[[ReadHandler], ReadHandler]:
    """Serve reads of every dword in ``offsets``."""

    def enter(handler: ReadHandler) -> ReadHandler:
        _READS.append(_Read(tuple(offsets), platforms, handler))
        return handler

    return enter


def on_write(
    register: Register[V] | RegisterArray[V], *, platforms: Collection[str] = ()
) -> Callable[[WriteHandler[V]], WriteHandler[V]]:
    """Serve writes of ``register`` (every instance) on the named platforms, or on all."""

    def enter(handler: WriteHandler[V]) -> WriteHandler[V]:
        untyped: Callable[..., int] = handler
        zero_filled = register.access in _ZERO_FILLED
        _WRITES.append(_Write(tuple(register.offsets()), platforms, untyped, register.value_type, zero_filled))
        return handler

    return enter


def on_write_range(
    offsets: Iterable[int], *, platforms: Collection[str] = ()
) -> Callable[[WriteHandler[int]], WriteHandler[int]]:
    """Serve writes of every dword in ``offsets``; the value is a plain number."""

    def enter(handler: WriteHandler[int]) -> WriteHandler[int]:
        _WRITES.append(_Write(tuple(offsets), platforms, handler, int, False))
        return handler

    return enter


class Handlers(NamedTuple):
    """The handlers of one platform, by byte offset."""

    reads: dict[int, ReadHandler]
    writes: dict[int, tuple[WriteHandler[int], type[int]]]
    zero_filled: frozenset[int]


@cache
def handlers_for(platform: str) -> Handlers:
    """All handlers of the platform called ``platform``.

    Raises: LayoutError when two handlers claim one register.
    """
    from . import handlers

    for module in iter_modules(handlers.__path__):
        import_module(f"{handlers.__name__}.{module.name}")
    reads: dict[int, ReadHandler] = {}
    writes: dict[int, tuple[WriteHandler[int], type[int]]] = {}
    zero_filled = set()
    for read in _READS:
        if not read.platforms or platform in read.platforms:
            for offset in read.offsets:
                if offset in reads:
                    raise LayoutError(f"{offset:#x} is read by {reads[offset].__name__} and {read.handler.__name__}")
                reads[offset] = read.handler
    for write in _WRITES:
        if not write.platforms or platform in write.platforms:
            for offset in write.offsets:
                if offset in writes:
                    raise LayoutError(f"{offset:#x} is written by {writes[offset][0].__name__} and {write.handler.__name__}")
                writes[offset] = write.handler, write.value_type
                if write.zero_filled:
                    zero_filled.add(offset)
    return Handlers(reads, writes, frozenset(zero_filled))
