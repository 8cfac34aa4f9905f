"""What the page tells of a device beside its screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pvinfo.finding import Finding

from ..gpu.device import PhysicalGpu
from ..mediator.vgpu import Vgpu
from ..report import findings_of

__all__ = ("DeviceFacts", "gpu_facts", "vgpu_facts")


class DeviceFacts(NamedTuple):
    """A device in words and numbers: ``states`` are short, the worst says ``failsafe``."""

    figures: tuple[tuple[str, int], ...]
    engines: Mapping[str, int]
    """Requests of each engine."""
    findings: tuple[Finding, ...]
    failsafe: str | None = None


def vgpu_facts(vgpu: Vgpu) -> DeviceFacts:
    """What a vGPU's guest has done so far."""
    return DeviceFacts(
        figures=(
            ("register reads", vgpu.mmio.reads),
            ("register writes", vgpu.mmio.writes),
            ("aperture accesses", vgpu.aperture.reads + vgpu.aperture.writes),
            ("table entries written", vgpu.ggtt.entry_writes),
            ("interrupts", vgpu.interrupts_sent),
            ("resets", sum(vgpu.resets.values())),
        ),
        engines={engine.value: queue.requests for engine, queue in vgpu.submission.queues.items()},
        findings=_worst_first(findings_of(vgpu)),
        failsafe=vgpu.failsafe.reason.value if vgpu.failsafe.reason else None,
    )


def gpu_facts(gpu: PhysicalGpu) -> DeviceFacts:
    """What the driver of a physical GPU has done so far."""
    return DeviceFacts(
        figures=(
            ("register reads", gpu.mmio.reads),
            ("register writes", gpu.mmio.writes),
            ("aperture accesses", gpu.aperture.reads + gpu.aperture.writes),
            ("table entries written", gpu.ggtt.entry_writes),
            ("interrupts", gpu.interrupts_sent),
            ("resets", sum(gpu.resets.values())),
        ),
        engines=dict(gpu.engines.requests),
        findings=_worst_first(gpu.findings),
    )


def _worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: (finding.kind.name != "GUEST_FAULT", finding.kind.name == "NOTE", -finding.occurrences)))
