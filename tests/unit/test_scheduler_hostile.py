"""Guests that do whatever they like, at random, beside one that wants its share: under no policy that states a bound does it starve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from support.sample import sampled
from support.scheduling import MS, SECOND, Shared, Worker

from host_model.mediator.cost import HANDING_OVER
from host_model.mediator.scheduler.fair import LEAST_SLICE_NS, Fair
from host_model.mediator.scheduler.gvt import BALANCE_NS, STAGES, Gvt
from host_model.mediator.scheduler.policy import Policy
from host_model.mediator.scheduler.round_robin import RoundRobin

PATIENCE_NS = 20 * MS
HONEST_NS = 300_000


def act(shared: Shared, worker: Worker) -> None:
    """Something that a guest can do at any time."""
    rng = shared.random
    match rng.randrange(9):
        case 0:
            worker.want(None)
        case 1:
            worker.want(rng.randint(1, 100 * MS))
        case 2 | 3:
            worker.want(*(rng.randint(1, 100_000) for _ in range(rng.randint(1, 40))))
        case 4:
            worker.reset()
        case 5:
            worker.want(rng.randint(1, LEAST_SLICE_NS))
        case 6:
            worker.submission.drop()
            shared.turn.stop(worker)
            worker.submission.waiting.append(1)
            shared.turn.start(worker)
        case 7:
            worker.submission.waiting.clear()  # and says nothing
        case _:
            worker.on_done = partial(_again, rng.randint(20_000, 2 * MS)) if rng.randrange(2) else _nothing


def _nothing(worker: Worker) -> None:
    """Wait for the next idea."""


def _again(piece_ns: int, worker: Worker) -> None:
    worker.want(piece_ns)


def play(policy: Policy, seed: int, hostile: int, steps: int) -> tuple[Shared, Worker]:
    """An honest guest, and others that come, go and act at random."""
    shared = Shared(policy, patience_ns=PATIENCE_NS, seed=seed)
    honest = shared.busy(2, HONEST_NS // 2, HONEST_NS)
    others = [shared.add(shared.random.choice((2, 4, 8))) for _ in range(hostile)]
    for _ in range(steps):
        place = shared.random.randrange(hostile)
        act(shared, others[place])
        if not shared.random.randrange(200):
            shared.remove(others[place])
            others[place] = shared.add(shared.random.choice((2, 4, 8)))
        shared.wait(shared.random.randrange(shared.random.choice((3 * MS, 60 * MS))))
    assert honest.submission.reset == 0
    return shared, honest


@pytest.mark.parametrize("made", [Fair, RoundRobin])
@pytest.mark.parametrize("seed", sampled(range(6), {1}))
def test_nobody_starves_beside_guests_that_do_anything(made: Callable[[], Policy], seed: int) -> None:
    shared, honest = play(made(), seed, hostile=1 + seed, steps=500)
    had = shared.turn.had(honest)
    bound = shared.policy.worst_wait_ns(honest.number, PATIENCE_NS + 2 * HANDING_OVER.fixed_ns)
    assert bound is not None and had.worst_wait_ns <= bound
    assert had.starved == 0 and had.turns > 10
    assert shared.ended > 0, "some of them had to be ended"


@pytest.mark.parametrize("seed", sampled(range(4), {0}))
def test_under_the_fair_policy_each_has_what_it_is_due_whatever_the_others_do(seed: int) -> None:
    shared, honest = play(Fair(), seed, hostile=3, steps=500)
    weights = {worker.number: worker.weight for worker in shared.workers}
    elapsed = shared.clock.now_ns()
    least = elapsed * 2 // (2 + 3 * 8)
    assert honest.used_ns > 0.98 * least, weights


@pytest.mark.parametrize("seed", sampled(range(3), {0}))
def test_under_the_kernels_policy_time_goes_on_whatever_guests_do(seed: int) -> None:
    shared, honest = play(Gvt(), seed, hostile=2, steps=300)
    turns = shared.turn.timeline.turns
    assert all(before.end_ns <= after.start_ns and before.start_ns < before.end_ns for before, after in zip(turns, turns[1:], strict=False))
    for worker in list(shared.workers):
        if worker is not honest:
            shared.remove(worker)
    shared.wait(STAGES * BALANCE_NS)  # what it owes is forgotten by then
    used = honest.used_ns
    shared.wait(3 * SECOND)
    assert honest.used_ns - used > 2.9 * SECOND


@pytest.mark.parametrize("made", [Fair, RoundRobin, Gvt])
def test_the_same_seed_gives_the_same_turns(made: Callable[[], Policy]) -> None:
    first, second = (play(made(), 7, hostile=3, steps=300)[0] for _ in range(2))
    assert first.turn.timeline.turns == second.turn.timeline.turns != ()
    assert [first.turn.had(worker) for worker in first.workers] == [second.turn.had(worker) for worker in second.workers]
