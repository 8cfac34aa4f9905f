"""A hostile guest beside an honest one: registers, tables, contexts, rings and batches at random, and legal ones gone wrong.

Invariant: nothing is raised; the GPU never asks for a page that is not the guest's; what is pinned is what tables show; nothing
of the host's or of the other guest's changes, or is seen; no access and no slice does more than a bounded amount of work; the other
guest's work comes to what it comes to when it is alone; and after a device reset the guest's vGPU works honestly. A failure is made
small and printed as a test to paste below.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import pytest
from support.hostile.campaign import random_program
from support.hostile.driver import ACT_BYTES
from support.hostile.guest_campaign import GuestOutcome, campaigns, guest_campaign, guest_story
from support.shrink import as_test, shrink

from pvinfo.platform import PLATFORMS

ACTS_PER_PROGRAM = 1000
"""Long enough for what is left of one job to get into the way of the next."""
SEEDS_OF_A_JOB = 10
"""How many a process is given at a time."""


def failure_of(program: bytes, platform: str) -> Exception | None:
    try:
        guest_campaign(program, platform)
    except Exception as failure:  # whatever escapes is a failure
        return failure
    return None


def hold(program: bytes, platform: str) -> GuestOutcome:
    """Run a campaign; when it fails, make it small and fail with a test that shows it."""
    try:
        return guest_campaign(program, platform)
    except Exception as failure:
        small = shrink(program, lambda shorter: failure_of(shorter, platform) is not None, ACT_BYTES)
        last = failure_of(small, platform) or failure
        story = f"{type(last).__name__}: {last}\n{guest_story(small, platform)}"
        test = as_test(small, f"guest_campaign({{}}, {platform!r})", story, ACT_BYTES, "a_hostile_guest_is_boring")
        pytest.fail(f"{story}\n\n{test}", pytrace=False)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_few_hostile_guests_are_boring(platform: str) -> None:
    outcomes = [hold(random_program(seed, 300), platform) for seed in range(2)]
    assert sum(outcome.acts for outcome in outcomes) == 600
    assert all(outcome.slices > 10 and outcome.pieces > 1 for outcome in outcomes), "the engines had something to do, for both"
    assert any(outcome.completed for outcome in outcomes) and any(outcome.failsafe for outcome in outcomes)


@pytest.mark.fuzz
def test_many_hostile_guests_are_boring(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    count = max(request.config.getoption("--fuzz-guest-acts") // (ACTS_PER_PROGRAM * len(PLATFORMS)), 1)
    first = request.config.getoption("--fuzz-seed")
    processes = min(os.cpu_count() or 1, 8)
    begun = time.perf_counter()
    jobs = [(platform, range(at, min(at + SEEDS_OF_A_JOB, first + count))) for at in range(first, first + count, SEEDS_OF_A_JOB) for platform in PLATFORMS]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        results = list(zip(jobs, pool.map(partial(campaigns, ACTS_PER_PROGRAM), *zip(*jobs, strict=True)), strict=True))
    seconds = time.perf_counter() - begun
    outcomes = [outcome for _, (done, _) in results for outcome in done]
    acts, slices, commands, completed, failsafe, pieces = (
        sum(getattr(outcome, name) for outcome in outcomes) for name in ("acts", "slices", "commands", "completed", "failsafe", "pieces")
    )
    rules = frozenset[str]().union(*(outcome.rules for outcome in outcomes))
    with capsys.disabled():
        print(
            f"\n{acts} acts of {len(outcomes)} hostile guests on {', '.join(PLATFORMS)}, seeds {first} to {first + count - 1}, in {seconds:.0f} s "
            f"by {processes} processes ({acts / seconds:.0f} a second): {completed} contexts completed, {failsafe} times in failsafe mode, {slices} slices, "
            f"{commands} commands, findings of {len(rules)} rules, at most {max(outcome.most_pins for outcome in outcomes)} pages pinned "
            f"and {max(outcome.most_looks for outcome in outcomes)} looks at memory in a slice; {pieces} pieces of work of their neighbours"
        )  # fmt: skip
    for (platform, _), (_, failed) in results:
        for seed in failed:
            hold(random_program(seed, ACTS_PER_PROGRAM), platform)
    assert acts == count * len(PLATFORMS) * ACTS_PER_PROGRAM

