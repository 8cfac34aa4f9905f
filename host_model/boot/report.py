"""What a run is reported as: one JSON object for programs, a few lines for people."""

from __future__ import annotations

from collections import Counter

from host_model.boot.guest_log import Ballooning, GuestReport
from host_model.boot.kvmgt import KvmgtReport
from host_model.boot.run import BootResult, GuestOutcome
from pvinfo.units import format_range

__all__ = ("report_object", "summary")


def report_object(result: BootResult) -> dict[str, object]:
    """The run as JSON-ready values: the host's report with the verdict of both sides and ``guests``."""
    failures = result.failures()
    return {
        **result.host,
        "ok": not failures,
        "failures": failures,
        "qemu": {"version": result.plan.parts.qemu.version, "accelerator": result.plan.accelerator.value},
        "guests": [
            {"role": _role(result, number), **_guest_object(outcome)} for number, outcome in enumerate(result.guests)
        ],
    }


def _role(result: BootResult, number: int) -> str:
    return "host" if result.plan.is_host(number) else "guest"


def _guest_object(outcome: GuestOutcome) -> dict[str, object]:
    report = outcome.report
    mediated: dict[str, object] = {} if report.kvmgt is None else {"kvmgt": _kvmgt_object(report.kvmgt)}
    return {
        "kernel": report.kernel_release,
        "stage": report.stage.value,
        "timed_out": outcome.timed_out,
        "detected": report.detected,
        "balloon": _balloon_object(report.balloon),
        "driver_initialized": report.driver_initialized,
        "wedged": report.wedged,
        "drm_nodes": list(report.drm_nodes),
        "connectors": [_connector_object(report, name) for name in report.connectors],
        "framebuffer": None if report.framebuffer is None else report.framebuffer._asdict(),
        "screenshots": [str(path) for path in outcome.screenshots],
        "no_screenshot": outcome.no_screenshot,
        "warnings": list(report.warnings),
        "diagnosis": [item._asdict() for item in report.diagnosis],
        **mediated,
        "post_status": report.post_status,
        "post_output": outcome.post_output,
        "qemu_messages": outcome.qemu_messages.splitlines(),
        "seconds": {
            "boot": report.boot_s,
            "probe": report.probe_s,
            "total": round(outcome.seconds, 3),
        },
    }


def _connector_object(report: GuestReport, name: str) -> dict[str, object]:
    monitor = report.monitors.get(name)
    modes = [] if monitor is None else list(monitor.modes)
    return {
        "name": name,
        "status": report.connectors[name],
        "enabled": monitor is not None and monitor.enabled,
        "mode": modes[0] if modes else None,
        "modes": modes,
    }


def _balloon_object(balloon: Ballooning) -> dict[str, object]:
    return {
        "completed": balloon.completed,
        "mappable": balloon.mappable,
        "nonmappable": balloon.nonmappable,
        "reserved": [list(item) for item in balloon.reserved],
    }


def _kvmgt_object(report: KvmgtReport) -> dict[str, object]:
    difference = report.difference
    return {
        "types": {
            name: {"instances": offer.instances, "description": dict(offer.description)}
            for name, offer in report.types.items()
        },
        "tracked": report.tracked,
        "created": report.created,
        "created_type": report.smallest,
        "refused": report.refused,
        "mmio_diff": None if difference is None else {"total": difference.total, "diff": difference.different},
        "instances_left": dict(report.left),
    }


def summary(result: BootResult) -> str:
    """The verdict, and for each guest what led to it."""
    lines: list[str] = []
    for number, outcome in enumerate(result.guests):
        name = f"guest {number}{', the host' if result.plan.own_weight is not None and number == 0 else ''}"
        lines += _guest_lines(name, outcome, physical=result.plan.physical)
        lines += _share_lines(result, number)
    failures = result.failures()
    lines += [f"FAILED  {failure}" for failure in failures] or ["ok"]
    return "\n".join(lines)


def _guest_lines(name: str, outcome: GuestOutcome, *, physical: bool) -> list[str]:
    report = outcome.report
    lines = [f"{name}: Linux {report.kernel_release or '(no log)'}, {outcome.seconds:.1f} s"]
    if report.boot_s is not None:
        probe = "" if report.probe_s is None else f", i915 loaded in {report.probe_s:.2f} s"
        lines.append(f"  user space after {report.boot_s:.2f} s{probe} (guest time)")
    if not physical or report.detected:
        lines.append(f"  {'GVT-g detected' if report.detected else 'GVT-g not detected'}")
    for what, found in (
        ("may use", [item for item in (report.balloon.mappable, report.balloon.nonmappable) if item]),
        ("ballooned out", report.balloon.reserved),
    ):
        if found:
            lines.append(f"  {what} " + ", ".join(format_range(*item) for item in found))
    state = "initialised" if report.driver_initialized else "not initialised"
    lines.append(f"  driver {state}{', GPU declared wedged' if report.wedged else ''}")
    if report.drm_nodes:
        lines.append("  " + " ".join(f"/dev/dri/{node}" for node in report.drm_nodes))
    if report.connectors:
        lines.append("  " + ", ".join(_connector_words(report, name) for name in report.connectors))
    if report.framebuffer is not None:
        where = "console on" if report.framebuffer.console else "no console on"
        lines.append(f"  {where} {report.framebuffer.name} {report.framebuffer.size}")
    if report.kvmgt is not None:
        lines += _kvmgt_lines(report.kvmgt)
    for line, times in Counter(report.warnings).items():
        lines.append(f"  warning: {line}" + (f" ({times} times)" if times > 1 else ""))
    lines += [f"  likely: {item.cause}" for item in report.diagnosis]
    if report.post_status is not None:
        lines.append(f"  post script ended with status {report.post_status}")
    lines += [f"  screen in {path}" for path in outcome.screenshots]
    if outcome.no_screenshot is not None:
        lines.append(f"  no picture: {outcome.no_screenshot}")
    return lines


def _share_lines(result: BootResult, number: int) -> list[str]:
    """What the guest had of the GPU, where it was not alone there."""
    clients = result.clients()
    client = clients[number] if number < len(clients) > 1 else None
    schedule = client.get("schedule") if isinstance(client, dict) else None
    return [] if schedule is None else [f"  had {schedule['text']}"]


def _connector_words(report: GuestReport, name: str) -> str:
    monitor = report.monitors.get(name)
    words = f"{name} {report.connectors[name]}"
    if monitor is None:
        return words
    return f"{words} ({next(iter(monitor.modes), 'no mode')}{'' if monitor.enabled else ', not lit'})"


def _kvmgt_lines(report: KvmgtReport) -> list[str]:
    offers = ", ".join(f"{name} x {offer.instances}" for name, offer in report.types.items())
    lines = [f"  kvmgt offers {offers or 'nothing'}; tracks {report.tracked or 0} registers"]
    refused = "" if report.refused is None else f", one more was refused ({report.refused})"
    if report.smallest is not None:
        lines.append(f"  kvmgt made {report.created} of {report.smallest}{refused}")
    if report.difference is not None:
        total, different = report.difference
        lines.append(f"  {different} of {total} registers of a new vGPU differ from the hardware's")
    return lines
