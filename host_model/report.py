"""What the host saw of its guests, as one JSON object (the contract of ``--json``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.finding import Finding, FindingKind
from pvinfo.page import Capability

from .device.display.monitor import Monitor
from .device.mmio.window import MmioWindow
from .mediator.scheduler.share import share_of

if TYPE_CHECKING:
    from .gpu.device import PhysicalGpu
    from .host import Host
    from .mediator.host_path.device import HostDevice
    from .mediator.vgpu import Vgpu

__all__ = ("finding_report", "findings_of", "gpu_report", "host_report", "own_report", "physical_report", "vgpu_report")

Json = dict[str, object]


def finding_report(finding: Finding) -> Json:
    """A finding."""
    report: Json = {
        "kind": finding.kind.value,
        "rule": finding.rule,
        "where": finding.where,
        "value": finding.value,
        "text": finding.text,
        "count": finding.occurrences,
    }
    if finding.nearest:
        report["nearest"] = finding.nearest
    return report


def vgpu_report(vgpu: Vgpu, socket: str | None = None) -> Json:
    """One vGPU."""
    return {
        "type": vgpu.type.name,
        "socket": socket,
        **_client_report(vgpu),
        "mmio": _accesses(vgpu.mmio),
        "held": _held_of(vgpu),
        "failsafe": vgpu.failsafe.reason.value if vgpu.failsafe.reason else None,
    }


def own_report(device: HostDevice, socket: str | None = None) -> Json:
    """The device of the host's own driver. ``passed`` are accesses that reached the physical GPU's registers."""
    return {"socket": socket, **_client_report(device), "mmio": {**_accesses(device.mmio.emulated), "passed": device.mmio.passed}}


def _client_report(client: Vgpu | HostDevice) -> Json:
    """What vGPUs and the host's own device have in common."""
    announced = client.pv.announcement
    resources = client.resources
    return {
        "number": client.number,
        "monitor": _monitor(client.display.monitor),
        "pv": {
            "detected": client.pv.guest_is_aware,
            "version": f"{announced.version_major}.{announced.version_minor}",
            "caps": int(announced.capabilities),
            "capabilities": [capability.name for capability in Capability if capability in announced.capabilities],
            "display_ready": client.pv.display_ready,
            "notifications": {kind.name: times for kind, times in sorted(client.pv.notifications.items())},
            "unknown_notifications": client.pv.unknown_notifications,
        },
        "balloon": {
            "mappable": [resources.low.start, resources.low.stop],
            "nonmappable": [resources.high.start, resources.high.stop],
            "fences": len(resources.fences),
        },
        "pci": {"memory": client.config.memory_enabled, "master": client.config.master_enabled, "asleep": client.config.in_d3},
        "aperture": {"reads": client.aperture.reads, "writes": client.aperture.writes},
        "ggtt_writes": client.ggtt.entry_writes,
        "requests": {engine.value: queue.requests for engine, queue in client.submission.queues.items()},
        "schedule": _schedule_of(client),
        "submissions": {engine.value: times for engine, times in client.submission.submissions.items()},
        "workloads": {engine.value: queue.completed for engine, queue in client.submission.queues.items()},
        "interrupts": client.interrupts_sent,
        "resets": sum(client.resets.values()),
        "resets_by_kind": dict(client.resets),
        "findings": [finding_report(finding) for finding in findings_of(client)],
    }


def _schedule_of(client: Vgpu | HostDevice) -> Json:
    turns = client.turn
    share = share_of(turns, client)
    report: Json = {**share._asdict(), "text": share.text}
    if len(turns.all) > 1:
        report["engines"] = {engine.value: share_of(turns.of(engine), client)._asdict() for engine in client.platform.engines}
    return report


def _held_of(vgpu: Vgpu) -> Json:
    """What the host keeps for the guest that is there now: nothing of it outlives the guest."""
    return {
        "pinned_pages": vgpu.port.mapped_pages,
        "address_spaces": len(vgpu.tables),
        "shadow_tables": vgpu.tables.tables,
        "shadow_pages": vgpu.mediator.shadow_pool.used(vgpu.number),
        "workloads": sum(queue.workloads for queue in vgpu.submission.queues.values()),
    }


def findings_of(client: Vgpu | HostDevice) -> tuple[Finding, ...]:
    """What was noticed of a client's driver: by the mediator, and by the GPU while it worked for it."""
    return (*client.findings, *(finding for finding in client.gpu.findings if finding.vgpu == client.number))


def host_report(host: Host, sockets: dict[int, str] | None = None) -> Json:
    """The host with all its vGPUs, and its own device where it has one; ``sockets`` by number, of which 0 is the host's own."""
    sockets = sockets or {}
    vgpus = [vgpu_report(vgpu, sockets.get(number)) for number, vgpu in sorted(host.vgpus.items())]
    faults = any(
        finding.kind is FindingKind.GUEST_FAULT for vgpu in host.vgpus.values() for finding in findings_of(vgpu)
    )
    own = host.own if host.own is not None and host.own.is_open else None
    reported = {*host.vgpus, own.number} if own is not None else {*host.vgpus}
    return {
        "ok": not faults and not host.guard.violations,
        "platform": host.platform.name,
        "vgpus": vgpus,
        **({"host": own_report(own, sockets.get(own.number))} if own is not None else {}),
        "gpu": {
            "commands": host.gpu.engines.commands,
            "isolation_violations": host.guard.violations,
            "turns": host.mediator.turn.changes,
            "held": {"pages": host.memory.own_pages, "timers": host.clock.timers},
            "schedule": {
                "policy": host.mediator.turn.policy_name,
                "switching": host.mediator.turn.switching,
                "patience_ns": host.mediator.turn.patience_ns,
                "used_ns": host.mediator.turn.used_ns,
                "contested_ns": host.mediator.turn.contested_ns,
            },
            "findings": [finding_report(finding) for finding in host.gpu.findings if finding.vgpu not in reported],
        },
    }


def physical_report(gpu: PhysicalGpu, socket: str | None = None) -> Json:
    """The physical GPU handed to one machine: the same object without vGPUs."""
    return {
        "ok": not any(finding.kind is FindingKind.GUEST_FAULT for finding in gpu.findings),
        "platform": gpu.platform.name,
        "vgpus": [],
        "gpu": gpu_report(gpu, socket),
    }


def gpu_report(gpu: PhysicalGpu, socket: str | None = None) -> Json:
    """The physical GPU itself."""
    return {
        "socket": socket,
        "monitor": _monitor(gpu.display.monitor),
        "mmio": _accesses(gpu.mmio),
        "aperture": {"reads": gpu.aperture.reads, "writes": gpu.aperture.writes},
        "ggtt_writes": gpu.ggtt.entry_writes,
        "interrupts": gpu.interrupts_sent,
        "resets_by_kind": dict(gpu.resets),
        "commands": gpu.engines.commands,
        "requests": gpu.engines.requests,
        "isolation_violations": 0,
        "findings": [finding_report(finding) for finding in gpu.findings],
    }


def _monitor(monitor: Monitor | None) -> Json | None:
    """What is plugged in."""
    if monitor is None:
        return None
    return {"connector": str(monitor.connector), "name": monitor.identity.name, "mode": str(monitor.mode)}


def _accesses(window: MmioWindow) -> Json:
    """Register accesses, and those of registers that the model does not know."""
    return {
        "reads": window.reads,
        "writes": window.writes,
        "unmodelled": {(hex(offset) if offset >= 0 else "more"): times for offset, times in sorted(window.unmodelled.items())},
    }
