"""IO virtual addresses: which piece of whose memory each range of them stands for.

Pages are not pinned by being mapped here: a mapping is a promise that a device may call in, page by page, through an
:class:`~.access.Access`. A range may be taken away at any time; whoever has pages of it pinned is told first and lets them go.

Source: linux:drivers/vfio/vfio_iommu_type1.c (vfio_dma), linux:drivers/iommu/iommufd/io_pagetable.c (iopt_map_user_pages, iopt_unmap_iova)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.errors import StateError, UsageError
from pvinfo.units import PAGE_MASK, format_range

from .user_memory import UserMemory

if TYPE_CHECKING:
    from .access import Access

__all__ = ("ADDRESS_END", "IoMapping", "IoSpace")

ADDRESS_END: Final = 1 << 64


class IoMapping(NamedTuple):
    """A range of IO virtual addresses, and the memory it stands for."""

    iova: int
    size: int
    memory: UserMemory
    offset: int
    writable: bool

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.iova + self.size


@final
class IoSpace:
    """One address space. ``name`` is what errors call it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._starts: list[int] = []
        self._mappings: list[IoMapping] = []
        self.accesses: list[Access] = []
        """The devices that look into it."""
        self.revision = 0
        """Changes whenever a range has gone."""

    def __len__(self) -> int:
        return len(self._mappings)

    def __iter__(self) -> Iterator[IoMapping]:
        return iter(self._mappings)

    @property
    def pinned_pages(self) -> int:
        """Pages that devices hold through this space: one for each device and page."""
        return sum(access.pinned_pages for access in self.accesses)

    def add(self, mapping: IoMapping) -> None:
        """Map a range. Raises: UsageError for no whole pages, for memory that is not there, and for a range that is mapped."""
        wanted = format_range(mapping.iova, mapping.end)
        if mapping.size <= 0 or mapping.iova < 0 or (mapping.iova | mapping.size | mapping.offset) & PAGE_MASK:
            raise UsageError(f"{self.name}: mapping {wanted} from offset {mapping.offset:#x}: whole 4 KiB pages are mapped, one at least")
        if mapping.end > ADDRESS_END:
            raise UsageError(f"{self.name}: mapping {wanted}: addresses end at {ADDRESS_END:#x}")
        if mapping.offset < 0 or mapping.offset + mapping.size > mapping.memory.size:
            shown = format_range(mapping.offset, mapping.offset + mapping.size)
            raise UsageError(f"{self.name}: mapping {wanted} to {shown} of memory that has {mapping.memory.size:#x} bytes")
        index = bisect_right(self._starts, mapping.iova)
        for other in self._mappings[max(index - 1, 0) : index + 1]:
            if other.iova < mapping.end and mapping.iova < other.end:
                raise UsageError(f"{self.name}: mapping {wanted}: {format_range(other.iova, other.end)} is mapped already")
        self._starts.insert(index, mapping.iova)
        self._mappings.insert(index, mapping)

    def inside(self, iova: int, size: int) -> list[IoMapping]:
        """The mappings in a range. Raises: UsageError when it is no whole pages, or one of them is only partly in it."""
        end = iova + size
        if size <= 0 or iova < 0 or (iova | size) & PAGE_MASK or end > ADDRESS_END:
            raise UsageError(f"{self.name}: unmapping {size:#x} bytes at {iova:#x}: whole 4 KiB pages are unmapped, one at least")
        first = max(bisect_right(self._starts, iova) - 1, 0)
        found = [known for known in self._mappings[first : bisect_left(self._starts, end)] if known.end > iova]
        for known in found:
            if known.iova < iova or known.end > end:
                raise UsageError(
                    f"{self.name}: unmapping {format_range(iova, end)} would split {format_range(known.iova, known.end)}: "
                    "what was mapped at once is unmapped at once"
                )
        return found

    def remove(self, iova: int, size: int) -> int:
        """Unmap whatever is in a range: how many bytes that was. Each device with pages of it is told, and lets go.

        Raises: UsageError as :meth:`inside`; StateError, with all mappings still there, when a device keeps a page though it was told.
        """
        gone = self.inside(iova, size)
        for mapping in gone:
            for access in list(self.accesses):
                access.tell(mapping.iova, mapping.size)
        for mapping in gone:
            index = bisect_left(self._starts, mapping.iova)
            del self._starts[index], self._mappings[index]
        if gone:
            self.revision += 1
        return sum(mapping.size for mapping in gone)

    def at(self, iova: int) -> IoMapping | None:
        """The mapping that holds ``iova``."""
        index = bisect_right(self._starts, iova) - 1
        if index < 0:
            return None
        found = self._mappings[index]
        return found if iova < found.end else None

    def pieces(self, iova: int, size: int) -> list[tuple[IoMapping, int, int]] | None:
        """The memory behind ``size`` bytes: mapping, offset into its memory, length. None where there is a gap."""
        found: list[tuple[IoMapping, int, int]] = []
        while size > 0:
            mapping = self.at(iova)
            if mapping is None:
                return None
            length = min(size, mapping.end - iova)
            found.append((mapping, mapping.offset + iova - mapping.iova, length))
            iova += length
            size -= length
        return found

    def require_empty(self, action: str) -> None:
        """Raises: StateError when a device still looks into the space."""
        if self.accesses:
            users = ", ".join(access.name for access in self.accesses)
            raise StateError(action, f"in use by {users}", f"one in which no device looks into {self.name}")
