"""Scenarios of what stands between a vGPU's work and the GPU: each notices when a mediator does not do what it is about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guest_driver.scenarios import DeviceKind, InProcess, Outcome, built_in, play
from host_model.mediator.audit.scan import Scan
from host_model.mediator.failsafe import Failsafe
from host_model.mediator.shadow import entries
from host_model.mediator.shadow.ppgtt import ShadowTables
from host_model.mediator.submission.port import SubmissionPorts
from host_model.mediator.submission.queue import EngineQueue
from pvinfo.execlist import ContextDescriptor


def audits_no_addresses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Scan, "audit_address", lambda self, dwords, at, operand, address, size: None)


def audits_late(patch: pytest.MonkeyPatch) -> None:
    submit = EngineQueue.submit

    def broken(self: EngineQueue, descriptor: ContextDescriptor, elements: object) -> bool:
        with pytest.MonkeyPatch.context() as meanwhile:
            meanwhile.setattr(EngineQueue, "_prepare", lambda self, workload: None)
            return submit(self, descriptor, elements)  # type: ignore[arg-type]

    patch.setattr(EngineQueue, "submit", broken)


def takes_large_entries_for_tables(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(entries, "_GIGABYTE_PAGE", 0)


def trusts_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Failsafe, "enter", lambda self, reason, where, value=None: None)


def keeps_address_spaces_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ShadowTables, "clear", lambda self: None)


def goes_on_after_resets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SubmissionPorts, "reset", lambda self, engines: None)


Break = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    ("break_it", "noticed_by"),
    [
        (audits_no_addresses, ("refused-addresses",)),
        (audits_late, ("ring-rewritten-after-audit", "batch-rewritten-after-audit")),
        (takes_large_entries_for_tables, ("tables-of-1-gib-pages",)),
        (trusts_for_ever, ("refused-unknown-commands", "refused-lost-ring", "trust-lost-at-work")),
        (keeps_address_spaces_for_ever, ("device-reset-at-work", "trust-lost-at-work")),
        (goes_on_after_resets, ("device-reset-at-work",)),
    ],
)  # fmt: skip
def test_a_broken_mediator_is_noticed_by_the_scenario_that_is_about_it(break_it: Break, noticed_by: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    outcomes = {name: play(built_in()[name], InProcess()).outcome for name in ("probe", *noticed_by)}
    assert outcomes == {"probe": Outcome.PASSED, **dict.fromkeys(noticed_by, Outcome.FAILED)}


def test_every_story_of_engines_at_work_is_told_on_a_vgpu_or_has_one_of_its_own_there() -> None:
    found = {name: known for name, known in built_in().items() if known.family == "Engines at work"}
    on_physical = {name for name, known in found.items() if known.needs.devices == (DeviceKind.PHYSICAL,)}
    on_vgpu = set(found) - on_physical
    own = {
        "lite-restore": "requests-that-join", "interrupts-masked-and-unmasked": "interrupts-at-the-end",
        "table-completed-in-time": "tables-rewritten-while-running", "translations-dropped-on-command": "tables-rewritten-while-running",
        "page-of-1-gib": "tables-of-1-gib-pages", "context-interrupted": "two-ports-on-vgpu",
    }  # fmt: skip
    assert {name for name in on_physical if f"{name}-on-vgpu" not in on_vgpu} == set(own)
    assert set(own.values()) <= set(built_in())


@pytest.mark.parametrize("name", ["balloon-at-the-bottom", "balloon-nothing", "balloon-single-pages", "balloon-first-and-last-page"])
def test_slices_in_the_hosts_part_are_told_of_and_not_given(name: str) -> None:
    result = play(built_in()[name], InProcess(aperture_size=256 << 20))
    assert (result.outcome, result.reason) == (Outcome.PASSED, "")
    assert any("interposer" in sentence for sentence in result.setting)
    (vgpu,) = result.vgpus
    assert isinstance(vgpu["balloon"], dict)
    assert vgpu["balloon"]["mappable"][0] >= 128 << 20
    assert "ggtt-outside-slice" in {finding.rule for finding in result.findings}
