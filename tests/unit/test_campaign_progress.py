"""What a campaign says of how it gets on."""

from __future__ import annotations

import io
from collections.abc import Iterator

from guest_driver.scenarios import Outcome
from guest_driver.scenarios.campaign import Unit, UnitResult
from guest_driver.scenarios.campaign.progress import Progress


def results(count: int, *, failing: int = -1) -> Iterator[UnitResult]:
    for seed in range(count):
        failed = seed == failing
        yield UnitResult(Unit("toss", "skl", seed=seed), Outcome.FAILED if failed else Outcome.PASSED, "tails" if failed else "", digest="d")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_than_on_a_terminal_there_are_ten_lines_and_each_failure() -> None:
    out, clock = io.StringIO(), iter(range(0, 10_000, 2))
    progress = Progress(out, lambda: next(clock))
    progress.begin(100, ())
    for result in results(100, failing=34):
        progress.after(result)
    progress.end()
    lines = out.getvalue().splitlines()
    assert len(lines) == 12
    assert lines[0] == "10/100 units, 0 failed, 5.0/s, 18 s left", "the clock is looked at when something is said"
    assert lines[3:5] == ["failed   guest-driver run toss --platform skl --seed 34", "         tails"]
    assert [line.split(" units")[0] for line in lines[5:]] == [f"{done}/100" for done in range(40, 101, 10)]
    assert lines[-1] == "100/100 units, 1 failed, 5.0/s"


def test_rate_and_what_is_left_are_of_what_is_played_and_not_of_what_the_journal_has() -> None:
    out, times = io.StringIO(), iter([0.0, 100.0, 7300.0])
    progress = Progress(out, lambda: next(times))
    progress.begin(4000, tuple(results(400, failing=3)))
    for result in results(400):
        progress.after(result)
    assert out.getvalue().splitlines() == ["400 of 4000 units are in the journal", "800/4000 units, 1 failed, 0.1/s, 16 h 00 min left"]


def test_on_a_terminal_it_is_one_line_that_changes() -> None:
    out, clock = Terminal(), iter(range(1000))
    progress = Progress(out, lambda: next(clock))
    progress.begin(3, ())
    for result in results(3, failing=1):
        progress.after(result)
    progress.end()
    shown = out.getvalue()
    assert shown.count("\n") == 2, "a failure is said above the line, in two"
    assert [piece for piece in shown.replace("\033[K", "").split("\r") if piece] == [
        "0/3 units, 0 failed", "1/3 units, 0 failed, 0.5/s, 4 s left", "failed   guest-driver run toss --platform skl --seed 1\n         tails\n",
        "2/3 units, 1 failed, 0.7/s, 2 s left", "3/3 units, 1 failed, 0.8/s",
    ]  # fmt: skip
    assert shown.endswith("\r\033[K"), "and is gone at the end"
