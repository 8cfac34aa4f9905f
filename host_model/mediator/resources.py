"""Who owns which part of the GPU: aperture, the rest of graphics memory, fences.

The host keeps the bottom of both parts of graphics memory; aperture is handed out from below, the rest from the top, as
the kernel's allocator does. Addresses are the same for guest and host: a vGPU sees its slice where the hardware has it,
and balloons out everything else.

Source: linux:drivers/gpu/drm/i915/gvt/aperture_gm.c
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple, final

from pvinfo.errors import ResourceExhausted, UsageError
from pvinfo.units import MIB, PAGE_SIZE, format_range, format_size

from .types import HOST_FENCES, HOST_HIGH, HOST_LOW, TOTAL_FENCES, VgpuType

__all__ = ("FreeResources", "ResourcePool", "VgpuResources")


class VgpuResources(NamedTuple):
    """One vGPU's share."""

    low: range
    """Graphics addresses inside the aperture."""
    high: range
    """Graphics addresses outside it."""
    fences: tuple[int, ...]
    """Hardware fence registers, in the guest's numbering."""

    @property
    def owned(self) -> str:
        """The graphics addresses in words: what a finding suggests instead of another one."""
        return " or ".join(format_range(part.start, part.stop) for part in (self.low, self.high))


class FreeResources(NamedTuple):
    """What is left to hand out."""

    low: int
    high: int
    fences: int


_HOST: Final = "the host"


class _Space:
    """One part of graphics memory: allocated ranges, each with who holds it, in order of address."""

    def __init__(self, name: str, start: int, end: int, host_size: int, top_down: bool) -> None:
        self.name = name
        self.whole = range(start, max(start, end))
        self.host_size = host_size
        self.top_down = top_down
        self.taken: dict[range, str] = {}

    @property
    def left(self) -> int:
        return sum(map(len, self._holes()))

    def _holes(self) -> list[range]:
        free_from = self.whole.start + self.host_size
        edges = [free_from]
        for used in self.taken:
            edges += [used.start, used.stop]
        edges.append(self.whole.stop)
        return [range(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low < high]

    def take(self, size: int, at: int | None, holder: str) -> range:
        size = (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1)
        if at is not None:
            return self._take_at(size, at, holder)
        if size > self.left:
            raise self._exhausted(size, self.left, f"of {format_size(len(self.whole))}")
        holes = [hole for hole in self._holes() if len(hole) >= size]
        if not holes:
            longest = max((len(hole) for hole in self._holes()), default=0)
            raise self._exhausted(size, longest, f"in one piece; {self.left // MIB} MiB in all")
        hole = holes[-1] if self.top_down else holes[0]
        start = hole.stop - size if self.top_down else hole.start
        return self._enter(range(start, start + size), holder)

    def _exhausted(self, size: int, left: int, hint: str) -> ResourceExhausted:
        held = Counter({_HOST: min(self.host_size, len(self.whole)) // MIB})
        for used, holder in self.taken.items():
            held[holder] += len(used) // MIB
        return ResourceExhausted(self.name, size // MIB, left // MIB, "MiB", hint, held)

    def _take_at(self, size: int, at: int, holder: str) -> range:
        wanted = range(at, at + size)
        if at % PAGE_SIZE:
            raise UsageError(f"{self.name} at {at:#x}: a slice starts on a {PAGE_SIZE}-byte page")
        if wanted.start < self.whole.start or wanted.stop > self.whole.stop:
            raise UsageError(
                f"{self.name} {format_range(wanted.start, wanted.stop)} leaves {format_range(self.whole.start, self.whole.stop)}"
            )
        free_from = self.whole.start + self.host_size
        if wanted.start < free_from:
            raise UsageError(f"{self.name} at {at:#x}: what lies below {free_from:#x} ({format_size(self.host_size)}) is the host's own")
        for used in self.taken:
            if wanted.start < used.stop and used.start < wanted.stop:
                raise self._exhausted(size, 0, f"at {at:#x}; {format_range(used.start, used.stop)} is taken")
        return self._enter(wanted, holder)

    def _enter(self, piece: range, holder: str) -> range:
        if piece:
            self.taken = dict(sorted([*self.taken.items(), (piece, holder)], key=lambda used: used[0].start))
        return piece

    def give_back(self, piece: range) -> None:
        self.taken.pop(piece, None)


@final
class ResourcePool:
    """All of one GPU that can be handed out. ``host_low`` and ``host_high`` are bytes at the bottom of each part that are not."""

    def __init__(self, aperture_size: int, ggtt_size: int, *, host_low: int = HOST_LOW, host_high: int = HOST_HIGH) -> None:
        self._low = _Space("low graphics memory (aperture)", 0, aperture_size, host_low, top_down=False)
        self._high = _Space("high graphics memory", aperture_size, ggtt_size, host_high, top_down=True)
        self._fences = list(range(HOST_FENCES, TOTAL_FENCES))
        self._shares: dict[VgpuResources, str] = {}
        """What is taken, and who holds it."""

    @property
    def free(self) -> FreeResources:
        """What is left."""
        return FreeResources(self._low.left, self._high.left, len(self._fences))

    def instances(self, vgpu_type: VgpuType) -> int:
        """How many more vGPUs of this type fit, by the kernel's arithmetic."""
        free = self.free
        return min(left // size for left, size in zip(free, (vgpu_type.low_size, vgpu_type.high_size, vgpu_type.fences), strict=True) if size)

    def take(
        self, vgpu_type: VgpuType, *, low_at: int | None = None, high_at: int | None = None, holder: str = "another vGPU"
    ) -> VgpuResources:
        """A share for one vGPU; all of it or nothing. ``low_at`` and ``high_at`` place the slices, anywhere but in the host's own part.
        ``holder`` is who has it, as those are told for whom nothing is left.

        Raises: ResourceExhausted naming what ran out, how much was wanted and is left, and who has it; UsageError for a placement
        outside the GPU's graphics memory, or in the host's part of it.
        """
        if vgpu_type.fences > len(self._fences):
            held = Counter({_HOST: HOST_FENCES})
            for share, known in self._shares.items():
                held[known] += len(share.fences)
            raise ResourceExhausted("fences", vgpu_type.fences, len(self._fences), "registers", f"of {TOTAL_FENCES}", held)
        low = self._low.take(vgpu_type.low_size, low_at, holder)
        try:
            high = self._high.take(vgpu_type.high_size, high_at, holder)
        except (ResourceExhausted, UsageError):
            self._low.give_back(low)
            raise
        fences = tuple(self._fences[: vgpu_type.fences])
        del self._fences[: vgpu_type.fences]
        share = VgpuResources(low, high, fences)
        self._shares[share] = holder
        return share

    def holds(self, resources: VgpuResources) -> bool:
        """It is a share that :meth:`take` gave, and that has not been given back."""
        return resources in self._shares

    def give_back(self, resources: VgpuResources) -> None:
        """Take a share back."""
        del self._shares[resources]
        self._low.give_back(resources.low)
        self._high.give_back(resources.high)
        self._fences = sorted([*self._fences, *resources.fences])
