"""Whether a scheduling policy keeps what :mod:`.policy` promises whoever drives it.

For who brings one: ``check_policy(YourPolicy)`` in a test of yours; or, where your package is installed with its entry point,
``pytest --pyargs host_model.mediator.scheduler.conformance``, which checks every policy that can be chosen by name. Shares are
not looked at: whether a policy is fair, and to whom, is its own affair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Final, final

from ...promises import Broken, Conformance, Parametrizable, Rule, Rules, held, same
from .policy import Policy
from .registry import known_policies, policy_named
from .trial import Trial

__all__ = ("check_policy",)

_MS: Final = 1_000_000
_SECOND: Final = 1_000 * _MS
_LONGEST_NS: Final = 3 * _MS
"""No guest has a longer piece of work."""
_WEIGHTS: Final = (2, 4, 8, 16)
"""Those of the vGPU types there are."""
_CROWDS: Final = ((2,), (2, 2), (2, 16), (2, 4, 8, 8, 2, 2))
"""Weights of those that always have work."""


# ---- stories ----


@final
class _Stories:
    """What is told to policies that ``make`` makes: each story to a new one, once for all rules that look at it."""

    def __init__(self, make: Callable[[], Policy]) -> None:
        self.make = make

    @cached_property
    def lives(self) -> list[Trial]:
        return [self.life(seed) for seed in range(3)]

    @cached_property
    def crowds(self) -> list[Trial]:
        return [self.crowd(weights) for weights in _CROWDS]

    @property
    def trials(self) -> list[Trial]:
        return [*self.lives, *self.crowds]

    def life(self, seed: int) -> Trial:
        """Guests that come, work, reset their engines and leave, at random, and now and then a time in which nothing happens."""
        rng = random.Random(seed)
        trial = Trial(self.make(), _LONGEST_NS)
        for _ in range(300):
            absent = [vgpu for vgpu in range(1, 6) if vgpu not in trial.guests]
            guests = list(trial.guests.values())
            match rng.randrange(12):
                case 0 | 1 if absent:
                    trial.come(rng.choice(absent), rng.choice(_WEIGHTS))
                case 2 if guests:
                    trial.leave(rng.choice(guests))
                case 3 if guests:
                    trial.reset(rng.choice(guests))
                case 4 if guests:
                    trial.start_again(rng.choice(guests))
                case 5 if not rng.randrange(4):
                    trial.run(_SECOND)
                case _ if guests:
                    for _ in range(rng.randint(1, 10)):
                        trial.want(rng.choice(guests), rng.randint(1, _LONGEST_NS))
            trial.run(rng.randrange(rng.choice((_MS, 30 * _MS))))
        return trial

    def crowd(self, weights: tuple[int, ...], parts: int = 1) -> Trial:
        """Guests that always have work, 1 that seldom has any, and 2 that never has."""
        rng = random.Random(len(weights))
        trial = Trial(self.make(), _LONGEST_NS, parts)
        seldom, _never = trial.come(1, 2), trial.come(2, 16)
        for vgpu, weight in enumerate(weights, 3):
            # Each has pieces of its own length: equal turns are not equal times.
            trial.keep_busy(trial.come(vgpu, weight), partial(rng.randint, 1, _LONGEST_NS // (vgpu - 2)))
        for _ in range(50):
            trial.run(rng.randrange(80 * _MS))
            trial.want(seldom, rng.randint(1, _LONGEST_NS))
        trial.end_waits()
        return trial


# ---- rules ----


def _only_those_that_came_are_chosen(stories: _Stories) -> None:
    for trial in stories.trials:
        came: set[int] = set()
        for answer in trial.answers:
            came |= answer.here
            if answer.choice.vgpu is not None and answer.choice.vgpu not in came:
                raise Broken(f"vGPU {answer.choice.vgpu} at {answer.now_ns} ns, where {_named(came)} had come")


def _who_has_left_is_not_chosen(stories: _Stories) -> None:
    for trial in stories.trials:
        came: set[int] = set()
        for answer in trial.answers:
            came |= answer.here
            if answer.choice.vgpu in came - answer.here:
                raise Broken(f"vGPU {answer.choice.vgpu} at {answer.now_ns} ns, where {_named(answer.here)} had not left")


def _who_is_chosen_has_work(stories: _Stories) -> None:
    for trial in stories.trials:
        for answer in trial.answers:
            chosen = answer.choice.vgpu
            if chosen in answer.here and chosen != answer.current and chosen not in answer.ready:
                raise Broken(f"vGPU {chosen} at {answer.now_ns} ns, where {_named(answer.ready)} had work")


def _who_never_has_work_takes_nothing(stories: _Stories) -> None:
    for trial in stories.crowds:
        same("time that a vGPU without work had the GPU", trial.guests[2].held_ns, 0)


def _it_is_asked_again_later(stories: _Stories) -> None:
    for trial in stories.trials:
        for answer in trial.answers:
            until = answer.choice.until_ns
            if until is not None and until <= answer.now_ns:
                raise Broken(f"asked at {answer.now_ns} ns, it wants to be asked again at {until}")


def _who_alone_has_work_gets_the_gpu(stories: _Stories) -> None:
    trial = Trial(stories.make(), _LONGEST_NS)
    for vgpu in range(1, 4):
        trial.come(vgpu, 2)
    for vgpu in (1, 3, 1):
        guest = trial.guests[vgpu]
        had = guest.had_ns
        trial.want(guest, _LONGEST_NS)
        trial.run(_SECOND)
        same(f"what vGPU {vgpu} had in a second of the {_LONGEST_NS} ns that it wanted", guest.had_ns - had, _LONGEST_NS)


def _what_was_used_may_be_told_in_parts(stories: _Stories) -> None:
    for weights, whole in zip(_CROWDS, stories.crowds, strict=True):
        parts = stories.crowd(weights, parts=5)
        for vgpu, guest in whole.guests.items():
            seen = parts.guests[vgpu].had_ns
            if abs(seen - guest.had_ns) > whole.now_ns // 100:
                raise Broken(f"vGPU {vgpu} of the weights {weights} has {seen} ns, not {guest.had_ns}, when what was used is told in parts")


def _the_same_story_has_the_same_choices(stories: _Stories) -> None:
    for seed, first in enumerate(stories.lives):
        second = stories.life(seed)
        for before, after in zip(first.answers, second.answers, strict=False):
            same(f"the answer at {before.now_ns} ns, given once more", after, before)
        same("answers", len(second.answers), len(first.answers))


def _nobody_waits_longer_than_the_bound(stories: _Stories) -> None:
    for weights, trial in zip(_CROWDS, stories.crowds, strict=True):
        for wait in trial.waits:
            if wait.bound_ns is not None and wait.waited_ns > wait.bound_ns:
                raise Broken(f"vGPU {wait.vgpu} beside the weights {weights}: {wait.waited_ns} ns, where {wait.bound_ns} was the most")


def _named(vgpus: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(vgpus))) or "none"


_RULES: Final[Rules[_Stories]] = (
    Rule("only vGPUs that came are chosen", _only_those_that_came_are_chosen),
    Rule("a vGPU that has left is not chosen", _who_has_left_is_not_chosen),
    Rule("who is chosen has work", _who_is_chosen_has_work),
    Rule("who never has work takes nothing", _who_never_has_work_takes_nothing),
    Rule("when it is to be asked again is later than now", _it_is_asked_again_later),
    Rule("who alone has work gets the GPU", _who_alone_has_work_gets_the_gpu),
    Rule("what was used may be told in parts", _what_was_used_may_be_told_in_parts),
    Rule("the same story has the same choices", _the_same_story_has_the_same_choices),
)
_RULES_OF_WAITING: Final[Rules[_Stories]] = (Rule("nobody waits longer than the bound that is stated", _nobody_waits_longer_than_the_bound),)


def check_policy(make: Callable[[], Policy]) -> Conformance:
    """Look whether policies that ``make`` makes keep what policies promise; each story is told to a new one.

    Raises: ConformanceError that names each rule that is broken, and what was seen.
    """
    states = _states_a_bound(make())
    rules = (*_RULES, *_RULES_OF_WAITING) if states else _RULES
    stories = _Stories(make)
    return Conformance(held("the scheduler", rules, lambda: stories), () if states else tuple(rule.name for rule in _RULES_OF_WAITING))


def _states_a_bound(policy: Policy) -> bool:
    for vgpu in (1, 2):
        policy.came(vgpu, 2, 0)
    return policy.worst_wait_ns(1, _LONGEST_NS) is not None


# ---- for pytest ----


def pytest_generate_tests(metafunc: Parametrizable) -> None:
    """Check each policy that can be chosen by name."""
    metafunc.parametrize("scheduler", known_policies())


def test_the_policy_keeps_what_policies_promise(scheduler: str) -> None:
    """What pytest calls."""
    check_policy(partial(policy_named, scheduler))
