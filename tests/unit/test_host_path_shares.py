"""The host's work is scheduled beside the guests': it has what it weighs, and what others leave."""

from __future__ import annotations

import pytest
from support.own_device import Busy, Household
from support.scheduling import MS, SECOND

from host_model.mediator.host_path.device import HostDevice
from host_model.mediator.vgpu import Vgpu
from pvinfo.platform import Engine

STEP_NS = MS // 4


def used(home: Household, busy: list[Busy], duration_ns: int) -> list[int]:
    """Nanoseconds that the host, then each guest, used of the next so many."""
    turn = home.host.mediator.turn
    clients: list[HostDevice | Vgpu] = [home.device, *(plugged.vgpu for plugged in home.plugged)]
    before = [turn.had(client).used_ns for client in clients]
    for _ in range(duration_ns // STEP_NS):
        for driver in busy:
            driver.go_on()
        home.own.machine.clock.wait_ns(STEP_NS)
    return [turn.had(client).used_ns - had for client, had in zip(clients, before, strict=True)]


@pytest.mark.parametrize("weight", [2, 8])
def test_over_a_second_host_and_guests_have_what_they_weigh(weight: int) -> None:
    home = Household(weight=weight)
    busy = [Busy(driver, 60) for driver in home.drivers]
    shares = used(home, busy, SECOND)
    for ns, weighs in zip(shares, (weight, 2, 2), strict=True):
        assert abs(ns / sum(shares) - weighs / (weight + 4)) <= 0.01
    assert sum(shares) > 0.999 * SECOND
    done = [each.completed for each in busy]
    assert abs(done[0] / sum(done) - weight / (weight + 4)) <= 0.02, "time is work: each draws the same"
    assert home.complaints() == [] and home.host.guard.violations == 0
    bound = home.host.mediator.turn.worst_wait_ns(home.device)
    assert bound is not None and home.host.mediator.turn.had(home.device).worst_wait_ns < bound


def test_an_idle_host_takes_nothing_and_a_host_alone_everything() -> None:
    home = Household(guests=1)
    guest = Busy(home.guests[0], 60)
    assert used(home, [guest], 100 * MS)[0] == 0
    home = Household(guests=1)
    shares = used(home, [Busy(home.driver, 60)], 100 * MS)
    assert shares[0] > 0.99 * 100 * MS and shares[1] == 0


def test_where_engines_have_turns_of_their_own_the_host_has_its_share_of_each() -> None:
    """Host and guest draw; the guest copies, too, on an engine that the host does not want."""
    home = Household(guests=1, weight=2, switching="engine")
    busy = [Busy(driver, 60) for driver in home.drivers]
    target = home.guests[0].create_surface(64, 64)
    filled = 0
    for _ in range(400):
        home.guests[0].fill(target, filled).wait(SECOND)
        filled += 1
        used(home, busy, STEP_NS)
    turn = home.host.mediator.turn
    clients: list[HostDevice | Vgpu] = [home.device, home.plugged[0].vgpu]
    drawn = [turn.of(Engine.RCS0).had(client).used_ns for client in clients]
    assert abs(drawn[0] / sum(drawn) - 0.5) <= 0.05 and sum(drawn) > 90 * MS
    assert turn.of(Engine.BCS0).had(home.device).used_ns < MS < turn.of(Engine.BCS0).had(home.plugged[0].vgpu).used_ns
    assert home.complaints() == [] and home.host.guard.violations == 0
