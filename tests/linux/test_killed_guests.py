"""QEMU is killed under a real guest, in each phase of its life, while another guest works on the same GPU.

What the host can see tells which phase it is. In each, all that the host held for the guest comes back, counted, the neighbour
goes on and finds its own pattern, and the next QEMU has the same socket.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import real_guest
from support.real_machines import NEIGHBOUR, OTHER, Beside, beside_a_neighbour
from support.watched_server import HELD_BY_NOBODY

from host_model.boot import Stage
from host_model.boot.guest import Guest

pytestmark = real_guest.needs()

POST = """\
case $ROLE in
drawing) PATTERN_SECONDS=300 exec /bin/workload pattern ;;
unloading)
    echo 0 >/sys/class/vtconsole/vtcon1/bind
    echo 0000:00:02.0 >/sys/bus/pci/drivers/i915/unbind
    sleep 300 ;;
asleep) echo freeze >/sys/power/state ;;
last) exec /bin/workload stores pattern ;;
*) sleep 300 ;;
esac
"""
State = dict[str, Any]


class Seen(NamedTuple):
    """What the host saw of the dying guest's device: now, when it was looked at last, and before the guest came; and its console."""

    now: State
    last: State
    before: State
    guest: Guest

    @property
    def fresh(self) -> bool:
        """The device was reset for this guest, which has touched no register yet."""
        untouched: bool = self.now["mmio"]["reads"] == self.before["mmio"]["reads"]
        return untouched and self.now["resets"] > self.before["resets"]

    @property
    def requests(self) -> int:
        now, before = (sum(map(int, state["requests"].values())) for state in (self.now, self.before))
        return now - before

    @property
    def is_there(self) -> bool:
        return bool(self.now["pv"]["detected"]) and not self.fresh


def probing(seen: Seen) -> bool:
    return seen.is_there and seen.requests == 0


def writing_tables(seen: Seen) -> bool:
    return probing(seen) and seen.now["ggtt_writes"] > seen.last["ggtt_writes"]


def at_work(seen: Seen) -> bool:
    held = seen.now["held"]
    return seen.requests > 200 and bool(held["shadow_tables"] and held["workloads"])


PHASES: dict[str, tuple[str, Callable[[Seen], bool]]] = {
    "connected": ("idle", lambda seen: bool(seen.now["screen"]["connected"])),
    "firmware": ("idle", lambda seen: seen.fresh and bool(seen.now["pci"]["memory"])),
    "kernel": ("idle", lambda seen: seen.fresh and seen.guest.stage in (Stage.KERNEL, Stage.INIT, Stage.MODULES)),
    "probing": ("idle", probing),
    "tables": ("idle", writing_tables),
    "lit": ("idle", lambda seen: seen.is_there and seen.now["screen"]["width"] > 0),
    "at-work": ("drawing", at_work),
    "unloading": ("unloading", lambda seen: seen.guest.stage is Stage.POST and seen.last["pv"]["display_ready"] and not seen.now["pv"]["display_ready"]),
    "asleep": ("asleep", lambda seen: seen.guest.stage is Stage.POST and bool(seen.now["pci"]["asleep"])),
}
"""What the guest's script is to do, and by what its phase is known."""


def until_seen(beside: Beside, guest: Guest, before: State, happened: Callable[[Seen], bool]) -> State:
    """Look at the dying guest's device until it shows that; what it shows then."""
    last = before

    def look() -> bool:
        nonlocal last
        assert guest.running(), guest.qemu_messages()
        now = beside.server.vgpu(OTHER)
        seen, last = Seen(now, last, before, guest), now
        return happened(seen)

    beside.until(look)
    return last


@pytest.fixture(scope="module")
def beside(workload: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    with beside_a_neighbour(tmp_path_factory.mktemp("killed"), POST, workload) as made:
        yield made


@pytest.mark.parametrize("phase", PHASES)
def test_all_that_was_held_for_the_guest_comes_back_and_the_neighbour_goes_on(
    beside: Beside, phase: str, capsys: pytest.CaptureFixture[str]
) -> None:
    role, reached = PHASES[phase]
    server = beside.server
    before, held_before = server.vgpu(OTHER), server.at_rest(OTHER)
    assert held_before.of_guest == HELD_BY_NOBODY
    begun = time.monotonic()
    with beside.start(role) as guest:
        there = until_seen(beside, guest, before, reached)
        assert server.held(OTHER).descriptors > held_before.descriptors
    # QEMU is dead by now.
    beside.neighbour_goes_on()
    assert not server.vgpu(OTHER)["screen"]["connected"]
    held = server.at_rest(OTHER)
    with capsys.disabled():
        print(f"\n{phase}: killed after {time.monotonic() - begun:.1f} s, when the host held {there['held']}")
    assert (held.mappings, held.of_guest) == (held_before.mappings, HELD_BY_NOBODY)
    assert held.descriptors <= held_before.descriptors
    neighbour = server.vgpu(NEIGHBOUR)
    assert [finding for finding in neighbour["findings"] if finding["kind"] != "note"] == []
    assert neighbour["failsafe"] is None and "engine" not in neighbour["resets_by_kind"]


def test_who_comes_last_finds_a_device_on_which_everything_works(beside: Beside) -> None:
    with beside.start("last") as guest:
        beside.until(lambda: not guest.running())
        report = guest.report()
        assert report.driver_initialized and not report.wedged
        assert report.warnings == ()
        assert "ok stores" in guest.post_output() and "ok pattern" in guest.post_output()
    assert beside.server.vgpu(OTHER)["failsafe"] is None
    beside.neighbour_goes_on()
