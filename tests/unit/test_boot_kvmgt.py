"""The kernel's own mediator on our GPU: what its machine says of it, and when that is good enough."""

from __future__ import annotations

import re

import pytest

from host_model.boot.kvmgt import OfferedType, RegisterDifference, read_kvmgt

LARGE = "low_gm_size: 128MB; high_gm_size: 512MB; fence: 4; resolution: 1920x1200; weight: 4"
SMALL = "low_gm_size: 64MB; high_gm_size: 384MB; fence: 4; resolution: 1024x768; weight: 2"

GOOD = [
    f"type GVTg_V5_4 1 {LARGE}",
    f"type GVTg_V5_8 2 {SMALL}",
    "tracked 2019",
    "created GVTg_V5_8",
    "created GVTg_V5_8",
    "refused No space left on device",
    "diff 2019 87",
    "left GVTg_V5_4 1",
    "left GVTg_V5_8 2",
]


def test_the_lines_are_read_as_the_mediators_own_words() -> None:
    report = read_kvmgt(GOOD)
    assert report is not None
    assert report.types["GVTg_V5_8"] == OfferedType(
        2,
        {"low_gm_size": "64MB", "high_gm_size": "384MB", "fence": "4", "resolution": "1024x768", "weight": "2"},
    )
    assert list(report.types) == ["GVTg_V5_4", "GVTg_V5_8"]
    assert (report.tracked, report.smallest, report.created) == (2019, "GVTg_V5_8", 2)
    assert report.refused == "No space left on device"
    assert report.difference == RegisterDifference(2019, 87)
    assert report.left == {"GVTg_V5_4": 1, "GVTg_V5_8": 2}
    assert report.failure() is None


def test_a_machine_that_never_tried_has_no_report() -> None:
    assert read_kvmgt([]) is None


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["tracked 2019"], "kvmgt offers no vGPU type"),
        ([line for line in GOOD if not line.startswith("tracked")], "kvmgt tracks no register"),
        (
            [line for line in GOOD if not line.startswith("created")],
            "no vGPU could be made (No space left on device)",
        ),
        (
            [line for number, line in enumerate(GOOD) if number != 3],
            "1 vGPUs of GVTg_V5_8 could be made where 2 are on offer (No space left on device)",
        ),
        (
            [*(line for line in GOOD if not line.startswith("refused")), "created GVTg_V5_8"],
            "kvmgt made 3 vGPUs of GVTg_V5_8 where it offers 2: the one too many was not refused",
        ),
        (
            [line for line in GOOD if not line.startswith("diff")],
            "the registers of a vGPU cannot be compared with the hardware's (mmio_diff)",
        ),
        (
            [*GOOD, "left GVTg_V5_8 1"],
            "removed vGPUs do not give back what they held: {'GVTg_V5_4': 1, 'GVTg_V5_8': 1} left of "
            "{'GVTg_V5_4': 1, 'GVTg_V5_8': 2}",
        ),
        (GOOD[:-2], "removed vGPUs do not give back what they held: {} left of {'GVTg_V5_4': 1, 'GVTg_V5_8': 2}"),
    ],
)
def test_what_a_host_would_not_do_is_a_failure(lines: list[str], why: str) -> None:
    report = read_kvmgt(lines)
    assert report is not None
    assert report.failure() == why


@pytest.mark.parametrize("line", ["type GVTg_V5_8", "type GVTg_V5_8 many x: 1", "tracked", "left GVTg_V5_8", "diff 1", "diff a b"])
def test_a_line_that_is_cut_says_nothing(line: str) -> None:
    assert read_kvmgt([line]) == read_kvmgt(["nonsense"])


def test_an_offer_without_a_description_is_still_an_offer() -> None:
    report = read_kvmgt(["type GVTg_V5_8 2"])
    assert report is not None and report.types == {"GVTg_V5_8": OfferedType(2, {})}
    assert re.match("kvmgt tracks no", report.failure() or "")
