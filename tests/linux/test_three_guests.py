"""Three real guests of different weight on one GPU: each draws its own pattern, and has of the GPU what it weighs.

What weights promise is GPU time, and only while everybody wants the GPU. Here the guests' processors are emulated, on
whatever this machine has left: how many rounds of its pattern a guest gets done says more of that than of the GPU. So a second
program in each guest keeps a backlog of long batches, and the share is taken of the *contested* time alone: that in which all
three had work for the GPU (``host_model.mediator.scheduler.account.Had``). It is held against the weights; when a guest could
not keep up, because its processor did not run, that time is not contested and says nothing of the scheduler.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from support import real_guest

pytestmark = real_guest.needs()

TYPES = {"GVTg_V5_8": 2, "GVTg_V5_4": 4, "GVTg_V5_2": 8}
"""With their weights."""
PATTERN_SECONDS = 25
LEAST_ROUNDS = 20
LEAST_CONTESTED_NS = 2_000_000_000
FARTHEST = 1 / 3
"""How far from its part by weight the share of a guest may be, as a part of that: twice as far, and two guests of which one weighs
twice the other could not be told apart. Work comes in pieces of some milliseconds, and each time that somebody comes back or runs out
of work the others' books are a piece out of balance. What a guest has had while somebody else wanted nothing stands in the books as
well: the lightest, for which most is left over, then has less of the contested time. On virtual time, without that, shares are
within 1 %: tests/unit/test_scheduler_fair.py."""
START_AT = 40
"""Seconds since a guest's start. They have no other way to agree on a beginning, and whoever waits leaves the machine to the others."""
POST = f"""\
read -r now idle </proc/uptime
[ "${{now%.*}}" -lt {START_AT} ] && sleep $(({START_AT} - ${{now%.*}}))
export PATTERN_SEED=$((1000 + HOST_MODEL_GUEST)) PATTERN_SECONDS={PATTERN_SECONDS}
/bin/workload backlog &
/bin/workload pattern && wait $!
"""
SVG = "{http://www.w3.org/2000/svg}"
COLUMNS = 1000
"""Of the picture, left of which names stand."""


class ThreeGuests(NamedTuple):
    """The boot of all three, and its picture."""

    report: dict[str, Any]
    errors: str
    timeline: Path


@pytest.fixture(scope="module")
def three(workload: Path, tmp_path_factory: pytest.TempPathFactory) -> ThreeGuests:
    folder = tmp_path_factory.mktemp("three")
    post, timeline = folder / "post.sh", folder / "timeline.svg"
    post.write_text(f"#!/bin/sh\n{POST}")
    types = [word for name in TYPES for word in ("--type", name)]
    booted = real_guest.boot(
        folder, "--guests", "3", "--aperture", "1024", *types, "--memory", "512", "--timeline", str(timeline),
        "--add", f"{workload}:/bin/workload", "--post", str(post), "--timeout", "280",
    )  # fmt: skip
    return ThreeGuests(booted.report, booted.errors, timeline)


def test_all_drivers_initialise_and_each_finds_its_own_pattern(three: ThreeGuests) -> None:
    assert three.report["failures"] == []
    assert "Traceback" not in three.errors
    for number, guest in enumerate(three.report["guests"]):
        assert guest["driver_initialized"] and not guest["wedged"]
        assert guest["warnings"] == []
        said = re.search(r"^rounds (\d+) of seed (\d+), ", guest["post_output"], re.MULTILINE)
        assert said is not None, guest["post_output"]
        assert (int(said[2]), guest["post_status"]) == (1000 + number, 0)
        assert int(said[1]) >= LEAST_ROUNDS
        assert re.search(r"^ok backlog ", guest["post_output"], re.MULTILINE)


def test_nobody_reaches_another_ones_memory(three: ThreeGuests) -> None:
    gpu = three.report["gpu"]
    assert gpu["isolation_violations"] == 0
    findings = [finding for device in (*three.report["vgpus"], gpu) for finding in device["findings"]]
    assert [finding for finding in findings if finding["kind"] != "note"] == []


def test_while_all_want_the_gpu_each_has_of_it_what_it_weighs(three: ThreeGuests, capsys: pytest.CaptureFixture[str]) -> None:
    schedules = [vgpu["schedule"] for vgpu in three.report["vgpus"]]
    contested = three.report["gpu"]["schedule"]["contested_ns"]
    with capsys.disabled():
        print(f"\n{contested / 1e9:.1f} s in which all three wanted the GPU; picture in {three.timeline}")
        for number, schedule in enumerate(schedules):
            print(f"guest {number}: {schedule['text']}")
    assert [schedule["weight"] for schedule in schedules] == list(TYPES.values())
    assert contested >= LEAST_CONTESTED_NS
    for schedule in schedules:
        due = schedule["weight"] / sum(TYPES.values())
        assert abs(schedule["contested_share"] - due) <= FARTHEST * due


def test_nobody_waits_longer_than_the_bound_that_is_printed(three: ThreeGuests) -> None:
    for vgpu in three.report["vgpus"]:
        schedule = vgpu["schedule"]
        assert schedule["waits"] > 0
        assert 0 < schedule["worst_wait_ns"] <= schedule["worst_wait_bound_ns"]
        assert schedule["starved"] == 0


def test_the_picture_has_a_lane_for_each_guest_in_which_it_had_the_gpu(three: ThreeGuests) -> None:
    root = ElementTree.fromstring(three.timeline.read_text())
    names = [f"guest {number} (weight {weight})" for number, weight in enumerate(TYPES.values())]
    assert [text.text for text in root.iter(f"{SVG}text") if text.text and "weight" in text.text] == names
    bars = [bar for bar in root.iter(f"{SVG}rect") if bar.get("fill-opacity")]
    for name in names:
        lane = [bar for bar in bars if (bar.findtext(f"{SVG}title") or "").startswith(f"{name}: ")]
        assert len({bar.get("y") for bar in lane}) == 1
        assert sum(int(bar.attrib["width"]) for bar in lane) > COLUMNS // 4
