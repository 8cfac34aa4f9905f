"""A type1 container: the older way in which a user gives devices its memory.

Mapping registers a translation and pins nothing; a mediated device pins page by page. Unmapping takes whole mappings away, as many as
lie in the range, none is no error; a mapping is never split.

Source: linux:drivers/vfio/vfio_iommu_type1.c (VFIO_TYPE1v2_IOMMU)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from pvinfo.errors import ResourceExhausted, StateError, UsageError

from .access import Access
from .space import IoMapping, IoSpace
from .user_memory import UserMemory

__all__ = ("MAX_MAPPINGS", "Type1Container")

MAX_MAPPINGS: Final = 65535
"""Source: linux:drivers/vfio/vfio_iommu_type1.c (dma_entry_limit)"""


@final
class Type1Container:
    """One container. ``limit`` is how many mappings it takes."""

    def __init__(self, name: str = "container", *, limit: int = MAX_MAPPINGS) -> None:
        self._space = IoSpace(name)
        self._limit = limit
        self._open = True

    @property
    def space(self) -> IoSpace:
        """Its address space."""
        return self._space

    def map(self, iova: int, size: int, memory: UserMemory, offset: int = 0, *, writable: bool = True) -> None:
        """Register a translation: ``size`` bytes at ``iova`` are those at ``offset`` of ``memory``.

        Raises: UsageError for no whole pages, memory that is not there, or a range that overlaps another; ResourceExhausted;
        StateError when closed.
        """
        self._require_open("mapping memory")
        if len(self._space) >= self._limit:
            raise ResourceExhausted(f"mappings of {self._space.name}", 1, 0, "mappings", f"of {self._limit}", {"its user": len(self._space)})
        self._space.add(IoMapping(iova, size, memory, offset, writable))

    def unmap(self, iova: int, size: int) -> int:
        """Take away whatever is mapped in the range: how many bytes that was. Devices let go of their pages first.

        Raises: UsageError for a range that would split a mapping; StateError when closed, or when a device keeps a page.
        """
        self._require_open("unmapping memory")
        return self._space.remove(iova, size)

    def unmap_all(self) -> int:
        """Take away everything: how many bytes that was. Raises: StateError as :meth:`unmap`."""
        self._require_open("unmapping memory")
        return sum(self._space.remove(mapping.iova, mapping.size) for mapping in list(self._space))

    def add_device(self, name: str, unmapped: Callable[[int, int], None]) -> Access:
        """A device's access to this container's memory; it ends by :meth:`remove_device`. Raises: StateError when closed."""
        self._require_open("adding a device")
        access = Access(name, unmapped)
        access.attach(self._space)
        return access

    def remove_device(self, access: Access) -> None:
        """The device is used no more; it lets go of every page.

        Raises: UsageError for a device that is not here; StateError when it keeps a page.
        """
        if access.space is not self._space:
            raise UsageError(f"{access.name} is no device of {self._space.name}: {', '.join(a.name for a in self._space.accesses) or 'it has none'}")
        access.detach()

    def close(self) -> None:
        """The end, once no device is left. Raises: StateError while there is one, or when closed before."""
        self._require_open("closing the container")
        self._space.require_empty(f"closing {self._space.name}")
        self.unmap_all()
        self._open = False

    def _require_open(self, action: str) -> None:
        if not self._open:
            raise StateError(action, "closed", "an open container")
