"""The execlist submission ports of a vGPU's engines: where the guest's work enters the mediator.

Four dword writes make a submission of two context descriptors. Submissions are counted and go nowhere yet: the GPU's
engines do not execute, so a guest's requests stay incomplete and it declares the GPU wedged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, final

from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import ContextStatusPointer, EngineRegisters

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("SubmissionPorts",)

_DWORDS: Final = 4
_NO_EVENT_YET: Final = ContextStatusPointer.of(write_pointer=7)
"""The first event is number 0. Source: linux:drivers/gpu/drm/i915/gvt/execlist.c (reset_execlist)"""


@final
class SubmissionPorts:
    """One port per engine."""

    def __init__(self, vgpu: Vgpu) -> None:
        self._vgpu = vgpu
        self._loaded: dict[Engine, list[int]] = {engine: [] for engine in vgpu.platform.engines}
        self.submissions: dict[Engine, int] = dict.fromkeys(vgpu.platform.engines, 0)
        """Complete submissions by the guest, since the vGPU was made."""

    def write(self, engine: Engine, value: int) -> None:
        """One dword written to the engine's port: element 1 high and low, element 0 high and low; the fourth submits."""
        loaded = self._loaded[engine]
        loaded.append(value)
        if len(loaded) < _DWORDS:
            return
        loaded.clear()
        self.submissions[engine] += 1
        self._vgpu.findings.not_modelled(
            "submission", f"{engine.value}.ELSP ({ENGINES[engine].base + EngineRegisters.elsp.offset:#x})",
            "a context was submitted, but the engines of this model do not execute; its requests never complete", value=value,
        )  # fmt: skip

    def enable(self, engine: Engine) -> None:
        """The guest has chosen execlists: the port starts empty."""
        self.reset((engine,))

    def reset(self, engines: Iterable[Engine]) -> None:
        """Drop what the engines' ports hold, whole or in part."""
        for engine in engines:
            self._loaded[engine].clear()
            EngineRegisters(self._vgpu.registers, ENGINES[engine].base).context_status_ptr = _NO_EVENT_YET
