"""Buffers and what clients have: places, use after release, what is left behind when there is no room."""

from __future__ import annotations

import contextlib
from typing import Final

import pytest
from support.guest_machine import FakeMachine, with_driver

from guest_driver import Tiling
from pvinfo.errors import DriverError, StateError, UsageError
from pvinfo.platform import ENGINES, Engine
from pvinfo.trace import Op
from pvinfo.units import PAGE_SIZE

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000
NOTHING: Final = (0, 0)
TLB: Final = {Engine.RCS0: 0x4260, Engine.VCS0: 0x4264, Engine.VECS0: 0x4270, Engine.BCS0: 0x426C}


def invalidated(machine: FakeMachine) -> list[int]:
    """Registers that had engines drop their translations."""
    return [access.offset for access in machine.regs.accesses if access.offset in TLB.values() and access.op is Op.WRITE]


# ---- use and release ----


def test_a_buffer_gets_its_place_when_it_is_first_asked_for_and_keeps_it() -> None:
    _, driver = with_driver()
    first, second = (driver.create_buffer(PAGE_SIZE, name) for name in ("first", "second"))
    assert driver.client.buffers == []
    places = second.gpu_address, first.gpu_address, second.gpu_address
    assert places[0] == places[2] != places[1]
    assert driver.client.buffers == [second, first]


