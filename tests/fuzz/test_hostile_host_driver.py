"""A hostile host driver against the physical GPU: registers, tables, contexts, rings and batches at random, and legal ones gone wrong.

Invariant: nothing is raised; the device uses no memory but what is mapped to it; no access and no slice does more than a
bounded amount of work; the same program does the same; and once it was reset, the device holds on to nothing and does
honest work as if nothing had been. A failure is made small and printed as a test to paste below.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from support.hostile.campaign import Outcome, campaign, random_program, story_of
from support.hostile.driver import ACT_BYTES
from support.hostile.memory import SECRET, GuardedMemory, Trespass, Window
from support.sample import sampled
from support.shrink import failure_of, hold

from host_model.gpu.execlist import SubmissionPort
from host_model.gpu.table_window import HardwareTable
from pvinfo.platform import PLATFORMS
from pvinfo.units import PAGE_SIZE, BusAddress

ACTS_PER_PROGRAM = 1000
"""Long enough for what is left of one job to get into the way of the next."""


def hold_driver(program: bytes, platform: str) -> Outcome:
    return hold(
        program, lambda some: campaign(some, platform), lambda small: story_of(small, platform),
        f"campaign({{}}, {platform!r})", ACT_BYTES, "a_hostile_driver_is_boring",
    )  # fmt: skip


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("seed", sampled(range(2), {0}))
def test_a_few_hostile_drivers_are_boring(platform: str, seed: int) -> None:
    outcome = hold_driver(random_program(seed, 500), platform)
    assert outcome.acts == 500
    assert outcome.slices > 20 and outcome.commands > 100, "the engines had something to do"


@pytest.mark.fuzz
@pytest.mark.parametrize("platform", PLATFORMS)
def test_many_hostile_drivers_are_boring(platform: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> None:
    count = max(request.config.getoption("--fuzz-host-acts") // (ACTS_PER_PROGRAM * len(PLATFORMS)), 1)
    first = request.config.getoption("--fuzz-seed") + count * list(PLATFORMS).index(platform)
    begun = time.perf_counter()
    outcomes = [hold_driver(random_program(seed, ACTS_PER_PROGRAM), platform) for seed in range(first, first + count)]
    seconds = time.perf_counter() - begun
    acts, slices, commands = (sum(getattr(outcome, name) for outcome in outcomes) for name in ("acts", "slices", "commands"))
    with capsys.disabled():
        print(
            f"\n{platform}: {acts} acts of {count} hostile drivers, seeds {first} to {first + count - 1}, in {seconds:.0f} s ({acts / seconds:.0f} a second); "
            f"{slices} slices, {commands} commands, {sum(outcome.interrupts for outcome in outcomes)} interrupts, "
            f"at most {max(outcome.most_looks for outcome in outcomes)} looks at memory in a slice"
        )  # fmt: skip
    assert acts == count * ACTS_PER_PROGRAM


@pytest.mark.parametrize("seed", (1, 3))
def test_the_same_program_leaves_the_same_behind(seed: int) -> None:
    program = bytes((seed,)) + random_program(seed, 300)
    assert campaign(program) == campaign(program)


def test_the_same_program_does_the_same_in_another_process() -> None:
    """Where order depends on how an interpreter hashes names, it shows here."""
    code = "from support.hostile.campaign import campaign, random_program; print(campaign(random_program(11, 300)).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == campaign(random_program(11, 300)).digest + "\n"


def test_a_program_of_zeros_only_reads() -> None:
    outcome = campaign(bytes(40 * ACT_BYTES))
    assert (outcome.acts, outcome.commands) == (40, 0)


def test_a_program_cut_off_in_the_middle_of_an_act_is_still_a_program() -> None:
    assert campaign(random_program(7, 3)[:-5]).acts == 3


# ---- what would be found ----


def test_a_defect_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HardwareTable.guest_write

    def store_or_fail(table: HardwareTable, offset: int, size: int, value: int) -> None:
        if size == 4:
            raise OverflowError("half an entry")
        store(table, offset, size, value)

    monkeypatch.setattr(HardwareTable, "guest_write", store_or_fail)
    with pytest.raises(pytest.fail.Exception) as caught:
        hold_driver(random_program(1, 300), "skl")
    told = str(caught.value)
    assert told.startswith("OverflowError: half an entry\ntable: 4 at 0x80")
    assert told.count("\ntable: ") == 1, "one act is enough"
    assert "campaign(script, 'skl')" in told


def test_an_engine_that_does_not_come_back_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SubmissionPort, "reset", lambda port: None)
    assert any(failure_of(campaign, random_program(seed, 300)) for seed in range(3))


class _Holder:
    """Guarded memory with somebody who looks at it."""

    def __init__(self) -> None:
        self.window, self.other = Window(0x10_0000, 2), Window(0x20_0000, 1, readonly=True)
        self.memory = GuardedMemory(self.window, self.other)
        view = self.memory.page(BusAddress(0x10_1008))
        assert view is not None
        self.view = view


def test_memory_is_handed_out_where_there_is_some_and_not_across_its_end() -> None:
    holder = _Holder()
    holder.view[:4] = b"abcd"
    assert holder.memory.peek(0x10_1000, 4) == b"abcd"
    assert holder.memory.page(BusAddress(0x10_2000)) is None
    assert holder.memory.span(BusAddress(0x10_1000), PAGE_SIZE + 1) is None
    rom = holder.memory.page(BusAddress(0x20_0000))
    assert rom is not None and rom.readonly
    holder.memory.check()
    holder.memory.check_let_go()


def test_what_is_no_address_is_told() -> None:
    memory = _Holder().memory
    with pytest.raises(Trespass, match="no bus address"):
        memory.page(BusAddress(-4096))
    with pytest.raises(Trespass, match="no bus address"):
        memory.page(BusAddress(1 << 46))
    with pytest.raises(Trespass, match="no range"):
        memory.span(BusAddress(0x10_0000), 0)


def test_whoever_writes_to_memory_that_is_gone_is_told() -> None:
    holder = _Holder()
    holder.memory.unplug(holder.window)
    holder.memory.check()
    assert holder.memory.page(BusAddress(0x10_0000)) is None
    holder.view[100] ^= 1
    with pytest.raises(Trespass, match="after it had been unplugged"):
        holder.memory.check()


def test_whoever_carries_away_what_stood_in_memory_that_is_gone_is_told() -> None:
    holder = _Holder()
    holder.memory.unplug(holder.window)
    assert bytes(holder.view[: len(SECRET)]) == SECRET
    holder.window.plug()
    holder.memory.poke(0x10_0123, bytes(holder.view[: len(SECRET)]))
    with pytest.raises(Trespass, match="what only unmapped memory held"):
        holder.memory.check()


def test_whoever_holds_on_to_memory_that_is_gone_is_told() -> None:
    holder = _Holder()
    holder.memory.unplug(holder.window)
    with pytest.raises(Trespass, match="holds on"):
        holder.memory.check_let_go()
    holder.view.release()
    holder.memory.check_let_go()
