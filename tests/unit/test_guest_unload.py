"""Unloading, loading again, and clients that come and go."""

from __future__ import annotations

import pytest
from support.guest_machine import FakeMachine, pv_page

from guest_driver import DriverState, GuestDriver
from pvinfo.errors import StateError
from pvinfo.trace import Op


def roots(machine: FakeMachine) -> list[tuple[int, int]]:
    """Each notification with the root that was in pdp[0] then."""
    told = []
    low = high = 0
    for access in machine.regs.accesses:
        if access.op is Op.WRITE and access.offset == 0x78838:
            low = access.value
        elif access.op is Op.WRITE and access.offset == 0x7883C:
            high = access.value
        elif access.op is Op.WRITE and access.offset == 0x78818:
            told.append((access.value, high << 32 | low))
    return told


@pytest.mark.parametrize("running", [False, True])
def test_every_address_space_that_was_announced_is_taken_back_by_the_unload(running: bool) -> None:
    machine = FakeMachine(pv_page(), running=running)
    driver = GuestDriver(machine)
    driver.probe()
    driver.open_client("one")
    driver.unload()
    alive: set[int] = set()
    for notification, root in roots(machine):
        if notification == 4:
            assert root not in alive
            alive.add(root)
        else:
            assert notification == 5
            alive.remove(root)
    assert alive == set()


def test_a_working_gpus_address_spaces_go_in_the_order_clients_migration_kernel() -> None:
    machine = FakeMachine(pv_page(), running=True)
    driver = GuestDriver(machine)
    driver.probe()
    assert driver.gt.kernel_vm is not None and driver.gt.migrate_vm is not None
    expected = [driver.clients[0].vm.root.address, driver.gt.migrate_vm.root.address, driver.gt.kernel_vm.root.address]
    machine.regs.accesses.clear()
    driver.unload()
    assert roots(machine) == [(5, root) for root in expected]


def test_the_unload_leaves_the_device_silent_and_writes_no_table_entry_fence_or_display_state() -> None:
    machine = FakeMachine(pv_page())
    driver = GuestDriver(machine)
    driver.probe()
    machine.regs.accesses.clear()
    driver.unload()
    assert driver.state is DriverState.UNBOUND
    assert machine.gpu.handler is None
    assert machine.regs.peek(0x44200) == 0
    for group in (0x44300, 0x44310, 0x44320, 0x44330, 0x44400, 0x44440, 0xC4000):
        assert machine.regs.peek(group + 4) == 0xFFFF_FFFF and machine.regs.peek(group + 0xC) == 0
    assert machine.gpu.config.read(0x92, 2) & 1 == 0
    told = machine.vgpu_accesses()
    assert [access.offset for access in told] == [0x78838, 0x7883C, 0x78818], "only the console's page table"
    assert machine.regs.peek(0x78804) == 1


def test_a_reloaded_driver_does_exactly_what_the_first_did() -> None:
    machine = FakeMachine(pv_page())
    driver = GuestDriver(machine)
    driver.probe()
    first = list(machine.vgpu_accesses())
    for _ in range(3):
        driver.unload()
        machine.regs.accesses.clear()
        driver.probe()
        assert machine.vgpu_accesses() == first
    assert driver.states.history.count(DriverState.READY) == 4


def test_a_second_driver_takes_over_what_the_first_has_left() -> None:
    machine = FakeMachine(pv_page())
    first = GuestDriver(machine)
    first.probe()
    first.unload()
    second = GuestDriver(machine)
    second.probe()
    assert second.state is DriverState.READY


def test_unloading_gives_back_every_page_and_every_range() -> None:
    machine = FakeMachine(pv_page(), running=True)
    driver = GuestDriver(machine)
    driver.probe()
    memory, space = driver.memory, driver.ggtt.space
    assert memory.in_use and space.nodes
    driver.unload()
    assert memory.in_use == 0
    assert space.nodes == ()


def test_a_client_is_announced_when_it_opens_and_taken_back_when_it_closes_once() -> None:
    machine = FakeMachine(pv_page())
    driver = GuestDriver(machine)
    driver.probe()
    machine.regs.accesses.clear()
    with driver.open_client("tool") as client:
        root = client.vm.root.address
        assert roots(machine) == [(4, root)]
    assert roots(machine) == [(4, root), (5, root)]
    assert not client.is_open
    with pytest.raises(StateError, match="close client tool needs state open, but the state is closed"):
        client.close()


def test_a_client_that_was_closed_by_itself_does_not_trouble_the_unload() -> None:
    machine = FakeMachine(pv_page())
    driver = GuestDriver(machine)
    driver.probe()
    first, second = driver.open_client("a"), driver.open_client("b")
    first.close()
    second.close()
    assert [client.name for client in driver.clients] == ["console"]
    driver.unload()
    assert [notification for notification, _ in roots(machine)].count(5) == [n for n, _ in roots(machine)].count(4)


def test_a_driver_whose_probe_ended_early_unloads_without_touching_the_device() -> None:
    machine = FakeMachine()
    driver = GuestDriver(machine, vgpu_required=True)
    with pytest.raises(Exception, match="no PVINFO page"):
        driver.probe()
    machine.regs.accesses.clear()
    driver.unload()
    assert machine.regs.accesses == []
    with pytest.raises(StateError, match="unload needs state"):
        driver.unload()


def test_contexts_and_rings_of_a_running_gt_stay_bound_until_the_unload() -> None:
    driver = GuestDriver(FakeMachine(pv_page(), running=True))
    driver.probe()
    owners = [binding.buffer.owner for binding in driver.ggtt.bindings]
    assert owners == [
        "GT scratch page",
        "status page of rcs0", "work-around batch of rcs0", "ring of kernel context of rcs0", "image of kernel context of rcs0",
        "status page of bcs0", "ring of kernel context of bcs0", "image of kernel context of bcs0",
        "status page of vcs0", "ring of kernel context of vcs0", "image of kernel context of vcs0",
        "status page of vecs0", "ring of kernel context of vecs0", "image of kernel context of vecs0",
        "ring of migration context of bcs0", "image of migration context of bcs0",
    ]  # fmt: skip
