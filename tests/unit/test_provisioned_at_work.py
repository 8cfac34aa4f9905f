"""A guest driver on a device that was provisioned: the same story whatever the policy, and all is given back."""

from __future__ import annotations

from contextlib import suppress

import pytest
from support.own_device import Busy, stores
from support.provisioned import MEDIATED, PARTITION, POLICY_WAYS, RAM_SIZE, provision
from support.scheduling import MS, SECOND

from guest_driver import Batch, GuestDriver
from guest_driver.batch import Rectangle
from guest_driver.state import DriverState
from host_model.device.config_space import CAPABILITY_POWER, capabilities
from host_model.host import Host
from host_model.mediator.scheduler.turns import SWITCHINGS
from pvinfo.bus import Machine
from pvinfo.errors import GvtError, RequestFailed
from pvinfo.finding import FindingKind
from pvinfo.pci import PowerState
from pvinfo.platform import PLATFORMS, Engine
from pvinfo.units import MIB, PAGE_SIZE

PATIENCE_NS = 30_000_000_000

every_policy = pytest.mark.parametrize(("policy", "way"), POLICY_WAYS)
each_policy = pytest.mark.parametrize("policy", [MEDIATED, PARTITION])


def probed(machine: Machine) -> GuestDriver:
    driver = GuestDriver(machine, vgpu_required=True)
    driver.probe()
    assert driver.state is DriverState.READY
    return driver


def draw(machine: Machine) -> list[bytes]:
    """Probe, fill, fill a part, copy: the rows of the two surfaces; then a number that every engine stores."""
    driver = probed(machine)
    source, target = driver.create_surface(96, 40), driver.create_surface(96, 40)
    driver.fill(source, 0x00112233)
    driver.fill(source, 0x00AABBCC, Rectangle(10, 5, 50, 20))
    driver.copy(target, source).wait(PATIENCE_NS)
    rows = [surface.read_row(y, 0, 96 * 4) for surface in (source, target) for y in range(40)]
    for number, engine in enumerate(Engine):
        stored, request = stores(driver, engine, number)
        request.wait(PATIENCE_NS)
        rows.append(stored.read(0, 4))
    assert driver.log.complaints() == ()
    driver.unload()
    return rows


@pytest.mark.parametrize("platform", PLATFORMS)
@each_policy
def test_what_is_drawn_is_what_is_drawn_in_a_machine_of_this_process(policy: str, platform: str) -> None:
    expected = draw(Host(platform).plug().machine)
    assert len({*expected}) == 2 + len(Engine), "two kinds of rows: some with the rectangle; and the numbers"
    host = Host(platform)
    here = provision(host, policy)
    assert draw(here.machine) == expected
    assert host.guard.violations == 0 and here.client.interrupts_sent > 0
    assert [finding for finding in here.client.findings if finding.kind is FindingKind.GUEST_FAULT] == []


@every_policy
def test_nothing_is_pinned_before_it_is_needed_and_nothing_after_a_reset(policy: str, way: str) -> None:
    here = provision(Host(), policy, way)
    assert (here.user.pinned_pages, here.memory.pinned_pages) == (0, 0), "mapping pins nothing"
    driver = probed(here.machine)
    assert 0 < here.user.pinned_pages == here.memory.pinned_pages < RAM_SIZE // PAGE_SIZE
    driver.unload()
    here.user.reset()
    assert (here.user.pinned_pages, here.memory.pinned_pages) == (0, 0)
    expected = draw(Host().plug().machine)
    assert draw(here.machine) == expected, "a new driver after the reset"


@every_policy
def test_memory_that_goes_under_the_gpus_feet_is_let_go_at_once(policy: str, way: str) -> None:
    here = provision(Host(), policy, way)
    driver = probed(here.machine)
    surface = driver.create_surface(256, 256)
    driver.fill(surface, 0x11111111).wait(PATIENCE_NS)
    request = driver.fill(surface, 0x22222222)
    held = sorted(page for page in range(0, RAM_SIZE, PAGE_SIZE) if here.memory.pins(page))
    here.unmap(0, RAM_SIZE)
    assert len(held) > 0 == here.memory.pinned_pages == here.user.pinned_pages
    with suppress(GvtError):
        # Whether the work hangs depends on how far it was.
        request.wait(PATIENCE_NS)
    assert here.host.guard.violations == 0, "the GPU finds nothing there, which is not somebody else's page"
    here.user.reset()
    here.map(0, RAM_SIZE)
    assert draw(here.machine) == draw(Host().plug().machine), "a new driver after the reset finds all memory again"
    assert here.host.guard.violations == 0


@every_policy
def test_the_end_of_a_device_at_work_gives_all_back(policy: str, way: str) -> None:
    host = Host()
    neighbour = GuestDriver(host.plug().machine)
    neighbour.probe()
    surface = neighbour.create_surface(64, 8)
    neighbour.fill(surface, 1).wait(PATIENCE_NS)

    def owned() -> tuple[object, ...]:
        hardware = host.mediator.hardware
        return host.pool.free, host.memory.own_pages, hardware.memory.pages, set(host.guard.machines), dict(hardware.functions), host.gpu.fences.tolist()

    before = owned()
    for _ in range(2):
        here = provision(host, policy, way)
        driver = probed(here.machine)
        driver.fill(driver.create_surface(64, 64), 1)
        gate = driver.create_buffer(PAGE_SIZE, "gate")
        batch = Batch()
        batch.semaphore_wait(gate.gpu_address, 1)
        driver.submit(Engine.VCS0, batch, preemptible=False)
        driver.wait(MS)
        assert here.client.submission.queues[Engine.VCS0].is_running
        assert here.memory.pinned_pages > 0
        here.user.close()
        assert here.memory.pinned_pages == here.user.pinned_pages == 0
        here.device.destroy()
        here.device.unconfigure()
        here.memory.close()
        neighbour.fill(surface, 3).wait(PATIENCE_NS)
        assert surface.read_dword(0) == 3
    assert owned() == before
    assert host.guard.violations == 0 and neighbour.log.complaints() == ()


