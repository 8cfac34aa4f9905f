"""Shares of engines that have turns of their own: each by weight, whatever goes on on the others."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from support.scheduling import MS, SECOND, Shared

from host_model.mediator.cost import HANDING_OVER, HANDING_OVER_REST
from host_model.mediator.scheduler.account import Had, together
from host_model.mediator.scheduler.share import share_of
from host_model.mediator.scheduler.timeline import TurnTaken, draw_timeline
from pvinfo.platform import Engine

SVG = "{http://www.w3.org/2000/svg}"
RENDER, COPY, VIDEO = Engine.RCS0, Engine.BCS0, Engine.VCS0


@pytest.mark.parametrize("weights", [(2, 4), (2, 2, 4, 8)])
def test_each_engine_is_shared_as_weighted(weights: tuple[int, ...]) -> None:
    """Two engines that all want all the time, the second one in short pieces."""
    shared = Shared("fair", switching="engine")
    workers = [shared.add(weight) for weight in weights]
    for worker in workers:
        shared.keep_busy(worker, RENDER)
        shared.keep_busy(worker, COPY, 5_000, 40_000)
    shared.wait(SECOND)
    for engine in (RENDER, COPY):
        turn = shared.turn.of(engine)
        assert sum(turn.had(worker).used_ns for worker in workers) == turn.used_ns == SECOND
        for worker, weight in zip(workers, weights, strict=True):
            assert abs(share_of(turn, worker).share - weight / sum(weights)) < 0.01
            bound = turn.worst_wait_ns(worker)
            assert bound is not None and 0 < turn.had(worker).worst_wait_ns < bound
    assert shared.turn.used_ns == sum(shared.turn.had(worker).used_ns for worker in workers) == 2 * SECOND, "both worked all the time"


def test_who_wants_one_engine_alone_has_its_share_of_that_and_takes_nothing_of_the_other() -> None:
    shared = Shared("fair", switching="engine")
    both, drawing = shared.add(2), shared.add(6)
    shared.keep_busy(both, RENDER)
    shared.keep_busy(both, COPY)
    shared.keep_busy(drawing, RENDER)
    shared.wait(SECOND)
    assert abs(shared.turn.of(RENDER).had(both).used_ns / SECOND - 0.25) < 0.01
    assert shared.turn.of(COPY).had(both).used_ns == SECOND and shared.turn.of(COPY).changes == 1
    assert shared.turn.of(COPY).had(drawing) == shared.turn.of(VIDEO).had(both) == Had(0, 0, 0, 0, 0, 0)
    whole = Shared("fair")
    light, heavy = whole.busy(2), whole.busy(6)
    whole.wait(SECOND)
    assert light.used_ns + heavy.used_ns == SECOND < shared.turn.used_ns, "more than the GPU as a whole has to give"


def test_the_figures_of_a_vgpu_are_those_of_its_engines_together() -> None:
    shared = Shared("round-robin", switching="engine")
    first, second = shared.add(2), shared.add(2)
    first.pieces[RENDER].want(3 * MS)
    first.pieces[COPY].want(MS)
    second.pieces[RENDER].want(MS)
    shared.wait(10 * MS)
    drawn, copied = 3 * MS + HANDING_OVER.fixed_ns, MS + HANDING_OVER_REST.fixed_ns
    parts = [shared.turn.of(engine).had(first) for engine in (RENDER, COPY)]
    assert [part.used_ns for part in parts] == [drawn, copied]
    assert shared.turn.had(first) == together(parts) and shared.turn.had(first).used_ns == drawn + copied
    assert shared.turn.had(second).worst_wait_ns == drawn, "it waited for one engine while another was nobody's"
    assert shared.turn.changes == 3
    own = MS + HANDING_OVER.fixed_ns
    assert set(shared.turn.timeline.turns) == {TurnTaken(1, 0, drawn, RENDER), TurnTaken(1, 0, copied, COPY), TurnTaken(2, drawn, drawn + own, RENDER)}


def test_together_times_add_up_and_the_worst_wait_is_the_worst() -> None:
    assert together([Had(1, 2, 3, 4, 50, 6, 7)]) == Had(1, 2, 3, 4, 50, 6, 7)
    assert together([Had(1, 2, 3, 4, 50, 6, 7), Had(10, 20, 30, 40, 5, 60, 70)]) == Had(11, 22, 33, 44, 50, 66, 77)


def test_work_without_end_is_ended_on_its_own_engine() -> None:
    shared = Shared("fair", switching="engine", patience_ns=100 * MS)
    endless, honest = shared.add(2), shared.add(2)
    for engine in (RENDER, COPY):
        endless.pieces[engine].want(None)
    shared.wait(MS)
    honest.pieces[COPY].want(MS)
    shared.wait(SECOND)
    assert (endless.pieces[COPY].reset, endless.pieces[RENDER].reset, honest.pieces[COPY].done_ns) == (1, 0, MS)


def test_a_sharer_of_number_0_has_its_turns_as_anybody() -> None:
    """The host's own work is some day such a one."""
    for switching in ("gpu", "engine"):
        shared = Shared("fair", switching=switching)
        host, guest = shared.add(4), shared.add(4)
        shared.turn.leave(host)
        host.number = 0
        shared.workers.append(host)  # type: ignore[attr-defined]
        shared.turn.start(host)
        for worker in (host, guest):
            shared.keep_busy(worker, RENDER)
        shared.wait(SECOND)
        assert abs(share_of(shared.turn, host).share - 0.5) < 0.01 and abs(share_of(shared.turn, guest).share - 0.5) < 0.01
        assert {turn.vgpu for turn in shared.turn.timeline.turns} == {0, guest.number}


