"""The shrinker: with a planted defect it must come down to the acts that matter, and print a test that shows them."""

from __future__ import annotations

import random

import pytest
from support.byte_script import ACT_BYTES, Kind, acts_of
from support.duel import Divergence, Duel, run_script
from support.shrink import TRIES_OF_A_TEST, as_test, hold, shrink

from host_model.device.mmio.window import MmioWindow
from host_model.mediator.shadow.ggtt import GuestGgtt


def test_what_does_not_matter_is_cut_out_and_what_does_is_made_simple() -> None:
    script = random.Random(1).randbytes(400)
    tried = 0

    def fails(candidate: bytes) -> bool:
        nonlocal tried
        tried += 1
        acts = [candidate[at : at + 4] for at in range(0, len(candidate), 4)]
        return any(act[0] >= 0x80 for act in acts) and sum(len(act) == 4 and act[3] & 1 for act in acts) >= 2

    small = shrink(script, fails, 4)
    assert fails(small)
    assert len(small) == 8
    assert sorted(small) == [0, 0, 0, 0, 0, 1, 1, 0x80]
    assert tried < 2000


def test_a_program_that_does_not_fail_cannot_be_shrunk() -> None:
    with pytest.raises(ValueError, match="^a program of 12 bytes does not fail, so there is nothing to shrink$"):
        shrink(bytes(12), lambda script: False, 12)


def test_a_failure_that_needs_nothing_shrinks_to_nothing() -> None:
    assert shrink(bytes(range(200)), lambda script: True, 7) == b""


@pytest.mark.parametrize("tries", (1, 2, 7, 100))
def test_a_program_is_run_no_oftener_than_it_may_be(tries: int) -> None:
    """And what was found until then still fails."""
    script = random.Random(1).randbytes(4000)
    tried = 0

    def fails(candidate: bytes) -> bool:
        nonlocal tried
        tried += 1
        return sum(candidate) >= 20_000

    small = shrink(script, fails, 4, tries=tries)
    assert tried == tries
    assert sum(small) >= 20_000
    assert (len(small) < len(script)) is (tries > 1)


def test_a_failing_test_ends_by_itself() -> None:
    tried = 0

    def run(candidate: bytes) -> None:
        nonlocal tried
        tried += 1
        if sum(candidate) >= 20_000:
            raise IndexError("too much")

    with pytest.raises(pytest.fail.Exception, match="^IndexError: too much\na story\n"):
        hold(random.Random(1).randbytes(4000), run, lambda small: "a story", "run({})", 4)
    assert tried <= TRIES_OF_A_TEST + 2, "the run that failed, those that made it small, and one to tell of"


def first_failing(seeds: range) -> bytes:
    for seed in seeds:
        script = random.Random(seed).randbytes(150 * ACT_BYTES)
        try:
            run_script(script)
        except Divergence:
            return script
    raise AssertionError(f"no program of {seeds} meets the planted defect")


def planted(script: bytes) -> bool:
    try:
        run_script(script)
    except Divergence:
        return True
    return False


@pytest.mark.full
def test_a_planted_defect_shrinks_to_the_acts_that_show_it_and_the_printed_test_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = GuestGgtt._set_hardware

    def forgetful(table: GuestGgtt, index: int, entry: int) -> None:
        """The hardware never hears of an entry that is taken away."""
        if entry & 1:
            honest(table, index, entry)

    with monkeypatch.context() as defect:
        defect.setattr(GuestGgtt, "_set_hardware", forgetful)
        script = first_failing(range(50))
        small = shrink(script, planted, ACT_BYTES)
        acts = list(acts_of(small, Duel().layout))
        assert len(acts) == 1, "a fresh entry is present, so one write that takes it away shows the defect"
        assert acts[0].kind is Kind.WRITE and acts[0].offset >= 0x800000
        printed = as_test(small, "run_script({}, 'skl')", "a story\nof two lines", ACT_BYTES)
        assert "    # a story\n    # of two lines\n" in printed
        namespace: dict[str, object] = {"run_script": run_script}
        exec(compile(printed, "printed", "exec"), namespace)
        shown = namespace["test_the_guest_sees_what_the_rules_say"]
        assert callable(shown)
        with pytest.raises(Divergence, match="^hardware entry of"):
            shown()
    shown()


@pytest.mark.full
def test_a_defect_that_raises_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = MmioWindow._write_piece

    def fragile(window: MmioWindow, offset: int, width: int, value: int) -> None:
        if width == 1:
            raise IndexError("a byte")
        honest(window, offset, width, value)

    def falls(script: bytes) -> bool:
        try:
            run_script(script)
        except (IndexError, Divergence):
            return True
        return False

    monkeypatch.setattr(MmioWindow, "_write_piece", fragile)
    small = shrink(random.Random(3).randbytes(200 * ACT_BYTES), falls, ACT_BYTES)
    acts = list(acts_of(small, Duel().layout))
    assert len(acts) == 1 and acts[0].kind is Kind.WRITE
    with pytest.raises(IndexError, match="a byte"):
        run_script(small)
