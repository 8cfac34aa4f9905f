"""The turns that are remembered, and the picture of them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from support.scheduling import MS, SECOND, Shared

from host_model.mediator.scheduler.fair import Fair
from host_model.mediator.scheduler.timeline import Timeline, TurnTaken, draw_timeline

SVG = "{http://www.w3.org/2000/svg}"


def bars(picture: str) -> list[tuple[str, int, int, float]]:
    """Colour, first column, width and how dark, of each bar."""
    found = []
    for rect in ElementTree.fromstring(picture).iter(f"{SVG}rect"):
        if rect.get("fill-opacity") is not None:
            found.append((str(rect.get("fill")), int(str(rect.get("x"))) - 196, int(str(rect.get("width"))), float(str(rect.get("fill-opacity")))))
    return found


def test_work_that_follows_at_once_is_of_the_same_turn() -> None:
    timeline = Timeline()
    timeline.use(1, 0, 100)
    timeline.use(1, 100 + 100_000, 200_000)
    timeline.use(1, 300_001, 300_002)
    timeline.use(2, 300_002, 300_003)
    timeline.use(1, 300_003, 300_004)
    assert timeline.turns == (TurnTaken(1, 0, 200_000), TurnTaken(1, 300_001, 300_002), TurnTaken(2, 300_002, 300_003), TurnTaken(1, 300_003, 300_004))


def test_of_many_turns_the_newest_are_kept_and_the_others_counted() -> None:
    timeline = Timeline(kept=3)
    for number in range(10):
        timeline.use(number % 2, number * MS, (number + 1) * MS)
    assert [turn.start_ns // MS for turn in timeline.turns] == [6, 7, 8, 9]
    assert timeline.forgotten == 6


def test_each_vgpu_has_a_lane_with_its_name_and_its_share() -> None:
    picture = draw_timeline([TurnTaken(1, 0, 25 * MS), TurnTaken(2, 25 * MS, 100 * MS)], {2: "guest <b>"})
    words = [str(text.text) for text in ElementTree.fromstring(picture).iter(f"{SVG}text")]
    assert [words[words.index(name) + 1] for name in ("vGPU 1", "guest <b>")] == ["25.0 %", "75.0 %"]
    assert "2 turns of 2 vGPUs in 100 ms; the GPU idle for 0.0 %" in words
    assert [word for word in words if re.fullmatch(r"0|\d+ ms", word)] == ["0", *(f"{at} ms" for at in range(10, 101, 10))]
    (one, *_), (other, *_) = found = bars(picture)
    assert one != other
    assert [bar[1:] for bar in found] == [(0, 250, 1.0), (250, 750, 1.0)]


def test_more_turns_than_columns_are_shown_by_how_dark_a_column_is() -> None:
    turns = [TurnTaken(1 + number % 2, number * 1000, (number + 1) * 1000) for number in range(20_000)]
    picture = draw_timeline(turns)
    assert [bar[1:] for bar in bars(picture)] == [(0, 1000, 0.5)] * 2
    assert len(picture) < 5000


def test_nothing_is_lost_of_a_turn_that_is_shorter_than_a_column() -> None:
    found = bars(draw_timeline([TurnTaken(1, 0, 1), TurnTaken(2, 1, SECOND)]))
    assert found[0][1:] == (0, 1, 0.125)


def test_a_picture_of_no_turns_says_so() -> None:
    picture = ElementTree.fromstring(draw_timeline([]))
    assert [str(text.text) for text in picture.iter(f"{SVG}text")] == ["no turns: no vGPU has used the GPU"]


def test_the_picture_of_a_busy_second_covers_all_of_it() -> None:
    shared = Shared(Fair())
    for weight in (2, 4, 2):
        shared.busy(weight)
    shared.wait(SECOND)
    turns = shared.turn.timeline.turns
    assert sum(turn.end_ns - turn.start_ns for turn in turns) == shared.turn.used_ns
    drawn = bars(draw_timeline(turns))
    covered = [0.0] * 1000
    for _, first, width, shade in drawn:
        for column in range(first, first + width):
            covered[column] += shade
    assert min(covered) > 0.99
