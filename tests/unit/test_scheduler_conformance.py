"""What every scheduling policy promises, checked on ours, on a third party's, and on some that break their promises."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.installed_package import write_package

from host_model.mediator.scheduler.conformance import check_policy
from host_model.mediator.scheduler.fair import Fair
from host_model.mediator.scheduler.gvt import Gvt
from host_model.mediator.scheduler.policy import Choice, Policy
from host_model.mediator.scheduler.round_robin import RoundRobin
from pvinfo.errors import ConformanceError

BOUND = "nobody waits longer than the bound that is stated"


class Line:
    """A third party's: who has work stands in line, and has the GPU for two milliseconds of its own work."""

    SLICE_NS = 2_000_000

    def __init__(self) -> None:
        self.all: set[int] = set()
        self.line: list[int] = []
        self.had_ns = 0

    @property
    def name(self) -> str:
        return "line"

    def came(self, vgpu: int, weight: int, now_ns: int) -> None:
        self.all.add(vgpu)

    def left(self, vgpu: int, now_ns: int) -> None:
        self.all.remove(vgpu)

    def started(self, vgpu: int, now_ns: int) -> None:
        pass

    def stopped(self, vgpu: int, now_ns: int) -> None:
        pass

    def ready(self, vgpu: int, now_ns: int) -> None:
        self.line.append(vgpu)

    def idle(self, vgpu: int, now_ns: int) -> None:
        self.line.remove(vgpu)

    def given(self, vgpu: int | None, now_ns: int) -> None:
        self.had_ns = 0
        if vgpu in self.line:
            self.line.remove(vgpu)
            self.line.append(vgpu)

    def used(self, vgpu: int, held_ns: int, busy_ns: int) -> None:
        self.had_ns += busy_ns

    def choose(self, current: int | None, now_ns: int) -> Choice:
        left_ns = self.SLICE_NS - self.had_ns
        if current in self.line and left_ns > 0:
            return Choice(current, now_ns + left_ns)
        return Choice(next((vgpu for vgpu in self.line if vgpu != current), current))

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        return len(self.all) * (self.SLICE_NS + longest_ns)


@pytest.mark.parametrize("make", [Fair, RoundRobin, Line])
def test_policies_keep_what_policies_promise(make: Callable[[], Policy]) -> None:
    found = check_policy(make)
    assert len(found.held) == 9 and found.held[-1] == BOUND and found.not_asked == ()


def test_of_the_kernels_policy_it_is_not_asked_how_long_guests_wait() -> None:
    found = check_policy(Gvt)
    assert len(found.held) == 8 and found.not_asked == (BOUND,)


def test_pytest_checks_each_policy_that_can_be_chosen_by_name(tmp_path: Path) -> None:
    source = (
        "from host_model.mediator.scheduler.policy import Choice\nfrom host_model.mediator.scheduler.round_robin import RoundRobin\n\n\n"
        "class Idle(RoundRobin):\n    def choose(self, current, now_ns):\n        return Choice(None)\n"
    )
    write_package(tmp_path, "their_scheduler", source, "host_model.schedulers", {"idle": "Idle"})
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", "--pyargs", "host_model.mediator.scheduler.conformance", "-k", "robin or idle"],
        cwd=tmp_path, env={"PYTHONPATH": ":".join([str(tmp_path), *(path for path in sys.path if path)]), "PATH": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    assert "promise[round-robin]" in run.stdout and "1 failed, 1 passed, 2 deselected" in run.stdout
    assert "the scheduler breaks 2 rules: who alone has work gets the GPU (what vGPU 1 had in a second" in run.stdout


# ---- promises that are broken ----


class Stranger(Line):
    def choose(self, current: int | None, now_ns: int) -> Choice:
        return super().choose(current, now_ns) if self.line else Choice(7)


class Faithful(Line):
    """Who has left is still in its list, and nobody else is looked for when there is no work."""

    def __init__(self) -> None:
        super().__init__()
        self.last: int | None = None

    def given(self, vgpu: int | None, now_ns: int) -> None:
        super().given(vgpu, now_ns)
        self.last = vgpu or self.last

    def choose(self, current: int | None, now_ns: int) -> Choice:
        return super().choose(current, now_ns) if self.line else Choice(self.last)


class Even(Line):
    """Whoever is there has its turn, work or not."""

    def choose(self, current: int | None, now_ns: int) -> Choice:
        left_ns = self.SLICE_NS - self.had_ns
        if current in self.line and left_ns > 0:
            return Choice(current, now_ns + left_ns)
        order = sorted(self.all)
        following = next((vgpu for vgpu in order if current is None or vgpu > current), order[0] if order else None)
        return Choice(following, now_ns + self.SLICE_NS)


class Hasty(Line):
    def choose(self, current: int | None, now_ns: int) -> Choice:
        choice = super().choose(current, now_ns)
        return Choice(choice.vgpu, now_ns)


class Forgetful(Line):
    """Of two that wait it looks at the second, and of one at none."""

    def choose(self, current: int | None, now_ns: int) -> Choice:
        return super().choose(current, now_ns) if current in self.line or len(self.line) > 1 else Choice(None)


class Counting(Line):
    """It counts how often it is told of time, not of how much: so many times are a slice."""

    def used(self, vgpu: int, held_ns: int, busy_ns: int) -> None:
        self.had_ns += self.SLICE_NS // (4 * vgpu)

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        return None


class Lottery(Line):
    """With another seed each time."""

    SEED = random.Random(1)

    def __init__(self) -> None:
        super().__init__()
        self.random = random.Random(self.SEED.random())

    def choose(self, current: int | None, now_ns: int) -> Choice:
        choice = super().choose(current, now_ns)
        return choice if choice.vgpu == current or not self.line else Choice(self.random.choice(self.line))

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        return None


class LowestFirst(Line):
    """The one with the lowest number goes first."""

    def choose(self, current: int | None, now_ns: int) -> Choice:
        return Choice(min(self.line, default=current))


class Optimist(Line):
    """It says that nobody waits longer than for one slice."""

    def worst_wait_ns(self, vgpu: int, longest_ns: int) -> int | None:
        return self.SLICE_NS


class Fragile(Line):
    def started(self, vgpu: int, now_ns: int) -> None:
        if vgpu in self.line:
            raise KeyError(vgpu)


def broken_by(make: Callable[[], Policy]) -> dict[str, str]:
    with pytest.raises(ConformanceError) as caught:
        check_policy(make)
    return {name: seen.removesuffix(")") for name, _, seen in (line.partition(" (") for line in caught.value.broken)}


@pytest.mark.parametrize(
    ("make", "rules"),
    [
        (Stranger, {"only vGPUs that came are chosen"}),
        (Faithful, {"a vGPU that has left is not chosen", "who is chosen has work"}),
        (Even, {"who is chosen has work", "who never has work takes nothing"}),
        (Hasty, {"when it is to be asked again is later than now"}),
        (Forgetful, {"who alone has work gets the GPU", BOUND}),
        (Counting, {"what was used may be told in parts"}),
        (Lottery, {"the same story has the same choices", "what was used may be told in parts"}),
        (LowestFirst, {BOUND}),
        (Optimist, {BOUND}),
    ],
)
def test_a_policy_that_breaks_a_promise_is_found_by_the_name_of_its_rule(make: Callable[[], Policy], rules: set[str]) -> None:
    assert set(broken_by(make)) == rules


def test_who_raises_is_named_with_what_was_raised() -> None:
    broken = broken_by(Fragile)
    assert set(broken.values()) <= {f"KeyError: {vgpu}" for vgpu in range(1, 6)} and len(broken) >= 4
