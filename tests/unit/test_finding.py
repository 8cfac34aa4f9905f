"""Findings: what the host noticed about a guest, counted and bounded."""

from __future__ import annotations

import pytest

from pvinfo.finding import Finding, FindingKind, FindingLog


def test_a_finding_says_which_rule_whose_where_with_what_and_what_would_have_done() -> None:
    log = FindingLog(3)
    log.fault("ggtt-outside-slice", "GGTT entry of 0x1000", "it is dropped", value=7, nearest="[0x8000000, 0xc000000)")
    assert list(log) == [
        Finding(
            FindingKind.GUEST_FAULT, "ggtt-outside-slice", 3, "GGTT entry of 0x1000", 7, "it is dropped", "[0x8000000, 0xc000000)", 1
        )
    ]


def test_equal_findings_are_counted_and_keep_the_first_value() -> None:
    log = FindingLog(1)
    for value in (5, 6, 7):
        log.fault("rule", "here", "text", value=value)
    log.fault("rule", "there", "text", value=8)
    assert [(f.where, f.value, f.occurrences) for f in log] == [("here", 5, 3), ("there", 8, 1)]


def test_the_same_rule_of_another_kind_is_another_finding() -> None:
    log = FindingLog(1)
    log.fault("rule", "here", "text")
    log.not_modelled("rule", "here", "text", value=1)
    log.note("rule", "here", "text")
    assert [f.kind for f in log.of_rule("rule")] == [FindingKind.GUEST_FAULT, FindingKind.NOT_MODELLED, FindingKind.NOTE]


def test_a_hostile_guest_cannot_fill_the_hosts_memory() -> None:
    log = FindingLog(1, limit=4)
    for place in range(1000):
        log.fault("flood", f"place {place}", "text", value=place)
    log.fault("other", "place 0", "another rule has room of its own")
    assert [(f.where, f.occurrences) for f in log.of_rule("flood")] == [
        ("place 0", 1), ("place 1", 1), ("place 2", 1), ("place 3", 1), ("(more places)", 996),
    ]  # fmt: skip
    assert len(log) == 6


def test_past_the_limit_known_places_are_still_counted_by_themselves() -> None:
    log = FindingLog(1, limit=2)
    for place in ("a", "b", "c", "a", "c", "b"):
        log.note("rule", place, "text")
    assert {f.where: f.occurrences for f in log} == {"a": 2, "b": 2, "(more places)": 2}


def test_each_new_finding_is_announced_once() -> None:
    log = FindingLog(1, limit=1)
    announced: list[str] = []
    log.on_first = lambda finding: announced.append(finding.where)
    for place in ("a", "a", "b", "c"):
        log.note("rule", place, "text")
    assert announced == ["a", "(more places)"]


def test_a_cleared_log_begins_again() -> None:
    log = FindingLog(1, limit=1)
    log.note("rule", "a", "text")
    log.clear()
    assert len(log) == 0
    log.note("rule", "b", "text")
    assert [f.where for f in log] == ["b"]


@pytest.mark.parametrize("rule", ["rule", "unknown"])
def test_findings_of_a_rule_are_those_and_no_others(rule: str) -> None:
    log = FindingLog(1)
    log.note("rule", "a", "text")
    assert {f.rule for f in log.of_rule(rule)} == ({"rule"} if rule == "rule" else set())


def test_a_log_whose_vgpu_changes_keeps_what_each_did_apart_and_forgets_one_alone() -> None:
    log = FindingLog(1, limit=2)
    log.fault("rule", "here", "text")
    log.vgpu = 2
    log.fault("rule", "here", "text")
    log.fault("rule", "there", "text")
    assert [(found.vgpu, found.where, found.occurrences) for found in log] == [(1, "here", 1), (2, "here", 1), (2, "(more places)", 1)]
    log.forget(2)
    assert [(found.vgpu, found.where) for found in log] == [(1, "here")]
    log.fault("rule", "there", "text")
    assert [(found.vgpu, found.where) for found in log] == [(1, "here"), (2, "there")]
