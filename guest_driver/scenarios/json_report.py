"""A run as one JSON object (the contract of ``--json``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from host_model.report import finding_report

from .access import count_by_kind
from .needs import DeviceKind
from .outcome import Json, Offer, Outcome, RunResult, ScenarioResult

__all__ = ("ServedReports", "run_report", "served_reports")


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9


def _requests(result: ScenarioResult) -> Json:
    """Requests that the guests' drivers saw done, by engine; nothing where no engine was at work."""
    counted: Counter[str] = Counter()
    for guest in result.guests:
        counted.update(guest.requests)
    return {"requests": dict(counted)} if counted else {}


def _scenario_report(result: ScenarioResult) -> Json:
    return {
        "name": result.name,
        "purpose": result.purpose,
        "place": result.place,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "setting": list(result.setting),
        "seconds_virtual": _seconds(result.duration_ns),
        "steps": [
            {"title": step.title, "seconds_virtual": _seconds(step.time_ns), "checks": len(step.checks)} for step in result.steps
        ],
        "checks": [{"step": number, **check.to_json()} for number, step in enumerate(result.steps, 1) for check in step.checks],
        **({"pictures": [{"step": number, **picture.to_json()} for number, step in enumerate(result.steps, 1) for picture in step.pictures]} if result.pictures else {}),
        "findings": [finding_report(finding) for finding in result.findings],
        "accesses": count_by_kind(access for guest in result.guests for access in guest.accesses),
        **_requests(result),
        "guests": [guest.to_json() for guest in result.guests],
    }


class ServedReports(NamedTuple):
    """What is behind sockets, as far as drivers can see."""

    vgpus: Sequence[Json] = ()
    gpus: Sequence[Json] = ()
    hosts: Sequence[Json] = ()
    """Hosts' own devices."""


def served_reports(served: Iterable[tuple[Path, str, Offer]]) -> ServedReports:
    """Of each socket, type and offer."""
    vgpus: list[Json] = []
    gpus: list[Json] = []
    hosts: list[Json] = []
    for path, type_name, offer in served:
        match offer.device:
            case DeviceKind.VGPU:
                vgpus.append({"type": type_name, **_served_share_report(path, offer)})
            case DeviceKind.PHYSICAL:
                gpus.append({"socket": str(path), **offer.to_json()})
            case DeviceKind.HOST:
                hosts.append(_served_share_report(path, offer))
    return ServedReports(vgpus, gpus, hosts)


def _served_share_report(path: Path, offer: Offer) -> Json:
    return {
        "number": offer.vgt_id,
        "socket": str(path),
        "pv": {"version": f"{offer.version_major}", "caps": int(offer.capabilities)},
        "balloon": {
            "mappable": [offer.mappable.base, offer.mappable.base + offer.mappable.size],
            "nonmappable": [offer.nonmappable.base, offer.nonmappable.base + offer.nonmappable.size],
            "fences": offer.fence_num,
        },
    }


def run_report(run: RunResult, served: ServedReports = ServedReports()) -> Json:
    """The whole run; ``served`` is what is behind sockets, where it played there."""
    own = [{"scenario": result.name, **vgpu} for result in run.scenarios for vgpu in result.vgpus]
    bare = [{"scenario": result.name, **gpu} for result in run.scenarios for gpu in result.gpus]
    hosts = [{"scenario": result.name, **host} for result in run.scenarios for host in result.hosts]
    return {
        "ok": run.ok,
        "version": run.version,
        "platform": run.platform,
        "host": run.where,
        "seed": run.seed,
        "passed": run.count(Outcome.PASSED),
        "failed": run.count(Outcome.FAILED),
        "skipped": run.count(Outcome.SKIPPED),
        "scenarios": [_scenario_report(result) for result in run.scenarios],
        "vgpus": [*own, *served.vgpus],
        "gpus": [*bare, *served.gpus],
        "hosts": [*hosts, *served.hosts],
    }
