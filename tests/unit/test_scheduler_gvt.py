"""The kernel mediator's policy in virtual time, with its habits."""

from __future__ import annotations

import pytest
from support.scheduling import MS, SECOND, Shared, Worker

from host_model.mediator.scheduler.gvt import BALANCE_NS, PRIORITY_NS, STAGES, TICK_NS, Gvt
from host_model.mediator.scheduler.policy import Choice


def settled(*weights: int | None) -> Shared:
    """Guests that always have work, and where the weight is negative, none; their first two seconds are over, and a cycle begins."""
    shared = Shared(Gvt())
    for weight in weights:
        assert weight is not None
        if weight < 0:
            shared.add(-weight)
        else:
            shared.busy(weight, 100_000, 250_000)
    shared.wait(TICK_NS + 3 * STAGES * BALANCE_NS)
    return shared


def test_weights_two_and_four_have_33_and_67_of_each_100_ms() -> None:
    shared = settled(2, 4)
    for _ in range(2 * STAGES):
        two, four = shared.used_during(BALANCE_NS)
        assert two == pytest.approx(33.3 * MS, abs=1.2 * MS)
        assert four == pytest.approx(66.7 * MS, abs=1.2 * MS)


def test_the_share_of_an_idle_vgpu_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    shared = settled(2, -4)
    used = shared.used_during(STAGES * BALANCE_NS)
    with capsys.disabled():
        print(f"\ngvt, weights 2 and 4, the second idle: {used[0] / MS:.1f} and {used[1] / MS:.1f} ms of a second")
    assert used[0] == pytest.approx(333 * MS, abs=3 * MS) and used[1] == 0
    assert shared.turn.had(shared.workers[0]).worst_wait_ns == pytest.approx(67 * MS, abs=3 * MS), "it waits, and nobody has the GPU"


def test_a_vgpu_that_is_alone_has_all_but_the_millisecond_that_a_new_cycle_charges_for_the_old_one() -> None:
    shared = settled(2)
    (used,) = shared.used_during(3 * STAGES * BALANCE_NS)
    assert 3 * (SECOND - 1.3 * MS) < used < 3 * SECOND


def test_what_is_not_used_is_kept_until_the_cycle_begins_anew() -> None:
    """Idle for half of a second, it may then make up for it; idle for the other half, it may not."""
    shared = settled(2, -4)
    late = shared.workers[1]
    shared.wait(5 * BALANCE_NS)

    def more(worker: Worker) -> None:
        worker.want(200_000)

    late.on_done = more
    more(late)
    two, four = shared.used_during(5 * BALANCE_NS)
    assert four > 330 * MS, "more than its 67 ms of each 100"
    late.on_done = lambda worker: None
    two, four = shared.used_during(STAGES * BALANCE_NS)
    late.on_done = more
    more(late)
    two, four = shared.used_during(BALANCE_NS)
    assert four == pytest.approx(66.7 * MS, abs=2 * MS) and two == pytest.approx(33.3 * MS, abs=2 * MS)


def test_who_has_set_its_engines_up_goes_before_all_others_for_two_seconds() -> None:
    shared = settled(2, 4)
    shared.busy(2, 100_000, 250_000)
    before = shared.used_during(PRIORITY_NS - 10 * MS)
    assert before[2] > 0.99 * PRIORITY_NS - 10 * MS
    shared.wait(2 * STAGES * BALANCE_NS)
    after = shared.used_during(STAGES * BALANCE_NS)
    assert after == pytest.approx([250 * MS, 500 * MS, 250 * MS], abs=6 * MS)


def test_it_states_no_bound_because_a_guest_can_take_the_first_place_again_and_again() -> None:
    shared = settled(2, 2)
    honest, greedy = shared.workers
    before = honest.used_ns
    for _ in range(5):
        greedy.reset()
        greedy.want(200_000)
        shared.wait(PRIORITY_NS - MS)
    assert honest.used_ns - before < 100 * MS
    assert shared.turn.worst_wait_ns(honest) is None


def test_whole_wall_time_counts_while_a_vgpu_has_the_gpu() -> None:
    """Work of a tenth of each millisecond: the rest of it is paid for all the same until the next tick."""
    policy = Gvt()
    policy.came(1, 2, 0)
    policy.came(2, 2, 0)
    policy.started(2, 0)
    policy.started(1, 0)
    now = PRIORITY_NS + 10 * BALANCE_NS + TICK_NS
    policy.choose(None, now)
    policy.ready(1, now)
    assert policy.choose(None, now).vgpu == 1
    policy.given(1, now)
    left = BALANCE_NS // 4 * 2
    while left > 0:
        assert policy.choose(1, now) == Choice(1, now + TICK_NS)
        policy.used(1, TICK_NS, TICK_NS // 10)
        now, left = now + TICK_NS, left - TICK_NS
    assert policy.choose(1, now) == Choice(None, now + TICK_NS)


def test_of_those_with_time_left_the_one_that_has_waited_longest_is_next() -> None:
    shared = settled(2, 2, 2)
    turns = [turn.vgpu for turn in shared.turn.timeline.turns]
    late = turns[-30:-3]
    assert all(late[at] == late[at + 3] for at in range(len(late) - 3)) and set(late) == {1, 2, 3}


def test_nobody_asks_at_each_tick_while_nobody_has_work_and_none_is_missed() -> None:
    """The same, asked each millisecond and asked once."""
    often, once = Gvt(), Gvt()
    for policy in (often, once):
        for number in (1, 2):
            policy.came(number, 2, 0)
            policy.started(number, 0)
        assert policy.choose(None, 0) == Choice(None)
    end = 7 * SECOND + 350 * MS
    for now in range(TICK_NS, end + 1, TICK_NS):
        often.choose(None, now)
    for policy in (often, once):
        policy.ready(1, end)
        policy.choose(None, end)
        policy.given(1, end)
    answers = []
    for policy in (often, once):
        found, now = [], end
        for _ in range(400):
            policy.used(1, TICK_NS, TICK_NS)
            now += TICK_NS
            found.append(policy.choose(1, now))
        answers.append(found)
    assert answers[0] == answers[1]
    assert any(answer.vgpu is None for answer in answers[0])
