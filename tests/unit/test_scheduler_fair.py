"""The fair policy in virtual time: shares as weighted, a bounded wait, nothing for the idle and nothing wasted."""

from __future__ import annotations

import pytest
from support.scheduling import MS, SECOND, Shared, Worker

from host_model.mediator.cost import HANDING_OVER
from host_model.mediator.scheduler.fair import CREDIT_NS, LEAST_SLICE_NS, PERIOD_NS, Fair
from host_model.mediator.scheduler.policy import Choice

LONGEST_NS = 400_000
WEIGHTS = [(2, 2), (2, 4), (2, 2, 4, 8), (16, 2, 2, 2), (2, 2, 2, 2, 2, 2, 2), (2, 2, 2, 4, 4, 8, 16)]


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_shares_are_as_weighted_within_a_hundredth_over_one_second(weights: tuple[int, ...], seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    shared = Shared(Fair(), seed=seed)
    for weight in weights:
        shared.busy(weight, LONGEST_NS // 8, LONGEST_NS)
    used = shared.used_during(SECOND)
    shares = [ns / sum(used) for ns in used]
    wanted = [weight / sum(weights) for weight in weights]
    waits = [shared.turn.had(worker).worst_wait_ns for worker in shared.workers]
    bounds = [shared.policy.worst_wait_ns(worker.number, LONGEST_NS + HANDING_OVER.fixed_ns) or 0 for worker in shared.workers]
    with capsys.disabled():
        print(f"\nweights {weights}: shares {', '.join(f'{share:.4f}' for share in shares)}; worst wait {max(waits) / MS:.2f} ms of {max(bounds) / MS:.0f}")
    assert all(abs(share - want) <= 0.01 for share, want in zip(shares, wanted, strict=True))
    assert all(0 < wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert sum(used) > 0.999 * SECOND, "somebody always has the GPU"
    assert shared.turn.changes * HANDING_OVER.fixed_ns < 0.045 * SECOND, "and little of it goes to changing hands"


def test_who_has_long_pieces_of_work_gets_no_more_for_it() -> None:
    shared = Shared(Fair())
    shared.busy(2, 30 * MS, 60 * MS)
    shared.busy(2, 100_000, 200_000)
    long, short = shared.used_during(5 * SECOND)
    assert abs(long / (long + short) - 0.5) <= 0.01
    assert shared.turn.worst_wait_ns(shared.workers[1]) is not None


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_nobody_waits_longer_than_the_bound_that_is_stated(weights: tuple[int, ...]) -> None:
    shared = Shared(Fair())
    longest = 3 * MS
    for weight in weights:
        shared.busy(weight, 10_000, longest)
    shared.wait(2 * SECOND)
    for worker in shared.workers:
        bound = shared.policy.worst_wait_ns(worker.number, longest + HANDING_OVER.fixed_ns)
        assert bound is not None and 0 < shared.turn.had(worker).worst_wait_ns <= bound


def test_the_bound_is_a_sum_of_what_each_other_may_take() -> None:
    policy = Fair()
    policy.came(1, 2, 0)
    assert policy.worst_wait_ns(1, 5 * MS) == 0, "alone, nobody waits"
    policy.came(2, 2, 0)
    turn = PERIOD_NS // 2 + 5 * MS
    assert policy.worst_wait_ns(1, 5 * MS) == turn + CREDIT_NS + turn


def test_what_is_asked_for_with_every_piece_short_is_had_within_a_period_or_two() -> None:
    shared = Shared(Fair())
    for _ in range(7):
        shared.busy(2, 50_000, 200_000)
    shared.wait(SECOND)
    worst = max(shared.turn.had(worker).worst_wait_ns for worker in shared.workers)
    assert PERIOD_NS // 2 < worst < 2 * PERIOD_NS


def test_an_idle_vgpu_takes_nothing_and_what_it_does_not_take_is_the_others() -> None:
    shared = Shared(Fair())
    busy = [shared.busy(weight) for weight in (2, 4)]
    idle = shared.add(16)
    used = shared.used_during(SECOND)
    assert used[2] == 0 and shared.turn.had(idle).turns == 0
    assert sum(used) > 0.999 * SECOND
    assert abs(used[1] / sum(used) - 4 / 6) <= 0.01
    assert idle.number not in {turn.vgpu for turn in shared.turn.timeline.turns}
    assert {turn.vgpu for turn in shared.turn.timeline.turns} == {worker.number for worker in busy}


def test_who_was_idle_for_long_has_saved_up_no_more_than_its_credit() -> None:
    shared = Shared(Fair())
    first, second = shared.busy(2), shared.add(2, lambda worker: worker.want(100_000))
    shared.wait(10 * SECOND)
    second.want(100_000)
    one, other = shared.used_during(100 * MS)
    assert 0 <= other - one <= 2 * CREDIT_NS + PERIOD_NS
    assert first.used_ns > 10 * SECOND


def test_a_newcomer_begins_where_the_others_are() -> None:
    shared = Shared(Fair())
    for _ in range(2):
        shared.busy(2)
    shared.wait(10 * SECOND)
    shared.busy(2)
    used = shared.used_during(SECOND)
    assert all(abs(ns / sum(used) - 1 / 3) <= 0.01 for ns in used)


def test_who_seldom_wants_the_gpu_need_not_wait_for_a_whole_slice() -> None:
    shared = Shared(Fair())
    shared.busy(2, 50_000, 100_000)
    seldom = shared.add(2)
    for _ in range(50):
        shared.wait(17 * MS)
        seldom.want(200_000)
    shared.wait(17 * MS)
    had = shared.turn.had(seldom)
    assert (had.waits, had.turns) == (50, 50)
    assert had.worst_wait_ns <= LEAST_SLICE_NS + 100_000 + HANDING_OVER.fixed_ns
    assert seldom.submission.done_ns == 50 * 200_000


def test_a_reset_does_not_forgive_what_was_taken() -> None:
    """A guest that blocks the GPU, is ended and begins anew has no more than its share for all that."""
    shared = Shared(Fair(), patience_ns=50 * MS)
    honest = shared.busy(2)

    def again(worker: Worker) -> None:
        worker.reset()
        worker.want(None)

    endless = shared.add(2)
    for _ in range(200):
        if not endless.submission.is_running and not endless.submission.waiting:
            again(endless)
        shared.wait(50 * MS)
    assert endless.submission.reset > 20
    assert honest.used_ns > 0.49 * 10 * SECOND
    assert shared.turn.had(honest).worst_wait_ns <= 50 * MS + PERIOD_NS


def test_the_slice_is_the_share_of_the_period_and_not_less_than_the_least() -> None:
    policy = Fair()
    for number, weight in enumerate((2, 6), 1):
        policy.came(number, weight, 0)
        policy.ready(number, 0)
    policy.given(1, 0)
    assert policy.choose(1, 0) == Choice(1, PERIOD_NS // 4)
    policy.used(1, PERIOD_NS // 4, PERIOD_NS // 4)
    assert policy.choose(1, PERIOD_NS // 4) == Choice(2)
    policy.given(2, PERIOD_NS // 4)
    assert policy.choose(2, PERIOD_NS // 4) == Choice(2, PERIOD_NS)
    for number in range(3, 100):
        policy.came(number, 2, PERIOD_NS // 4)
        policy.ready(number, PERIOD_NS // 4)
    assert policy.choose(2, PERIOD_NS // 4) == Choice(2, PERIOD_NS // 4 + LEAST_SLICE_NS)


def test_the_gpu_stays_with_the_last_who_had_it_while_nobody_wants_it() -> None:
    policy = Fair()
    policy.came(1, 2, 0)
    policy.came(2, 2, 0)
    policy.ready(1, 0)
    policy.given(1, 0)
    policy.idle(1, 5)
    assert policy.choose(1, 5) == Choice(1)
    policy.ready(2, 6)
    assert policy.choose(1, 6) == Choice(2)
