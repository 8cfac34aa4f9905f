"""A hypervisor that fails at any one point of an honest guest's work, on a whole host.

Each time: nothing is raised, a finding names what could not be had, the other guest's work comes to what it should; after a device
reset no page is pinned and no shadow table left, and a new guest's work comes to what it should.
"""

from __future__ import annotations

import pytest
from support.hostile.campaign import Unhealthy
from support.hostile.failures import FailingHost, Failure
from support.hostile.judge import Violation
from support.sample import sampled

from host_model.mediator.shadow.ggtt import GuestGgtt
from host_model.mediator.shadow.store import TableStore
from pvinfo.finding import FindingLog
from pvinfo.platform import PLATFORMS

PAGES_OF_2_MIB = 512


def ends(call: range) -> list[int]:
    """First, middle and last page of a call."""
    return sorted({call[0], call[len(call) // 2], call[-1]})


def hold(host: FailingHost, *, every_page: bool = False, step: int = 1) -> int:
    """Fail at each point, or in each ``step``th call. Returns at how many."""
    failures = 0
    for failure, calls in host.points().items():
        for call in calls[::step]:
            for point in call if every_page else ends(call):
                assert host.fail(failure, (point,)) == 1, f"{failure}: point {point} is not reached"
                failures += 1
    host.finish()
    return failures


@pytest.mark.parametrize(
    ("platform", "track_writes", "step"),
    sampled([("skl", True, 3), ("bdw", False, 3), ("skl", True, 13), ("bdw", False, 13)], {("skl", True, 13), ("bdw", False, 13)}),
)
def test_a_failure_in_any_call_leaves_every_count_exact_and_other_guests_alone(platform: str, track_writes: bool, step: int) -> None:
    host = FailingHost(platform, track_writes=track_writes)
    points = host.points()
    assert sum(len(call) == PAGES_OF_2_MIB for call in points[Failure.MAP]) >= 2, "pages of 2 MiB are split, and tables are full"
    assert platform == "bdw" or sum(len(call) == 16 for call in points[Failure.MAP]) >= 32, "pages of 64 KiB are split"
    assert all(len(points[failure]) for failure in Failure)
    assert hold(host, step=step) > 400 // step


@pytest.mark.fuzz
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("track_writes", [True, False])
def test_on_each_platform_with_either_port_a_failure_leaves_every_count_exact(platform: str, track_writes: bool) -> None:
    assert hold(FailingHost(platform, track_writes=track_writes)) > 400


@pytest.mark.fuzz
@pytest.mark.parametrize(("platform", "track_writes"), [("skl", False), ("bdw", True)])
def test_a_failure_at_any_page_leaves_every_count_exact_and_other_guests_alone(platform: str, track_writes: bool) -> None:
    host = FailingHost(platform, track_writes=track_writes)
    points = host.points()
    assert hold(host, every_page=True) == sum(len(call) for calls in points.values() for call in calls)


@pytest.mark.parametrize("failure", Failure)
def test_a_hypervisor_that_fails_for_good_from_some_point_on_leaves_every_count_exact_and_other_guests_alone(failure: Failure) -> None:
    host = FailingHost("skl", track_writes=False)
    calls = host.points()[failure]
    for call in calls[:: len(calls) // 12 or 1]:
        assert host.fail(failure, range(call[len(call) // 2], 50_000)) >= 1
    host.finish()


# ---- what would be found ----


def test_pages_of_2_mib_that_are_kept_though_one_of_them_failed_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FailingHost("skl", track_writes=True)
    split = [call for call in host.points()[Failure.MAP] if len(call) == PAGES_OF_2_MIB]
    monkeypatch.setattr(TableStore, "unmap", lambda store, pages: None)
    with pytest.raises(Violation, match="pages are pinned"):
        for call in split:
            host.fail(Failure.MAP, (call[100],))


def test_failures_of_which_no_finding_tells_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FailingHost("skl", track_writes=True)
    monkeypatch.setattr(FindingLog, "fault", lambda *what, **how: None)
    with pytest.raises(Unhealthy, match="no finding names 0x100000, where the hypervisor did not map a page"):
        host.fail(Failure.MAP, (0,))


def test_what_is_left_in_the_table_by_a_reset_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FailingHost("skl", track_writes=True)
    monkeypatch.setattr(GuestGgtt, "clear", lambda ggtt: None)
    with pytest.raises(Violation, match="pages are pinned after a reset"):
        host.points()
