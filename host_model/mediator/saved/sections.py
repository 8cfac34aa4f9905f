"""The parts of a saved vGPU, in the order in which they are put together: each may ask what came before it."""

from __future__ import annotations

from typing import Final

from .counters import COUNTERS
from .device import CONFIG, FAILSAFE, INTERRUPTS, PVINFO, REGISTERS, SIDEBAND
from .display import MONITOR, PIPES
from .memory import FENCES, GGTT, PPGTT, SCRATCH
from .work import SUBMISSION

__all__ = ("SECTIONS",)

SECTIONS: Final = {
    section.name: section
    for section in (CONFIG, REGISTERS, SIDEBAND, PVINFO, SCRATCH, GGTT, FENCES, PPGTT, SUBMISSION, FAILSAFE, MONITOR, PIPES, INTERRUPTS, COUNTERS)
}
