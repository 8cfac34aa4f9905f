"""Fences: the driver's share of the registers that let the processor see tiled memory as rows.

The page says how many a vGPU's driver may use, from number 0 on; on a bare GPU all are its own. They are cleared at
load and written again after everything that may have lost them.
Source: linux:drivers/gpu/drm/i915/gt/intel_ggtt_fencing.c
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.errors import DriverError, UsageError
from pvinfo.page import PvInfo
from pvinfo.registers import FENCE_COUNT, FenceHigh, FenceLow, FenceRegister, FenceTiling
from pvinfo.units import PAGE_SIZE

from .ggtt import Binding
from .refusal import Refusal, refuse
from .uncore import Uncore

__all__ = ("Fence", "Fences", "fence_value")

_PITCH_UNIT: Final = 128
_LARGEST_PITCH: Final = _PITCH_UNIT * (FenceHigh.pitch.mask + 1)


def fence_value(binding: Binding, tiling: FenceTiling, pitch: int) -> tuple[FenceLow, FenceHigh]:
    """The two halves of a fence over ``binding``, whose rows of tiles are ``pitch`` bytes long.

    Raises: UsageError for a pitch that no fence can hold.
    """
    if pitch <= 0 or pitch % _PITCH_UNIT or pitch > _LARGEST_PITCH:
        raise UsageError(f"fence pitch of {pitch} bytes: it is a multiple of {_PITCH_UNIT} up to {_LARGEST_PITCH}")
    last = binding.address + binding.size - PAGE_SIZE
    low = FenceLow.of(valid=1, tiling=tiling, start_page=binding.address // PAGE_SIZE)
    return low, FenceHigh.of(pitch=pitch // _PITCH_UNIT - 1, last_page=last // PAGE_SIZE)


@final
class Fence:
    """One register, and what it shows."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.binding: Binding | None = None
        """What is seen through it; None: it is off."""
        self.low = FenceLow(0)
        self.high = FenceHigh(0)


@final
class Fences:
    """The fences of one driver."""

    def __init__(self, uncore: Uncore, mappable_end: int, *, virtual: bool) -> None:
        """Read how many there are, where that is for a host to say, and clear them (``intel_ggtt_init_fences``).

        Raises: HostRefused for more than the GPU has.
        """
        self._uncore = uncore
        self._mappable_end = mappable_end
        count = PvInfo(uncore.regs).fence_num if virtual else FENCE_COUNT
        if count > FENCE_COUNT:
            refuse(Refusal.TOO_MANY_FENCES, f"fence_num {count} at {PvInfo.fence_num.at():#x}")
        self.fences = [Fence(number) for number in range(count)]
        self._least_recent = list(self.fences)
        self.restore()

    def __len__(self) -> int:
        return len(self.fences)

    def _write(self, fence: Fence) -> None:
        """Off first, then the upper half, then the lower, which switches it on; each step lands before the next."""
        base = f"FENCE{fence.number}"
        uncore = self._uncore
        uncore.write(FenceRegister.lo, 0, base)
        uncore.read(FenceRegister.lo, base)
        uncore.write(FenceRegister.hi, fence.high, base)
        uncore.write(FenceRegister.lo, fence.low, base)
        uncore.read(FenceRegister.lo, base)

    def restore(self) -> None:
        """Write every fence as it should be (``intel_ggtt_restore_fences``)."""
        for fence in self.fences:
            self._write(fence)

    def set_up(self, binding: Binding, tiling: FenceTiling, pitch: int) -> Fence:
        """Show ``binding`` through a fence: the one it has, else one that is off, else the least recently used.

        Raises: UsageError for a pitch that no fence can hold; DriverError when there are no fences, or the
        binding is out of the aperture's reach.
        """
        if binding.node.end > self._mappable_end:
            raise DriverError(f"{binding!r} is not mappable: a fence acts on accesses through the aperture")
        low, high = fence_value(binding, tiling, pitch)
        if not self.fences:
            raise DriverError("the host has given this vGPU no fences")
        fence = next((used for used in self.fences if used.binding is binding), None) or self._least_recent[0]
        fence.binding, fence.low, fence.high = binding, low, high
        self._least_recent.remove(fence)
        self._least_recent.append(fence)
        self._write(fence)
        return fence

    def release(self, fence: Fence) -> None:
        """Switch ``fence`` off; it is the next to be used."""
        fence.binding, fence.low, fence.high = None, FenceLow(0), FenceHigh(0)
        self._least_recent.remove(fence)
        self._least_recent.insert(0, fence)
        self._write(fence)
