"""The report's pictures: lanes, folding, steps, driver states, graphics memory."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ElementTree

import pytest

from guest_driver.report.lanes import Lane, describe, lane_of
from guest_driver.report.memory_map import memory_map
from guest_driver.report.page import render_report
from guest_driver.report.timeline import Phase, timeline
from guest_driver.scenarios import InProcess, RunResult, play, run_scenarios, select
from guest_driver.scenarios.access import Access, AccessKind
from guest_driver.scenarios.outcome import Check, GuestRecord, Offer, Outcome, ScenarioResult, Step, View
from pvinfo.page import VGT_MAGIC, Capability, GraphicsRange
from pvinfo.units import GIB, MIB


def _read(offset: int, value: int = 0) -> Access:
    return Access(0, AccessKind.REGISTER_READ, 4, offset, value)


def _write(offset: int, value: int = 0) -> Access:
    return Access(0, AccessKind.REGISTER_WRITE, 4, offset, value)


@pytest.mark.parametrize(
    ("access", "lane"),
    [
        (_read(0x78010), Lane.PAGE), (_write(0x44200), Lane.INTERRUPT), (_write(0x2098), Lane.RENDER), (_read(0x22034), Lane.COPY),
        (_read(0x120B8), Lane.VIDEO), (_read(0x1A0B8), Lane.ENHANCE), (_write(0x941C), Lane.GT), (_write(0x101008), Lane.GT),
        (_write(0x100008), Lane.FENCE), (_read(0x138124), Lane.GT), (_read(0xC6204), Lane.DISPLAY), (_read(0x46010), Lane.DISPLAY),
        (_read(0x2FF0), Lane.RENDER), (_read(0x1F0000), Lane.OTHER),
        (Access(0, AccessKind.CONFIG_READ, 2, 0, 0), Lane.CONFIG), (Access(0, AccessKind.GGTT_WRITE, 8, 0, 0), Lane.GGTT),
        (Access(0, AccessKind.APERTURE_READ, 4, 0, 0), Lane.APERTURE), (Access(0, AccessKind.INTERRUPT, 0, 0, 0), Lane.EVENT),
    ],
)  # fmt: skip
def test_every_access_has_a_lane(access: Access, lane: Lane) -> None:
    assert lane_of(access) is lane


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (_read(0x78010, 0x1C), "PvInfo.vgt_caps (0x78010) → 0x1c (FULL_PPGTT, HWSP_EMULATION, HUGE_GTT)"),
        (Access(0, AccessKind.REGISTER_READ, 8, 0x78000, VGT_MAGIC), "PvInfo.magic (0x78000) [64 bits] → 0x4776544776544776 (the magic)"),
        (_write(0x209C, 0x01000100), "RCS0.mi_mode (0x209c) ← 0x1000100 (set stop_ring)"),
        (_write(0x1F0000, 1), "0x1f0000 ← 0x1"),
        (Access(0, AccessKind.GGTT_WRITE, 8, 0x10, 0x5001), "entry of graphics page 0x2000 [64 bits] ← 0x5001"),
        (Access(0, AccessKind.CONFIG_READ, 2, 0, 0x8086), "vendor_id (config+0x0) [16 bits] → 0x8086"),
        (Access(0, AccessKind.RESET, 0, 0, 0), "reset"),
    ],
)
def test_an_access_is_described_with_name_width_and_meaning(access: Access, words: str) -> None:
    assert describe(access) == words


def _marks(svg: str) -> list[tuple[str, float, float, str]]:
    """Kind, place, width and title of each mark."""
    root = ElementTree.fromstring(svg)
    return [
        (mark.attrib["class"], float(mark.attrib["x"]), float(mark.attrib["width"]), mark[0].text or "")
        for mark in root.iter("rect") if mark.attrib["class"] in ("read", "write", "event")
    ]  # fmt: skip


def test_a_few_accesses_are_drawn_one_by_one_and_runs_as_one() -> None:
    story = [_write(0x44200), *[_read(0x44200, 5)] * 3, _read(0x2034), Access(0, AccessKind.INTERRUPT, 0, 0, 0)]
    svg = timeline(story, (0, 4))
    marks = _marks(svg)
    assert [kind for kind, *_ in marks] == ["write", "read", "read", "event"]
    assert marks[1][3] == "3 accesses from number 2\nMasterInterrupt.control (0x44200) → 0x5 (rcs0, vcs0) × 3"
    assert marks[0][2] < marks[1][2], "a run is wider than a single access"
    assert marks[2][3].startswith("access 5\nRCS0.head (0x2034)")
    assert [label for label in re.findall(r'<text class="step"[^>]*>([^<]*)<', svg)] == ["1", "2"]
    assert [text for text in re.findall(r'<text x="6"[^>]*>([^<]*)<', svg)] == ["interrupts, resets", "interrupt registers", "RCS0 registers"]


def test_thousands_of_accesses_share_columns_and_stay_inside_the_picture() -> None:
    chosen = random.Random(4)
    offsets = [0x2034, 0x44200, 0x78010, 0x22034, 0x941C]
    story = [(_read if chosen.random() < 0.5 else _write)(chosen.choice(offsets), chosen.getrandbits(8)) for _ in range(5_000)]
    svg = timeline(story, (0, 2_500, 5_000))
    marks = _marks(svg)
    assert 200 < len(marks) < 2_600
    assert max(x + width for _, x, width, _ in marks) <= 168 + 1000 + 0.2
    assert sum(int(title.split()[0]) if title[0].isdigit() else 1 for *_, title in marks) == 5_000
    assert len(svg) < 800_000


def test_no_access_no_picture() -> None:
    assert timeline([], ()) == ""


def test_driver_states_stand_under_the_accesses_made_in_them() -> None:
    story = [_read(0x2034)] * 20 + [_write(0x44200)] * 20 + [_read(0x22034)] * 20
    phases = [Phase("unbound", 0), Phase("placed", 0), Phase("ready", 40), Phase("unbound", 60)]
    svg = timeline(story, (0,), phases)
    drawn = re.findall(r'<rect class="phase (\w+)" x="([\d.]+)"', svg)
    assert [name for name, _ in drawn] == ["placed", "ready"], "a state in which nothing was accessed takes no room"
    marks = _marks(svg)
    assert float(drawn[1][1]) == marks[2][1]


def _guest(written: list[int]) -> GuestRecord:
    offer = Offer(
        256 * MIB, 4 * GIB, VGT_MAGIC, 1, 1, Capability(0x1C), GraphicsRange(128 * MIB, 64 * MIB), GraphicsRange(0xE800_0000, 384 * MIB), 4
    )
    accesses = tuple(Access(0, AccessKind.GGTT_WRITE, 8, address // 4096 * 8, 1) for address in written)
    return GuestRecord("guest 1", offer, accesses, ())


def test_the_map_shows_slices_balloons_and_where_entries_were_written() -> None:
    svg = memory_map(_guest([128 * MIB, 128 * MIB + 4096, 0xE800_0000, 0x4000]))
    ElementTree.fromstring(svg)
    titles = re.findall(r'<rect class="(\w+)"[^>]*><title>([^<]*)<', svg)
    assert ("owned", "owned by this vGPU: [0x8000000, 0xc000000) (64 MiB)") in titles
    assert ("balloon", "belongs to others: [0xc000000, 0x10000000) (64 MiB)") in titles
    assert ("written", "2 entries written: [0x8000000, 0x8002000) (8 KiB)") in titles
    assert ("stray", "1 entry written: [0x4000, 0x5000) (4 KiB)") in titles
    assert [kind for kind, _ in titles].count("balloon") == 3


def test_without_an_aperture_there_is_no_map() -> None:
    guest = _guest([])
    assert memory_map(guest._replace(offer=guest.offer._replace(aperture_size=0))) == ""


def test_what_a_scenario_says_cannot_break_out_of_the_page() -> None:
    evil = "<script>alert('&')</script>"
    check = Check(evil, View.GUEST, False, evil, evil, evil)
    result = ScenarioResult(evil, evil, evil, Outcome.FAILED, evil, (evil,), 0, (Step(evil, 0, (check,), (0,)),), (_guest([]),), (), ())
    report = render_report(RunResult("0", "skl", evil, 0, (result,)))
    assert set(report) == {"report.css", "-script-alert-script-.html", "index.html"}
    page = "".join(report.values())
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;") >= 10


def test_the_same_run_gives_the_same_page() -> None:
    pages = [render_report(run_scenarios(select(["probe", "fence-*"]), InProcess())) for _ in range(2)]
    assert pages[0] == pages[1]


def test_a_real_probe_is_drawn_in_every_lane_it_touches() -> None:
    (scenario,) = select(["probe"])
    (guest,) = play(scenario, InProcess()).guests
    svg = timeline(guest.accesses, (0,))
    ElementTree.fromstring(svg)
    labels = re.findall(r'<text x="6"[^>]*>([^<]*)<', svg)
    assert {"configuration space", "PVINFO page", "interrupt registers", "RCS0 registers", "GT registers", "fences", "GGTT entries"} <= set(labels)
