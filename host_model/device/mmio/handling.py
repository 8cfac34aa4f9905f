"""Which registers are served by code, and how that code is written.

A handler is a small function beside the idea it belongs to, in a package that has a :class:`HandlerSet`::

    @on_write(ResetRegisters.gdrst)
    def reset_requested(device: RegisterDevice, offset: int, value: ResetDomains) -> int:
        …
        return 0        # what the register reads afterwards

    @on_read(Guc.status, platforms=GEN9)
    def guc_status_read(device: RegisterDevice, offset: int) -> int: …

A write handler is given what was written (bits that cannot be written already as they were) and returns what to store; a
masked register's low half is merged under its mask after that. ``offset`` says which instance of a block it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Final, Generic, NamedTuple, TypeVar, final

from pvinfo.errors import LayoutError
from pvinfo.platform import PLATFORMS
from pvinfo.register import Access, Register, RegisterArray

__all__ = ("GEN8", "GEN9", "HandlerSet", "Handlers", "handlers_of")

D = TypeVar("D")
V = TypeVar("V", bound=int)
_AnyHandler = Callable[..., int]

GEN8: Final = tuple(name for name, platform in PLATFORMS.items() if platform.graphics_version == 8)
GEN9: Final = tuple(name for name, platform in PLATFORMS.items() if platform.graphics_version == 9)

_ZERO_FILLED: Final = (Access.WRITE_1_CLEARS, Access.MASKED, Access.SELF_CLEARING, Access.WRITE_ONLY)
"""Where bytes that a narrow write leaves out must count as zero, not as what is stored."""


class _Read(NamedTuple):
    offsets: tuple[int, ...]
    platforms: Collection[str]
    handler: _AnyHandler


class _Write(NamedTuple):
    offsets: tuple[int, ...]
    platforms: Collection[str]
    handler: _AnyHandler
    value_type: type[int]
    zero_filled: bool
    whole: bool


@final
class HandlerSet(Generic[D]):
    """The handlers of one package, for devices of kind ``D``. ``package`` is its name: its modules are imported when asked."""

    def __init__(self, package: str) -> None:
        self.package = package
        self._reads: list[_Read] = []
        self._writes: list[_Write] = []

    def on_read(
        self, register: Register[V] | RegisterArray[V], *, platforms: Collection[str] = ()
    ) -> Callable[[Callable[[D, int], int]], Callable[[D, int], int]]:
        """Serve reads of ``register`` (every instance) on the named platforms, or on all."""
        return self.on_read_range(register.offsets(), platforms=platforms)

    def on_read_range(
        self, offsets: Iterable[int], *, platforms: Collection[str] = ()
    ) -> Callable[[Callable[[D, int], int]], Callable[[D, int], int]]:
        """Serve reads of every dword in ``offsets``."""

        def enter(handler: Callable[[D, int], int]) -> Callable[[D, int], int]:
            self._reads.append(_Read(tuple(offsets), platforms, handler))
            return handler

        return enter

    def on_write(
        self, register: Register[V] | RegisterArray[V], *, platforms: Collection[str] = (), whole: bool = False
    ) -> Callable[[Callable[[D, int, V], int]], Callable[[D, int, V], int]]:
        """Serve writes of ``register`` (every instance) on the named platforms, or on all.

        ``whole``: the handler is given also what was written to bits that cannot be written.
        """

        def enter(handler: Callable[[D, int, V], int]) -> Callable[[D, int, V], int]:
            zero_filled = register.access in _ZERO_FILLED
            self._writes.append(_Write(tuple(register.offsets()), platforms, handler, register.value_type, zero_filled, whole))
            return handler

        return enter

    def on_write_range(
        self, offsets: Iterable[int], *, platforms: Collection[str] = ()
    ) -> Callable[[Callable[[D, int, int], int]], Callable[[D, int, int], int]]:
        """Serve writes of every dword in ``offsets``; the value is a plain number."""

        def enter(handler: Callable[[D, int, int], int]) -> Callable[[D, int, int], int]:
            self._writes.append(_Write(tuple(offsets), platforms, handler, int, False, False))
            return handler

        return enter

    def load(self) -> tuple[list[_Read], list[_Write]]:
        """Import the package's modules, and give what they entered."""
        package = import_module(self.package)
        for module in iter_modules(package.__path__):
            import_module(f"{self.package}.{module.name}")
        return self._reads, self._writes


class Handlers(NamedTuple):
    """The handlers of one kind of device on one platform, by byte offset."""

    reads: dict[int, _AnyHandler]
    writes: dict[int, tuple[_AnyHandler, type[int]]]
    zero_filled: frozenset[int]
    whole: frozenset[int]
    """Where a write handler is given also what was written to bits that cannot be written."""


NO_HANDLERS: Final = Handlers({}, {}, frozenset(), frozenset())


@cache
def handlers_of(platform: str, *sets: HandlerSet[D]) -> Handlers:
    """All handlers in ``sets`` for the platform called ``platform``.

    Raises: LayoutError when two handlers claim one register.
    """
    reads: dict[int, _AnyHandler] = {}
    writes: dict[int, tuple[_AnyHandler, type[int]]] = {}
    zero_filled = set()
    whole = set()
    for handler_set in sets:
        entered_reads, entered_writes = handler_set.load()
        for read in entered_reads:
            if not read.platforms or platform in read.platforms:
                for offset in read.offsets:
                    if offset in reads:
                        raise LayoutError(f"{offset:#x} is read by {reads[offset].__name__} and {read.handler.__name__}")
                    reads[offset] = read.handler
        for write in entered_writes:
            if not write.platforms or platform in write.platforms:
                for offset in write.offsets:
                    if offset in writes:
                        raise LayoutError(f"{offset:#x} is written by {writes[offset][0].__name__} and {write.handler.__name__}")
                    writes[offset] = write.handler, write.value_type
                    if write.zero_filled:
                        zero_filled.add(offset)
                    if write.whole:
                        whole.add(offset)
    return Handlers(reads, writes, frozenset(zero_filled), frozenset(whole))
