"""How a policy's choices are carried out: the limit on work that does not end, the account, and policies that make mistakes."""

from __future__ import annotations

import pytest
from support.scheduling import MS, SECOND, Shared, Worker

from host_model.mediator.cost import HANDING_OVER
from host_model.mediator.scheduler.account import STARVED_NS, Account, Had
from host_model.mediator.scheduler.fair import PERIOD_NS, Fair
from host_model.mediator.scheduler.gvt import Gvt
from host_model.mediator.scheduler.policy import Choice
from host_model.mediator.scheduler.round_robin import SLICE_NS, RoundRobin
from host_model.mediator.scheduler.share import share_of
from host_model.mediator.scheduler.timeline import TurnTaken
from pvinfo.errors import StateError


@pytest.mark.parametrize("policy", [Fair(), RoundRobin(), Gvt()], ids=lambda policy: policy.name)
def test_work_without_end_is_ended_when_patience_is_over_and_not_before(policy: Fair | RoundRobin | Gvt) -> None:
    shared = Shared(policy, patience_ns=100 * MS)
    honest = shared.add(2)
    endless = shared.add(2)
    shared.wait(3 * SECOND)
    endless.want(None)
    shared.wait(SECOND)
    honest.want(MS)
    shared.wait(99 * MS)
    assert endless.submission.reset == 0
    shared.wait(5 * MS + PERIOD_NS)
    assert (endless.submission.reset, honest.submission.done_ns) == (1, MS)
    assert shared.turn.had(honest).worst_wait_ns <= 100 * MS + PERIOD_NS


def test_the_bound_is_by_the_patience_there_is() -> None:
    shared = Shared(RoundRobin(), patience_ns=100 * MS)
    workers = [shared.add(2) for _ in range(3)]
    assert shared.turn.worst_wait_ns(workers[0]) == 2 * (SLICE_NS + 100 * MS)
    for worker in workers[1:]:
        worker.want(None)
    shared.wait(MS)
    workers[0].want(MS)
    shared.wait(SECOND)
    had = shared.turn.had(workers[0])
    assert (had.waits, had.turns) == (1, 1) and 200 * MS <= had.worst_wait_ns <= 2 * (SLICE_NS + 100 * MS)


def test_who_waits_beside_a_next_one_that_wants_nothing_any_more_has_not_to_wait_for_ever() -> None:
    """The kernel's policy sticks to whom it has chosen: the limit is for the sake of anybody who waits."""
    shared = Shared(Gvt(), patience_ns=100 * MS)
    honest, fickle, endless = shared.add(2), shared.add(2), shared.add(2)
    shared.wait(3 * SECOND)
    endless.want(None)
    shared.wait(MS)
    fickle.want(MS)
    shared.wait(2 * MS)
    fickle.submission.waiting.clear()
    shared.turn.work_done(fickle, fickle.submission.engine)
    honest.want(MS)
    shared.wait(300 * MS)
    assert (endless.submission.reset, honest.submission.done_ns) == (1, MS)


def test_what_was_refused_as_a_whole_ends_the_turn_at_once() -> None:
    shared = Shared(RoundRobin())
    first, second = shared.add(2), shared.add(2)
    refused = first.submission.dispatch

    def refuse() -> None:
        first.submission.waiting.clear()
        refused()

    first.submission.dispatch = refuse  # type: ignore[method-assign]
    first.want(MS, MS)
    second.want(MS)
    shared.wait(MS + 2 * HANDING_OVER.fixed_ns)
    assert second.submission.done_ns == MS and first.submission.done_ns == 0


def test_the_account_and_the_timeline_say_the_same() -> None:
    shared = Shared(RoundRobin())
    first, second = shared.add(2), shared.add(2)
    first.want(3 * MS)
    second.want(MS)
    shared.wait(10 * MS)
    own, switch = 3 * MS + HANDING_OVER.fixed_ns, MS + HANDING_OVER.fixed_ns
    assert shared.turn.timeline.turns == (TurnTaken(1, 0, own), TurnTaken(2, own, own + switch))
    assert shared.turn.had(first) == Had(used_ns=own, turns=1, waits=1, waited_ns=0, worst_wait_ns=0, starved=0, contested_ns=own)
    assert shared.turn.had(second) == Had(used_ns=switch, turns=1, waits=1, waited_ns=own, worst_wait_ns=own, starved=0)
    assert shared.turn.used_ns == own + switch


