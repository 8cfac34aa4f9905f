"""The stage: steps, checks of both sides, findings, and how a scenario ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guest_driver.scenarios import Announced, InProcess, Needs, Outcome, Scenario, ScenarioResult, Stage, play
from guest_driver.scenarios.outcome import View
from guest_driver.scenarios.stage import CannotStage
from guest_driver.scenarios.words import in_words
from host_model.gpu.device import PhysicalGpu
from pvinfo.errors import HostRefused, NotVirtualized
from pvinfo.page import Capability, GraphicsRange


def _play(act: Callable[[Stage], None], needs: Needs = Needs(), platform: str = "skl") -> ScenarioResult:
    return play(Scenario("tried", "Something is tried.", needs, act, __file__, 1), InProcess(platform))


def test_steps_know_their_checks_their_time_and_where_each_guests_accesses_begin() -> None:
    def act(stage: Stage) -> None:
        stage.check("before any step", 1, 1)
        stage.step("first")
        stage.guests[1].mmio.read32(0x2034)
        stage.guest.wait(1_000)
        stage.step("second")
        stage.guest.mmio.read32(0x2034)
        stage.check("two", 2, 2)
        stage.check("three", 3, 3)

    result = _play(act, Needs(vgpus=2))
    assert [(step.title, step.time_ns, len(step.checks), step.begins_at) for step in result.steps] == [
        ("the curtain rises", 0, 1, (0, 0)),
        ("first", 0, 0, (0, 0)),
        ("second", 1_000, 6, (0, 1)),
    ]
    assert (result.outcome, result.duration_ns, result.accesses) == (Outcome.PASSED, 1_000, 2)


def test_the_first_check_that_does_not_hold_ends_the_scenario() -> None:
    def act(stage: Stage) -> None:
        stage.step("only")
        stage.check("right", "a", "a")
        stage.check("wrong", [0x1234, 5], [0x1234])
        stage.check("never reached", 0, 0)

    result = _play(act)
    assert result.outcome is Outcome.FAILED
    assert result.reason.endswith("wrong (guest's view): expected 0x1234 (4660), but it is [0x1234 (4660), 5]")
    assert result.reason.startswith(f"{Path(__file__).name}:")
    assert [(check.what, check.held) for check in result.checks] == [("right", True), ("wrong", False)]


def test_values_that_look_alike_but_differ_are_shown_apart() -> None:
    result = _play(lambda stage: stage.check("kind", "1", 1))
    assert "expected 1, but it is '1'" in result.reason


def test_an_error_that_must_come_is_returned_and_one_that_does_not_fails() -> None:
    def refused(stage: Stage) -> None:
        error = stage.check_raises("the probe ends with", HostRefused, stage.guest.driver().probe)
        stage.check("rule", error.rule, "version")

    assert _play(refused, Needs(announced=Announced(version_major=0))).outcome is Outcome.PASSED
    result = _play(refused)
    assert result.reason.endswith("the probe ends with (guest's view): expected HostRefused, but it is no error")


def test_another_error_than_the_awaited_one_fails_with_its_own_words() -> None:
    def act(stage: Stage) -> None:
        stage.check_raises("the probe ends with", HostRefused, stage.guest.driver(vgpu_required=True).probe)

    result = _play(act, Needs(announced=Announced(magic=0)))
    assert NotVirtualized.__name__ in result.reason and result.outcome is Outcome.FAILED


def test_a_finding_that_accuses_the_guest_fails_unless_it_was_expected() -> None:
    def accused(stage: Stage) -> None:
        stage.guest.mmio.write32(0x78000, 0)

    def expected(stage: Stage) -> None:
        accused(stage)
        stage.expect_finding("pvinfo-read-only", times=1)

    def missed(stage: Stage) -> None:
        stage.expect_finding("pvinfo-read-only")

    assert "the host accuses guest 1 of nothing else (host's view): expected none" in _play(accused).reason
    assert _play(expected).outcome is Outcome.PASSED
    assert _play(missed).reason.endswith("the host noticed: pvinfo-read-only (host's view): expected 1, but it is 0")


def test_a_remark_of_the_host_accuses_nobody() -> None:
    result = _play(lambda stage: stage.check("a reserved word", stage.guest.mmio.read32(0x78100), 0))
    assert result.outcome is Outcome.PASSED
    assert [finding.rule for finding in result.findings] == ["pvinfo-reserved-read"]


def test_the_hosts_view_is_checked_at_the_vgpu_and_through_the_bus() -> None:
    def act(stage: Stage) -> None:
        stage.guest.mmio.write32(0x78804, 1)
        stage.host_view("display", lambda vgpu: vgpu.pv.display_ready, True, through_bus=lambda: bool(stage.guest.mmio.read32(0x78804)))
        assert stage.host_does("forgets", lambda vgpu: vgpu.pv.forget_guest())
        stage.host_view("display", lambda vgpu: vgpu.pv.display_ready, False)

    result = _play(act)
    assert [check.view for check in result.checks] == [View.HOST, View.BUS, View.HOST, View.HOST, View.GPU, View.GPU]


def test_what_the_gpu_notices_is_counted_for_the_guest_that_it_works_for_and_else_for_the_host() -> None:
    def notice(number: int) -> Callable[[Stage], None]:
        def act(stage: Stage) -> None:
            def tell(gpu: PhysicalGpu) -> None:
                gpu.findings.vgpu = number
                gpu.findings.fault("illegal-command", "rcs0", "no such thing")

            stage.gpu_view("told", tell, None)

        return act

    def expected(stage: Stage) -> None:
        notice(1)(stage)
        stage.expect_finding("illegal-command", times=1)

    assert "the host accuses guest 1 of nothing else (host's view): expected none, but it is illegal-command at rcs0" in _play(notice(1)).reason
    assert "the GPU accuses the host of nothing (the GPU's own view): expected none, but it is illegal-command at rcs0" in _play(notice(0)).reason
    assert _play(expected).outcome is Outcome.PASSED
    assert [finding.rule for finding in _play(expected).findings] == ["illegal-command"]


def test_a_page_that_the_gpu_must_not_have_fails_any_scenario() -> None:
    def act(stage: Stage) -> None:
        stage.host_does("lets its GPU go astray", lambda vgpu: setattr(vgpu.mediator.guard, "violations", 1))

    assert _play(act).reason.endswith("pages that the GPU asked for and must not have (the GPU's own view): expected 0, but it is 1")


def test_a_scenario_may_end_itself_where_it_means_nothing() -> None:
    result = _play(lambda stage: stage.skip("no such thing here"))
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "no such thing here")
    for needs, reason in (
        (Needs(graphics_versions=(8,)), "graphics generation 8 only; Skylake is 9"),
        (Needs(platforms=("bxt", "cfl")), "bxt, cfl only; this is skl"),
    ):
        result = _play(lambda stage: None, needs)
        assert (result.outcome, result.reason, result.setting) == (Outcome.SKIPPED, reason, ())
    with pytest.raises(CannotStage):
        InProcess("bdw").set_up(Needs(graphics_versions=(9,)))


def test_the_states_of_a_driver_are_placed_among_its_accesses() -> None:
    result = _play(lambda stage: stage.guest.driver().probe())
    (driver,) = result.guests[0].drivers
    assert driver.path[0] == "unbound" and driver.path[-1] == "ready"
    assert len(driver.entered_at) == len(driver.path)
    assert list(driver.entered_at) == sorted(driver.entered_at)
    magic = next(number for number, access in enumerate(result.guests[0].accesses) if access.in_page)
    assert driver.entered_at[driver.path.index("placed")] == magic, "the page is the first thing a placed driver looks at"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "yes"), (None, "nothing"), (7, "7"), (-5, "-5"), (4096, "0x1000 (4096)"), (0x8000_0000, "0x80000000"),
        ("", "(empty)"), (Capability(0x1C), "FULL_PPGTT|HWSP_EMULATION|HUGE_GTT"), (Outcome.PASSED, "passed"),
        (GraphicsRange(0, 4096), "[0x0, 0x1000) (4 KiB)"), (range(4096, 8192), "[0x1000, 0x2000) (4 KiB)"),
        ([], "none"), ((1, "a"), "(1, a)"), ({"x": 1}, "x: 1"), ({3, 1}, "[1, 3]"), (b"\x01\x02", "01 02 (2 bytes)"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … 20 in all]"),
    ],
)  # fmt: skip
def test_values_are_shown_as_people_read_them(value: object, words: str) -> None:
    assert in_words(value) == words
