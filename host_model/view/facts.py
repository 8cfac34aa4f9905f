"""What the page tells of a device beside its screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from pvinfo.finding import Finding, FindingKind

from ..device.mmio.window import MmioWindow
from ..gpu.device import PhysicalGpu
from ..mediator.host_path.device import HostDevice
from ..mediator.scheduler.share import share_of
from ..mediator.vgpu import Vgpu
from ..report import findings_of

__all__ = ("DeviceFacts", "gpu_facts", "own_facts", "vgpu_facts")

_GRAVITY: Final = (FindingKind.GUEST_FAULT, FindingKind.NOT_MODELLED, FindingKind.NOTE)


class DeviceFacts(NamedTuple):
    """A device in numbers and words."""

    figures: tuple[tuple[str, int | str], ...]
    engines: Mapping[str, int]
    """Requests of each engine."""
    findings: tuple[Finding, ...]
    failsafe: str | None = None
    """Why the vGPU is in failsafe mode, where it is."""


def vgpu_facts(vgpu: Vgpu) -> DeviceFacts:
    """What a vGPU's guest has done so far."""
    return _client_facts(vgpu, vgpu.mmio, vgpu.failsafe.reason.value if vgpu.failsafe.reason else None)


def own_facts(device: HostDevice) -> DeviceFacts:
    """What the host's own driver has done so far. Registers of the physical GPU that it has for its own are counted apart."""
    facts = _client_facts(device, device.mmio.emulated)
    return facts._replace(figures=(("accesses of the GPU's own registers", device.mmio.passed), *facts.figures))


def _client_facts(client: Vgpu | HostDevice, registers: MmioWindow, failsafe: str | None = None) -> DeviceFacts:
    share = share_of(client.turn, client)
    return DeviceFacts(
        figures=(
            *_figures(client, registers),
            ("share of GPU time", f"{100 * share.share:.1f} %"),
            ("weight", share.weight),
            ("worst wait for the GPU", share.worst_wait),
        ),
        engines={engine.value: queue.requests for engine, queue in client.submission.queues.items()},
        findings=_worst_first(findings_of(client)),
        failsafe=failsafe,
    )


def gpu_facts(gpu: PhysicalGpu) -> DeviceFacts:
    """What the driver of a physical GPU has done so far."""
    return DeviceFacts(figures=_figures(gpu, gpu.mmio), engines=gpu.engines.requests, findings=_worst_first(gpu.findings))


def _figures(device: Vgpu | HostDevice | PhysicalGpu, registers: MmioWindow) -> tuple[tuple[str, int], ...]:
    return (
        ("register reads", registers.reads),
        ("register writes", registers.writes),
        ("aperture accesses", device.aperture.reads + device.aperture.writes),
        ("table entries written", device.ggtt.entry_writes),
        ("interrupts", device.interrupts_sent),
        ("resets", sum(device.resets.values())),
    )


def _worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: (_GRAVITY.index(finding.kind), -finding.occurrences)))