def test_a_share_is_held_against_weights_while_everybody_wants_the_gpu() -> None:
    shared = Shared(Fair())
    light, heavy, idle = shared.busy(2), shared.busy(8), shared.add(4)
    shared.wait(100 * MS)
    assert shared.turn.contested_ns == shared.turn.had(heavy).contested_ns == 0, "one of them wants nothing"
    shared.remove(idle)
    before = shared.turn.used_ns
    shared.wait(SECOND)
    share = share_of(shared.turn, light)
    assert shared.turn.contested_ns == shared.turn.used_ns - before
    assert share.contested_ns + shared.turn.had(heavy).contested_ns == shared.turn.contested_ns
    assert abs(share.contested_share - 0.2) < 0.01
    bound = shared.turn.worst_wait_ns(light)
    assert bound is not None and share.worst_wait_bound_ns == bound
    assert share.text == (
        f"{100 * share.share:.1f} % of the GPU's time ({100 * share.contested_share:.1f} % while all wanted it), weight 2, "
        f"worst wait {share.worst_wait_ns / MS:.3g} ms, never more than {bound / SECOND:.3g} s"
    )


def test_who_had_nothing_and_is_not_bounded_has_no_share_and_no_bound() -> None:
    shared = Shared(Fair())
    idle = shared.add(2)
    shared.turn.leave(idle)
    assert share_of(shared.turn, idle).text == "0.0 % of the GPU's time, weight 2, worst wait 0"


def test_a_wait_counts_while_it_lasts_and_long_ones_are_starvation() -> None:
    account = Account()
    account.begin_wait(10)
    account.begin_wait(20)
    assert account.had(110) == Had(0, 0, 1, 100, 100, 0)
    assert account.had(11 + STARVED_NS).starved == 1
    account.begin_turn(60)
    account.end_wait(70)
    assert account.had(500) == Had(0, 1, 1, 50, 50, 0)
    account.begin_wait(100)
    account.end_wait(101 + STARVED_NS)
    assert account.had(0) == Had(0, 1, 2, 51 + STARVED_NS, 1 + STARVED_NS, 1)


def test_who_leaves_takes_nothing_along_and_a_new_one_of_its_number_begins_anew() -> None:
    shared = Shared(Fair())
    shared.busy(2)
    second = shared.busy(2)
    shared.wait(100 * MS)
    shared.remove(second)
    assert shared.turn.worst_wait_ns(second) is None
    (used,) = shared.used_during(100 * MS)
    assert used == 100 * MS
    again = shared.busy(2)
    assert again.number == second.number and again.used_ns == 0
    one, other = shared.used_during(SECOND)
    assert abs(one - other) < 20 * MS


class Restless:
    """Changes its mind each time it is asked, and wants to be asked again at once."""

    name = "restless"

    def __init__(self) -> None:
        self.asked = 0

    def came(self, vgpu: int, weight: int, now_ns: int) -> None: ...
    def left(self, vgpu: int, now_ns: int) -> None: ...
    def started(self, vgpu: int, now_ns: int) -> None: ...
    def stopped(self, vgpu: int, now_ns: int) -> None: ...
    def ready(self, vgpu: int, now_ns: int) -> None: ...
    def idle(self, vgpu: int, now_ns: int) -> None: ...
    def given(self, vgpu: int | None, now_ns: int) -> None: ...
    def used(self, vgpu: int, held_ns: int, busy_ns: int) -> None: ...

    def choose(self, current: int | None, now_ns: int) -> Choice:
        self.asked += 1
        return Choice(1 + self.asked % 2, now_ns)

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        return None


class Mistaken(Restless):
    """Names one that is not there."""

    def choose(self, current: int | None, now_ns: int) -> Choice:
        return Choice(9)


def test_a_policy_that_names_nobody_we_know_is_told_so() -> None:
    shared = Shared(Mistaken())
    worker = Worker(shared, 1, 2, lambda worker: None)
    shared.turn.start(worker)
    with pytest.raises(StateError, match="'restless' gives the GPU to vGPU 9"):
        shared.wait(MS)


def test_a_policy_that_wants_to_be_asked_all_the_time_does_not_stop_the_clock() -> None:
    policy = Restless()
    shared = Shared(policy)
    first, second = shared.add(2), shared.add(2)
    first.want(1000)
    second.want(1000)
    shared.wait(100_000)
    assert first.submission.done_ns == second.submission.done_ns == 1000
    assert policy.asked > 100
