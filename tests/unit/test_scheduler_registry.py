"""Policies by name, and those that other packages bring."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.installed_package import install

from host_model.host import Host
from host_model.mediator.scheduler.fair import Fair
from host_model.mediator.scheduler.gvt import Gvt
from host_model.mediator.scheduler.policy import Policy
from host_model.mediator.scheduler.registry import DEFAULT_POLICY, known_policies, policy_named
from host_model.mediator.scheduler.round_robin import RoundRobin
from pvinfo.errors import SetupError, UsageError

THEIRS = """\
from host_model.mediator.scheduler.round_robin import RoundRobin


class Lottery(RoundRobin):
    name = "lottery"


def nothing_of_the_sort():
    return 7


def broken():
    raise OSError("out of tickets")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that brings schedulers."""
    entries = {"lottery": "Lottery", "fair": "Lottery", "seven": "nothing_of_the_sort", "broken": "broken", "missing": "Missing"}
    install(tmp_path, monkeypatch, "their_lottery", THEIRS, "host_model.schedulers", entries)


def test_ours_are_chosen_by_name_and_each_host_has_its_own() -> None:
    assert [type(policy_named(name)) for name in ("fair", "gvt", "round-robin")] == [Fair, Gvt, RoundRobin]
    assert all(isinstance(policy_named(name), Policy) and policy_named(name).name == name for name in known_policies()[:3])
    assert DEFAULT_POLICY == "fair" and Host().mediator.turn.all[0].policy is not Host().mediator.turn.all[0].policy


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no scheduler 'first-come': there are fair, gvt, round-robin"):
        Host(scheduler="first-come")


@pytest.mark.usefixtures("package")
def test_a_package_brings_its_own_and_does_not_replace_ours() -> None:
    assert known_policies() == ("fair", "gvt", "round-robin", "broken", "lottery", "missing", "seven")
    host = Host(scheduler="lottery")
    assert host.mediator.turn.policy_name == "lottery"
    assert type(policy_named("fair")) is Fair


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "said"), [("seven", "makes a int: that is no scheduling policy"), ("broken", "out of tickets"), ("missing", "their_lottery:Missing, cannot be made")]
)
def test_a_package_whose_policy_is_none_is_named(name: str, said: str) -> None:
    with pytest.raises(SetupError, match=said):
        policy_named(name)


def test_a_policy_can_be_handed_over_as_an_object() -> None:
    policy = RoundRobin(slice_ns=5)
    assert Host(scheduler=policy).mediator.turn.all[0].policy is policy
