"""Campaigns: the same comes of each unit by whatever executor it is played, and nothing is played twice."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from guest_driver.scenarios import Outcome, built_in, select
from guest_driver.scenarios.campaign import Journal, Plan, Unit, UnitResult, WorkerProcesses, play_unit, run_campaign
from pvinfo.errors import SetupError, UsageError
from support.campaigns import AtRandom, InTurn, Watched, small_plan, users_file
from support.stories import every

# ---- executors ----


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return small_plan(tmp_path)


@pytest.fixture
def serial(plan: Plan) -> tuple[UnitResult, ...]:
    """What comes of each unit, played one after the other in this process."""
    return run_campaign(plan, InTurn()).results


def test_a_campaign_says_what_came_of_each_unit_in_the_order_of_the_plan(plan: Plan, serial: tuple[UnitResult, ...]) -> None:
    assert [result.unit for result in serial] == list(plan.units())
    names = Counter(result.unit.scenario.rpartition("::")[2] for result in serial)
    assert names == {"toss": 12, "plain": 2, "newer-version": 2}, "what leaves nothing to chance is played once on each platform"
    failed = [result for result in serial if result.outcome is Outcome.FAILED]
    assert {result.unit.scenario.rpartition("::")[2] for result in failed} == {"toss"}
    assert {result.reason for result in failed} == {"my_scenarios.py:13: side (guest's view): expected heads, but it is tails"}
    tosses = [result for result in serial if result.unit.scenario.endswith("toss") and result.unit.platform == "skl"]
    assert len({result.digest for result in tosses}) == len(tosses) == 6, "each seed tells it in another way"
    assert all(result.duration_ns > 0 for result in tosses) and all(result.accesses == 1 for result in tosses)


def test_the_same_comes_of_a_unit_by_threads_processes_and_in_any_order(plan: Plan, serial: tuple[UnitResult, ...]) -> None:
    with ThreadPoolExecutor(3) as threads:
        assert run_campaign(plan, threads).results == serial
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as processes:
        assert run_campaign(plan, processes).results == serial
    with WorkerProcesses(2) as workers:
        assert run_campaign(plan, workers).results == serial
    at_random = AtRandom(5, len(serial))
    assert run_campaign(plan, at_random).results == serial
    assert at_random.order != [result.unit for result in serial] and set(at_random.order) == {result.unit for result in serial}


class _Counting(Executor):
    """Threads, and how many things they had at most at a time."""

    def __init__(self) -> None:
        self.inner = ThreadPoolExecutor(2)
        self.under_way = self.most = 0

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future = self.inner.submit(fn, *args, **kwargs)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        result = future.result

        def taken(timeout: float | None = None) -> object:
            self.under_way -= 1
            return result(timeout)

        future.result = taken  # type: ignore[method-assign]
        return future


def test_no_more_units_than_asked_for_are_under_way(plan: Plan, serial: tuple[UnitResult, ...]) -> None:
    executor = _Counting()
    with executor.inner:
        assert run_campaign(plan, executor, in_flight=3).results == serial
    assert (executor.most, executor.under_way) == (3, 0)


def test_progress_is_told_of_each_unit_once(plan: Plan, serial: tuple[UnitResult, ...]) -> None:
    watched = Watched()
    run_campaign(plan, InTurn(), progress=watched)
    assert (watched.total, watched.known) == (len(serial), [])
    assert sorted(watched.seen) == sorted(serial)


# ---- workers that die ----


@pytest.fixture
def deadly(tmp_path: Path) -> Plan:
    """Some of its units kill the process in which they are played."""
    file = users_file(tmp_path)
    return Plan(select([f"{file}::come_back", "newer-version"]), ("skl",), seeds=tuple(range(1, 9)))


def test_a_worker_that_dies_costs_its_unit_and_no_other(deadly: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    with WorkerProcesses(2) as workers:
        campaign = run_campaign(deadly, workers)
    monkeypatch.setenv("SPARED", "1")
    spared = run_campaign(deadly, InTurn())
    assert spared.ok
    lost = [result for result in campaign.results if result.was_lost]
    assert 2 <= len(lost) < 8, "of eight some are killed, and some are not"
    assert {(result.outcome, result.reason) for result in lost} == {(Outcome.FAILED, "its worker died while it was at it")}
    assert [one for one, other in zip(campaign.results, spared.results, strict=True) if one != other] == lost
    assert len(campaign.results) == 9 and campaign.failures == tuple(lost)


def test_somebody_elses_executor_that_breaks_ends_the_campaign_with_what_is_left(deadly: Plan, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", deadly)
    with (
        journal, ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as processes,
        pytest.raises(SetupError, match=r"^the executor takes no more work \(.+\); units that are left: \d$"),
    ):  # fmt: skip
        run_campaign(deadly, processes, journal=journal)
    assert all(not result.was_lost for result in journal.results.values()), "nobody knows at which it was"
    with WorkerProcesses(2) as workers, Journal(tmp_path / "journal", deadly) as again:
        campaign = run_campaign(deadly, workers, journal=again)
    assert len(campaign.results) == 9 and 2 <= len(campaign.failures) < 8


def test_a_unit_whose_worker_fails_is_failed_with_its_word(plan: Plan) -> None:
    Path(plan.scenarios[0].file).unlink()
    campaign = run_campaign(plan, InTurn())
    assert {result.reason for result in campaign.failures} == {f"its worker failed: UsageError: no scenario file {plan.scenarios[0].file}"}
    assert [result.unit.scenario for result in campaign.results if result.outcome is Outcome.PASSED] == ["newer-version"] * 2


# ---- journals ----


def test_what_is_in_the_journal_is_not_played_again(plan: Plan, serial: tuple[UnitResult, ...], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, plan) as journal:
        for result in serial[:5]:
            journal.add(result)
    watched, executor = Watched(), AtRandom(1, len(serial) - 5)
    with Journal(path, plan) as journal:
        campaign = run_campaign(plan, executor, journal=journal, progress=watched)
    assert campaign.results == serial
    assert (tuple(watched.known), len(watched.seen)) == (serial[:5], len(serial) - 5)
    assert set(executor.order) == {result.unit for result in serial[5:]}
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert len(lines) == len({tuple(line[field] for field in Unit._fields) for line in lines}) == len(serial)
    with Journal(path, plan) as journal:
        assert run_campaign(plan, AtRandom(1, 0), journal=journal).results == serial, "nothing is left to play"


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_a_line_that_is_not_whole_was_never_written(plan: Plan, serial: tuple[UnitResult, ...], tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal"
    with Journal(path, plan) as journal:
        for result in serial[:3]:
            journal.add(result)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with Journal(path, plan) as journal:
        assert tuple(journal.results.values()) == serial[:2]
        journal.add(serial[2])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("size", [0, 1, 30])
def test_a_journal_whose_first_line_is_not_whole_is_begun_anew(plan: Plan, tmp_path: Path, size: int) -> None:
    path = tmp_path / "journal"
    Journal(path, plan).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    Journal(path, plan).close()
    assert path.read_bytes() == whole


def test_lines_that_mean_nothing_are_passed_over(plan: Plan, serial: tuple[UnitResult, ...], tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, plan) as journal:
        journal.add(serial[0])
    line = path.read_bytes().splitlines()[1]
    foreign = serial[1].to_json() | {"seed": 99}
    with path.open("ab") as file:
        file.write(b"\n[]\n17\n{}\n" + line[:40] + b"\n" + line.replace(b"passed", b"sunk").replace(b"failed", b"sunk") + b"\n" + json.dumps(foreign).encode() + b"\n")
    with Journal(path, plan) as journal:
        assert tuple(journal.results.values()) == serial[:1]


def test_the_journal_of_another_campaign_is_refused_with_what_is_different(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path, plan).close()
    before = path.read_bytes()
    others = {
        "platforms skl, bdw there, skl here": plan._replace(platforms=("skl",)),
        "seeds 1, 2, 3, 4, 5, 6 there, 1, 2, 3 … 20 (20) here": plan._replace(seeds=tuple(range(1, 21))),
        "types usual there, 4 here; aperture_mib 0 there, 512 here": plan._replace(types=("4",), aperture_mib=512),
    }
    for words, other in others.items():
        with pytest.raises(UsageError) as refused:
            Journal(path, other)
        assert str(refused.value) == f"{path} is the journal of another campaign: {words}"
    assert path.read_bytes() == before


def test_a_journal_of_another_state_of_the_scenarios_or_the_kit_is_refused(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, file = tmp_path / "journal", Path(plan.scenarios[0].file)
    Journal(path, plan).close()
    content = file.read_text()
    file.write_text(content + "\n# mended\n")
    with pytest.raises(UsageError, match="was written with another state of the kit or of the scenario files, with which other things may come of"):
        Journal(path, plan)
    file.write_text(content)
    Journal(path, plan).close()
    monkeypatch.setattr("pvinfo.__version__", "9.9.9")
    with pytest.raises(UsageError, match="was written with another version of the kit"):
        Journal(path, plan)


@pytest.mark.parametrize("content", ["# notes\n", "half a line", '{"journal": "of a voyage"}\n', "[]\n"])
def test_a_file_that_is_no_journal_is_left_alone(plan: Plan, tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes"
    path.write_text(content)
    with pytest.raises(UsageError, match="is not empty, and no journal of a campaign$"):
        Journal(path, plan)
    assert path.read_text() == content


def test_a_journal_is_written_by_one_campaign_at_a_time(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, plan), pytest.raises(SetupError, match="is the journal of a campaign that is under way in another process"):
        Journal(path, plan)
    Journal(path, plan).close()


def test_a_journal_is_a_file_and_what_finds_no_room_there_ends_the_campaign(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, why in ((tmp_path, "Is a directory"), (Path("/dev/null"), "it is no regular file")):
        with pytest.raises(SetupError) as refused:
            Journal(place, plan)
        assert str(refused.value) == f"{place} cannot be used as a journal: {why}"

    def full(file: int, line: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(tmp_path / "journal", plan) as journal:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(SetupError, match="/journal cannot be written: No space left on device$"):
            run_campaign(plan, InTurn(), journal=journal)


# ---- what seeds vary ----


VARYING = {name: found for name, found in built_in().items() if found.varies}


@pytest.mark.parametrize("name", every(VARYING))
def test_a_scenario_that_says_what_seeds_vary_is_told_in_another_way_for_each(name: str) -> None:
    results = [play_unit(Unit(name, "skl", seed=seed)) for seed in (1, 2, 3)]
    assert [(result.outcome, result.reason) for result in results] == [(Outcome.PASSED, "")] * 3
    assert len({result.digest for result in results}) == 3, VARYING[name].varies