def test_a_buffer_that_is_released_stays_where_it_is_until_requests_of_its_time_are_done() -> None:
    machine, driver = with_driver()
    fake = machine.engines[Engine.BCS0]
    buffer = driver.create_buffer(PAGE_SIZE, "target")
    place, page, vm = buffer.gpu_address, buffer.address, driver.client.vm
    fake.held = True
    driver.submit(Engine.RCS0, NOTHING).wait(SECOND)
    using = driver.submit(Engine.BCS0, NOTHING)
    in_use = driver.memory.in_use
    buffer.release()
    later = driver.submit(Engine.RCS0, NOTHING)
    later.wait(SECOND)
    assert (driver.memory.in_use, vm.entry_at(place, 0)) == (in_use, int(page) | 0x83)
    machine.regs.accesses.clear()
    fake.held = False
    using.wait(SECOND)
    driver.wait(MILLISECOND // 5)
    entry = vm.entry_at(place, 0)
    assert entry is None or entry & ~0xFFF != page
    assert TLB[Engine.BCS0] in invalidated(machine)
    assert driver.memory.in_use < in_use
    with pytest.raises(StateError, match="use of target"):
        _ = buffer.gpu_address
    with pytest.raises(StateError, match="use of target"):
        buffer.release()


def test_a_buffer_without_a_place_goes_at_once() -> None:
    machine, driver = with_driver()
    machine.engines[Engine.BCS0].held = True
    driver.submit(Engine.BCS0, NOTHING)
    in_use = driver.memory.in_use
    driver.create_buffer(8 * PAGE_SIZE).release()
    assert (driver.memory.in_use, invalidated(machine)) == (in_use, [])


def test_a_buffer_is_not_released_while_it_is_shown_through_the_aperture() -> None:
    _, driver = with_driver()
    buffer = driver.create_surface(128, 8, tiling=Tiling.X)
    with buffer.map_aperture() as view:
        assert view.binding in driver.ggtt.bindings
        with pytest.raises(StateError, match="release of surface.*shown through the aperture"):
            buffer.release()
    assert view.binding not in driver.ggtt.bindings
    buffer.release()


def test_a_buffer_lies_where_it_was_wished_or_nowhere() -> None:
    _, driver = with_driver()
    buffer = driver.create_buffer(PAGE_SIZE, "wished", address=0x8000_0000_0000)
    assert buffer.gpu_address == 0xFFFF_8000_0000_0000, "with its highest bit repeated, as commands have it"
    other = driver.create_buffer(PAGE_SIZE, "too late", address=0x8000_0000_0000)
    with pytest.raises(DriverError, match="for too late overlaps"):
        _ = other.gpu_address
    assert driver.client.buffers == [buffer]
    with pytest.raises(UsageError, match="0 bytes in pages of 4096"):
        driver.create_buffer(0)
    with pytest.raises(UsageError, match="a pitch of 100 bytes; with tiling X it is a multiple of 512"):
        driver.create_buffer(PAGE_SIZE, tiling=Tiling.X, pitch=100)


# ---- clients ----


@pytest.mark.parametrize("at_rest", [False, True])
def test_memory_of_a_client_goes_with_it_and_awake_engines_forget_where_it_was(at_rest: bool) -> None:
    machine, driver = with_driver()
    before = driver.memory.in_use, driver.ggtt.bindings
    client = driver.open_client("guest")
    client.submit(Engine.BCS0, NOTHING).wait(SECOND)
    if at_rest:
        driver.wait_idle(SECOND)
    machine.regs.accesses.clear()
    client.close()
    assert (driver.memory.in_use, driver.ggtt.bindings, client.vm.alive) == (*before, False)
    assert invalidated(machine) == ([] if at_rest else [TLB[Engine.BCS0]])
    assert list(driver.gt.engines[Engine.BCS0].contexts) == [driver.gt.engines[Engine.BCS0].kernel_context, driver.gt.migrate_context]


def test_a_client_that_closes_has_its_work_finished_first() -> None:
    machine, driver = with_driver()
    fakes = [machine.engines[engine] for engine in (Engine.BCS0, Engine.RCS0)]
    client = driver.open_client("guest")
    requests = []
    for fake in fakes:
        fake.held = True
        requests.append(client.submit(fake.engine, NOTHING))
    client.close()
    assert (client.is_open, client.vm.alive) == (False, True)
    for fake in fakes:
        fake.held = False
        driver.wait(5 * MILLISECOND)
        assert client.vm.alive is (fake is fakes[0])
    assert [request.error for request in requests] == [None, None]


# ---- no room ----


@pytest.mark.parametrize("room", range(6))
def test_a_context_for_which_there_is_no_room_leaves_nothing_behind(room: int) -> None:
    _, driver = with_driver()
    client, streamer = driver.client, driver.gt.engines[Engine.BCS0]
    client.context(Engine.RCS0)
    page, bindings = driver.memory.allocate(1, "hoard"), []
    for guard in (1024 * PAGE_SIZE, 0):
        with contextlib.suppress(DriverError):
            while True:
                bindings.append(driver.ggtt.bind(page, guard=guard))
    for binding in bindings[-room:] if room else []:
        driver.ggtt.unbind(binding)
    before = driver.memory.in_use, driver.ggtt.bindings, tuple(streamer.contexts)
    with pytest.raises(DriverError, match="graphics memory: no room for"):
        client.context(Engine.BCS0)
    assert (driver.memory.in_use, driver.ggtt.bindings, tuple(streamer.contexts)) == before
    assert Engine.BCS0 not in client.contexts
    for binding in bindings[:-room] if room else bindings:
        driver.ggtt.unbind(binding)
    client.submit(Engine.BCS0, NOTHING).wait(SECOND)


def test_an_address_space_for_which_there_is_no_memory_leaves_nothing_behind() -> None:
    _, driver = with_driver()
    vm = driver.gt.create_vm("some")
    hoard = []
    for pages in (1024, 64, 1):
        with contextlib.suppress(DriverError):
            while True:
                hoard.append(driver.memory.allocate(pages, "hoard"))
    users, clients = vm.scratch.users, tuple(driver.clients)
    with pytest.raises(DriverError, match="no room for 4 KiB of page table root of client too many"):
        driver.open_client("too many")
    assert (vm.scratch.users, tuple(driver.clients)) == (users, clients)


def test_every_engine_has_its_own_register_to_forget_translations() -> None:
    machine, driver = with_driver()
    for engine in ENGINES:
        machine.regs.accesses.clear()
        buffer = driver.create_buffer(PAGE_SIZE)
        assert buffer.gpu_address
        driver.submit(engine, NOTHING)
        buffer.release()
        driver.wait_idle(SECOND)
        assert TLB[engine] in invalidated(machine)