@pytest.mark.parametrize("switching", SWITCHINGS)
@pytest.mark.parametrize("policies", [(PARTITION, PARTITION), (PARTITION, MEDIATED)])
def test_devices_of_one_gpu_work_beside_each_other_and_the_end_of_one_is_not_the_others(policies: tuple[str, str], switching: str) -> None:
    host = Host(switching=switching)
    first, second = (provision(host, policy) for policy in policies)
    drivers = [probed(each.machine) for each in (first, second)]
    done = [
        (stores(driver, engine, number * 0x1000 + turn), number * 0x1000 + turn)
        for turn in range(3)
        for number, driver in enumerate(drivers, 1)
        for engine in Engine
    ]
    for (_, request), _ in done:
        request.wait(PATIENCE_NS)
    assert [target.read_dword(0) for (target, _), _ in done] == [value for _, value in done]
    surfaces = [driver.create_surface(64, 8) for driver in drivers]
    requests = [driver.fill(surface, value) for driver, surface, value in zip(drivers, surfaces, (0x11111111, 0x22222222), strict=True)]
    requests[1].wait(PATIENCE_NS)
    first.end()
    drivers[1].copy(other := drivers[1].create_surface(64, 8), surfaces[1]).wait(PATIENCE_NS)
    assert {other.read_row(y, 0, 256) for y in range(8)} == {b"\x22" * 256}
    assert host.guard.violations == 0 and drivers[1].log.complaints() == ()


@each_policy
def test_a_driver_ends_a_batch_that_does_not_end_and_goes_on(policy: str) -> None:
    here = provision(Host(), policy)
    driver = probed(here.machine)
    guilty = driver.open_client("guilty")
    gate = guilty.create_buffer(PAGE_SIZE, "gate")
    batch = Batch()
    batch.semaphore_wait(gate.gpu_address, 1)
    hung = guilty.submit(Engine.BCS0, batch, preemptible=False)
    driver.wait(MS)
    target, waiting = stores(driver, Engine.BCS0, 8)
    with pytest.raises(RequestFailed):
        hung.wait(PATIENCE_NS)
    waiting.wait(PATIENCE_NS)
    assert target.read_dword(0) == 8
    assert driver.gt.engines[Engine.BCS0].resets == 1
    assert here.host.guard.violations == 0


@each_policy
def test_what_keeps_others_waiting_for_too_long_is_ended(policy: str) -> None:
    host = Host(patience_ns=20 * MS)
    here = provision(host, policy)
    driver = probed(here.machine)
    neighbour = GuestDriver(host.plug().machine)
    neighbour.probe()
    gate = driver.create_buffer(PAGE_SIZE, "gate")
    batch = Batch()
    batch.semaphore_wait(gate.gpu_address, 1)
    driver.submit(Engine.VCS0, batch, preemptible=False)
    driver.wait(MS)
    target, request = stores(neighbour, Engine.VCS0, 4)
    request.wait(PATIENCE_NS)
    assert target.read_dword(0) == 4 and neighbour.log.complaints() == ()
    assert "work-without-end" in {finding.rule for finding in here.client.findings}


@each_policy
def test_a_device_that_sleeps_keeps_its_work(policy: str) -> None:
    here = provision(Host(), policy)
    driver = probed(here.machine)
    config = here.client.config
    power = capabilities(config.bytes)[CAPABILITY_POWER] + 4
    target, request = stores(driver, Engine.RCS0, 6)
    config.write(power, 2, PowerState.D3HOT)
    here.machine.clock.wait_ns(MS)
    assert target.read_dword(0) == 0
    config.write(power, 2, PowerState.D0)
    request.wait(PATIENCE_NS)
    assert target.read_dword(0) == 6


def test_over_half_a_second_partitions_and_vgpus_have_what_they_weigh() -> None:
    host = Host(aperture_size=512 * MIB)
    devices = [provision(host, PARTITION, size="GVTg_V5_8"), provision(host, PARTITION, size="GVTg_V5_4"), provision(host, MEDIATED, size="GVTg_V5_8")]
    weights = [device.client.weight for device in devices]
    assert weights == [2, 4, 2]
    busy = [Busy(probed(device.machine), 60) for device in devices]
    turn = host.mediator.turn
    before = [turn.had(device.client).used_ns for device in devices]
    for _ in range(SECOND // 2 // (MS // 4)):
        for each in busy:
            each.go_on()
        devices[0].machine.clock.wait_ns(MS // 4)
    used = [turn.had(device.client).used_ns - had for device, had in zip(devices, before, strict=True)]
    for ns, weight in zip(used, weights, strict=True):
        assert abs(ns / sum(used) - weight / sum(weights)) <= 0.01
    assert host.guard.violations == 0


def test_registers_that_go_with_the_turn_are_a_partitions_in_its_turn() -> None:
    host = Host()
    devices = [provision(host, PARTITION), provision(host, MEDIATED)]
    drivers = [probed(device.machine) for device in devices]
    for device, value in zip(devices, (0x39, 0x3B), strict=True):
        device.machine.gpu.bar(0).write32(0xC800, value)  # type: ignore[union-attr]
    held = []
    for driver in (drivers[0], drivers[1], drivers[0]):
        stores(driver, Engine.RCS0, 1)[1].wait(PATIENCE_NS)
        held.append(host.gpu.registers.read32(0xC800))
    assert held == [0x39, 0x3B, 0x39]
