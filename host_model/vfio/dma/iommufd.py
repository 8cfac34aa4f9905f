"""iommufd: the newer way in which a user gives devices its memory. A context holds IO address spaces (IOAS); devices are bound to the
context, and attached to a space, detached from it, or moved to another one.

A mediated device is bound by an *access object*; it has no page table of its own, and nothing is pinned for it that it does not ask for.

Source: linux:drivers/iommu/iommufd/ioas.c, linux:drivers/iommu/iommufd/device.c, linux:include/uapi/linux/iommufd.h
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

from pvinfo.errors import ResourceExhausted, StateError, UsageError
from pvinfo.units import PAGE_MASK, PAGE_SIZE, format_range

from .access import Access
from .space import ADDRESS_END, IoMapping, IoSpace
from .user_memory import UserMemory

__all__ = ("Ioas", "IommufdContext")

_EVERYWHERE: Final = (range(0, ADDRESS_END),)


@final
class Ioas:
    """An IO address space of a context, made by :meth:`IommufdContext.create_ioas`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.space = IoSpace(f"IOAS {number}")
        self._allowed: tuple[range, ...] = _EVERYWHERE

    def allow(self, ranges: Sequence[range]) -> None:
        """Where :meth:`map` may put what it places by itself; nothing at all: anywhere.

        Raises: UsageError for a range that is not whole pages of addresses.
        """
        for allowed in ranges:
            if not allowed or allowed.step != 1 or (allowed.start | allowed.stop) & PAGE_MASK or allowed.start < 0 or allowed.stop > ADDRESS_END:
                raise UsageError(f"{self.space.name}: allowing [{allowed.start:#x}, {allowed.stop:#x}): whole 4 KiB pages below {ADDRESS_END:#x}")
        self._allowed = tuple(ranges) or _EVERYWHERE

    def map(self, size: int, memory: UserMemory, offset: int = 0, *, at: int | None = None, writable: bool = True) -> int:
        """Map ``size`` bytes at ``offset`` of ``memory``: where. ``at`` fixes the address; else the lowest free one that is allowed.

        Raises: UsageError for no whole pages, memory that is not there, or a range that overlaps another; ResourceExhausted when no
        room is left.
        """
        iova = self._place(size) if at is None else at
        self.space.add(IoMapping(iova, size, memory, offset, writable))
        return iova

    def _place(self, size: int) -> int:
        longest = 0
        for allowed in self._allowed:
            start = allowed.start
            for taken in [*self.space, None]:
                end = min(allowed.stop, taken.iova) if taken is not None else allowed.stop
                if end - start >= size:
                    return start
                longest = max(longest, end - start)
                if taken is not None:
                    start = max(start, taken.end)
        mapped = sum(mapping.size for mapping in self.space) // PAGE_SIZE
        raise ResourceExhausted(f"addresses of {self.space.name}", -(-size // PAGE_SIZE), longest // PAGE_SIZE, "pages", "in one piece", {"its user": mapped})

    def copy(self, source: Ioas, source_iova: int, size: int, *, at: int | None = None, writable: bool = True) -> int:
        """Map here what ``source`` has at ``source_iova``, one mapping or part of one: where. ``at`` fixes the address.

        Raises: UsageError where that is not mapped; as :meth:`map`.
        """
        found = source.space.at(source_iova)
        if found is None or source_iova + size > found.end:
            raise UsageError(f"{self.space.name}: copying {format_range(source_iova, source_iova + size)} of {source.space.name}: it is not all in one mapping")
        return self.map(size, found.memory, found.offset + source_iova - found.iova, at=at, writable=writable and found.writable)

    def unmap(self, iova: int, size: int) -> int:
        """Take away what is mapped in the range: how many bytes that was. Devices let go of their pages first.

        Raises: UsageError where nothing is mapped, or a mapping would be split; StateError when a device keeps a page.
        """
        if not self.space.inside(iova, size):
            raise UsageError(f"{self.space.name}: unmapping {format_range(iova, iova + size)}: nothing is mapped there")
        return self.space.remove(iova, size)

    def unmap_all(self) -> int:
        """Take away everything: how many bytes that was. Raises: StateError when a device keeps a page."""
        return sum(self.space.remove(mapping.iova, mapping.size) for mapping in list(self.space))


@final
class IommufdContext:
    """One open /dev/iommu."""

    def __init__(self) -> None:
        self._spaces: dict[int, Ioas] = {}
        self._accesses: list[Access] = []
        self._next = 1

    @property
    def spaces(self) -> tuple[Ioas, ...]:
        """Its address spaces."""
        return tuple(self._spaces.values())

    @property
    def accesses(self) -> tuple[Access, ...]:
        """The devices that are bound."""
        return tuple(self._accesses)

    def create_ioas(self) -> Ioas:
        """A new, empty address space."""
        made = self._spaces[self._next] = Ioas(self._next)
        self._next += 1
        return made

    def destroy_ioas(self, ioas: Ioas) -> None:
        """Take a space away, with all that is mapped. Raises: UsageError for a foreign one; StateError while a device is attached."""
        self._require_own(ioas)
        ioas.space.require_empty(f"destroying {ioas.space.name}")
        ioas.unmap_all()
        del self._spaces[ioas.number]

    def create_access(self, name: str, unmapped: Callable[[int, int], None]) -> Access:
        """Bind a device, still without a space; see :class:`~.access.Access` for ``unmapped``."""
        access = Access(name, unmapped)
        self._accesses.append(access)
        return access

    def attach(self, access: Access, ioas: Ioas) -> None:
        """Have a bound device look into ``ioas``. Raises: UsageError for strangers; StateError when it is attached."""
        self._require_bound(access)
        self._require_own(ioas)
        access.attach(ioas.space)

    def replace(self, access: Access, ioas: Ioas) -> None:
        """Have an attached device look into ``ioas`` instead. Raises: UsageError for strangers; StateError when it is not attached."""
        self._require_bound(access)
        self._require_own(ioas)
        access.replace(ioas.space)

    def detach(self, access: Access) -> None:
        """Have a device look into no space. Raises: UsageError for a stranger; StateError when it is not attached."""
        self._require_bound(access)
        access.detach()

    def destroy_access(self, access: Access) -> None:
        """Unbind a device; it is detached first where it is attached. Raises: UsageError for a stranger; StateError when it keeps a page."""
        self._require_bound(access)
        if access.space is not None:
            access.detach()
        self._accesses.remove(access)

    def _require_own(self, ioas: Ioas) -> None:
        if self._spaces.get(ioas.number) is not ioas:
            raise UsageError(f"{ioas.space.name} is none of this context's: {', '.join(map(str, self._spaces)) or 'it has none'}")

    def _require_bound(self, access: Access) -> None:
        if access not in self._accesses:
            raise UsageError(f"{access.name} is not bound to this context: {', '.join(a.name for a in self._accesses) or 'no device is'}")