def test_who_leaves_lets_go_of_every_engine() -> None:
    shared = Shared("fair", switching="engine")
    leaving, staying = shared.add(2), shared.add(2)
    for worker in (leaving, staying):
        for engine in (RENDER, COPY):
            shared.keep_busy(worker, engine)
    shared.wait(100 * MS)
    shared.remove(leaving)
    assert shared.turn.worst_wait_ns(leaving) is None
    before = [shared.turn.of(engine).had(staying).used_ns for engine in (RENDER, COPY)]
    shared.wait(100 * MS)
    assert [shared.turn.of(engine).had(staying).used_ns - had for engine, had in zip((RENDER, COPY), before, strict=True)] == [100 * MS] * 2


# ---- the picture ----


def test_the_picture_has_lanes_by_engine_and_time_is_idle_that_no_engine_uses() -> None:
    turns = [TurnTaken(1, 0, 60 * MS, RENDER), TurnTaken(2, 20 * MS, 40 * MS, COPY), TurnTaken(2, 60 * MS, 80 * MS, RENDER), TurnTaken(1, 90 * MS, 100 * MS, COPY)]
    picture = ElementTree.fromstring(draw_timeline(turns, {2: "guest <b>"}))
    words = [str(text.text) for text in picture.iter(f"{SVG}text") if not str(text.text).endswith("ms") and text.text != "0"]
    assert words[:-1] == ["bcs0", "vGPU 1", "10.0 %", "bcs0", "guest <b>", "20.0 %", "rcs0", "vGPU 1", "60.0 %", "rcs0", "guest <b>", "20.0 %"]
    assert words[-1] == "4 turns of 2 vGPUs in 100 ms; the GPU idle for 10.0 %"
    rects = list(picture.iter(f"{SVG}rect"))
    bars = [(rect.get("fill"), int(str(rect.get("x"))) - 196, rect.get("width")) for rect in rects if rect.get("fill-opacity")]
    assert [bar[1:] for bar in bars] == [(900, "100"), (200, "200"), (0, "600"), (600, "200")]
    assert bars[0][0] == bars[2][0] != bars[1][0] == bars[3][0], "a vGPU has its colour everywhere"
    assert [str(rect.find(f"{SVG}title").text) for rect in rects if rect.get("fill-opacity")][1] == "guest <b>, bcs0: 20 ms to 40 ms"  # type: ignore[union-attr]
