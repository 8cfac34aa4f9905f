"""The host's own driver beside guests: it works, they work, and each finds its own results only."""

from __future__ import annotations

import random

import pytest
from support.own_device import PATIENCE_NS, Household, probed, stores
from support.vgpu_rig import GuestContext, GuestRig, batch_start

from guest_driver import Batch, BufferObject, GuestDriver, Rectangle, Request
from host_model.clock import RealClock
from host_model.device.config_space import CAPABILITY_POWER, capabilities
from host_model.device.display.monitor import Monitor
from host_model.device.mmio.window import GTT_OFFSET
from host_model.host import Host
from host_model.mediator.scheduler.turns import SWITCHINGS
from host_model.report import host_report
from host_model.scanout import scan_out
from pvinfo.connector import Connector, Link, default_connector
from pvinfo.edid import edid_for
from pvinfo.errors import UsageError
from pvinfo.pci import PowerState
from pvinfo.platform import PLATFORMS, Engine, platform_named
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.registers.reset import ResetRegisters
from pvinfo.units import MIB, PAGE_SHIFT, PAGE_SIZE, BusAddress


def graphics_entry(address: int) -> int:
    return GTT_OFFSET + (address >> PAGE_SHIFT) * 8


# ---- work ----


@pytest.mark.parametrize("switching", SWITCHINGS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_host_and_guests_each_find_their_own_results(platform: str, switching: str) -> None:
    home = Household(platform, switching=switching)
    done = [
        (stores(driver, engine, number * 0x1000 + turn), number * 0x1000 + turn)
        for turn in range(3)
        for number, driver in enumerate(home.drivers, 1)
        for engine in Engine
    ]
    for (_, request), _ in done:
        request.wait(PATIENCE_NS)
    assert [target.read_dword(0) for (target, _), _ in done] == [value for _, value in done]
    assert home.complaints() == [] and home.host.guard.violations == 0
    queues = home.device.submission.queues
    assert all(queue.requests >= 3 and queue.completed >= 3 for queue in queues.values())
    assert home.device.interrupts_sent > 0, "it was told, and did not look by itself"


def test_the_copy_engine_draws_for_the_host_what_it_draws_for_a_guest() -> None:
    home = Household(guests=1)
    pictures = []
    for driver in home.drivers:
        source, copied = (driver.create_surface(64, 64, name=name) for name in ("source", "copy"))
        noise = random.Random(3).randbytes(source.size)
        source.write(0, noise)
        driver.fill(copied, 0).wait(PATIENCE_NS)
        driver.copy(copied, source).wait(PATIENCE_NS)
        driver.fill(copied, 0x123456, Rectangle(3, 5, 10, 1)).wait(PATIENCE_NS)
        pictures.append((copied.read(0, copied.size), noise))
    (by_host, noise), by_guest = pictures
    assert by_host == by_guest[0] and by_host[: 5 * 256] == noise[: 5 * 256]
    assert by_host[5 * 256 + 12 : 5 * 256 + 52] == (0x123456).to_bytes(4, "little") * 10
    assert home.complaints() == []


def test_the_hosts_contexts_run_where_they_are_and_cost_no_shadow() -> None:
    home = Household(guests=1)
    before = home.host.mediator.hardware.memory.pages
    for number in range(8):
        stores(home.driver, Engine.BCS0, number)[1].wait(PATIENCE_NS)
    assert home.host.mediator.hardware.memory.pages == before
    assert home.host.mediator.shadow_pool.used(home.device.number) == 0


def test_registers_that_go_with_the_turn_are_the_hosts_in_its_turn() -> None:
    """Cache control: the host's table stands in the hardware while it has the GPU, a guest's in the guest's turn."""
    home = Household(guests=1)
    own, guest = home.device, home.plugged[0].vgpu
    own.mmio.write32(0xC800, 0x39)
    guest.mmio.write32(0xC800, 0x3B)
    held = []
    for driver in (home.driver, home.guests[0], home.driver):
        stores(driver, Engine.RCS0, 1)[1].wait(PATIENCE_NS)
        held.append(home.host.gpu.registers.read32(0xC800))
    assert held == [0x39, 0x3B, 0x39]


# ---- what is not the host's ----


def test_what_the_host_writes_outside_its_part_has_no_effect_and_is_told() -> None:
    home = Household(guests=1)
    guest = home.plugged[0].vgpu
    target, request = stores(home.guests[0], Engine.BCS0, 0x77)
    request.wait(PATIENCE_NS)
    place = guest.resources.low.start
    entries = bytes(home.host.gpu.ggtt.entries)
    for address in (place, guest.resources.high.start, home.device.resources.low.stop, 0):
        home.device.mmio.write(graphics_entry(address), 8, 0xBAD0_0003)
        assert home.device.mmio.read(graphics_entry(address), 8) == 0
    home.device.mmio.write(graphics_entry(home.device.resources.low.stop) - 4, 8, 0xBAD0_0003_0000_0000)
    assert bytes(home.host.gpu.ggtt.entries) == entries
    fences = home.host.gpu.fences.tolist()
    home.device.mmio.write32(FENCE_BASE + 8 * 4, 0xFFFF_F001)
    home.device.mmio.write32(FENCE_BASE + 4, place + PAGE_SIZE)
    home.device.mmio.write32(FENCE_BASE, place | 1)
    assert home.host.gpu.fences.tolist() == fences and home.device.mmio.read32(FENCE_BASE + 8 * 4) == 0
    window = home.own.machine.gpu.bar(2)
    assert window is not None
    window.write32(place, 0xBAD)
    assert window.read32(place) == 0xFFFF_FFFF
    assert {finding.rule for finding in home.device.findings} == {
        "ggtt-outside-slice", "fence-not-owned", "fence-outside-slice", "aperture-outside-slice",
    }  # fmt: skip
    assert target.read_dword(0) == 0x77 and list(guest.findings) == []


def test_a_table_of_the_hosts_that_leads_to_a_guest_leads_nowhere() -> None:
    """The host is trusted, and yet the guard looks: its entry of a guest's page is an isolation violation."""
    home = Household(guests=1)
    ram = home.plugged[0].vgpu.port.map_guest_page(home.guests[0].memory.allocate(1, "secret").address)
    assert ram is not None
    address = home.device.resources.low.stop - PAGE_SIZE
    home.device.mmio.write(graphics_entry(address), 8, ram | 3)
    window = home.own.machine.gpu.bar(2)
    assert window is not None
    assert window.read32(address) == 0xFFFF_FFFF
    assert home.host.guard.violations >= 1 and "isolation-violation" in {finding.rule for finding in home.host.gpu.findings}


def test_the_hosts_memory_is_no_guests() -> None:
    """A guest's turn reaches nothing of the RAM that the host's driver has."""
    home = Household(guests=1)
    page = BusAddress(home.driver.memory.allocate(1, "secret").address)
    guard = home.host.guard
    with guard.on_behalf_of(home.plugged[0].vgpu.number):
        assert guard.page(page) is None and guard.span(page, PAGE_SIZE) is None
    with guard.on_behalf_of(home.device.number):
        assert guard.page(page) is not None and guard.span(page, PAGE_SIZE) is not None
    assert guard.violations == 1
    assert "it is RAM of the host's driver" in next(finding.text for finding in home.host.gpu.findings if finding.rule == "isolation-violation")


# ---- interrupts and the screen ----


def test_a_picture_of_the_hosts_is_on_the_physical_monitor_while_guests_work() -> None:
    for platform in PLATFORMS:
        home = Household(platform, guests=1)
        connector = Connector(default_connector(platform_named(platform)).port, Link.DISPLAYPORT)
        home.host.gpu.display.plug(Monitor(connector, edid_for("1024x768", Link.DISPLAYPORT)))
        assert len(home.driver.display.detect()) == 1
        screen = home.driver.display.set_mode()
        assert (screen.mode.hdisplay, screen.mode.vdisplay) == (1024, 768)
        rows = [(0x102030 + y * 7).to_bytes(4, "little") * 1024 for y in range(768)]
        assert screen.framebuffer is not None
        screen.framebuffer.draw(rows)
        other = home.driver.display.create_framebuffer(1024, 768)
        asked = [stores(home.guests[0], engine, 5)[1] for engine in Engine]
        first = screen.wait_for_vblank()
        flip = screen.flip(other)
        flip.wait()
        assert flip.frame == first + 1
        screen.flip(screen.framebuffer if screen.framebuffer is not other else other)
        for request in asked:
            request.wait(PATIENCE_NS)
        other.draw(rows[::-1])
        assert home.host.mediator.hardware.holder(Engine.BCS0) == home.plugged[0].vgpu.number, "it is the guest's turn"
        frame = scan_out(home.device.screen)
        assert frame is not None and (frame.width, frame.height) == (1024, 768)
        shown = [bytes(frame.pixels[at : at + 4 * 1024]) for at in range(0, 768 * frame.pitch, frame.pitch)]
        assert [line[:3] for line in shown] == [row[:3] for row in rows[::-1]]
        assert scan_out(home.plugged[0].vgpu) is None
        home.driver.display.switch_off(screen)
        assert scan_out(home.device.screen) is None
        assert home.complaints() == [] and home.host.guard.violations == 0


def test_a_cable_of_the_physical_monitor_is_told_to_the_host_alone() -> None:
    home = Household(guests=1)
    before = home.device.interrupts_sent, home.plugged[0].vgpu.interrupts_sent
    home.driver.display.detect()
    sent = home.device.interrupts_sent
    home.host.gpu.display.plug(Monitor.of_resolution(default_connector(home.host.platform), "1024x768"))
    assert home.device.interrupts_sent > sent >= before[0]
    assert home.plugged[0].vgpu.interrupts_sent == before[1]
    home.driver.wait(500_000_000)
    assert len(home.driver.display.detect()) == 1


# ---- resets ----


def waiting(driver: GuestDriver, engine: Engine) -> tuple[BufferObject, Request]:
    """Work that waits until a number in the buffer is 1."""
    gate = driver.create_buffer(PAGE_SIZE, "gate")
    batch = Batch()
    batch.semaphore_wait(gate.gpu_address, 1)
    request = driver.submit(engine, batch, preemptible=False)
    driver.wait(1_000_000)
    return gate, request


@pytest.mark.parametrize("domains", [0x1, 0x2, 0x8, 0x1E])
def test_a_reset_by_the_host_while_a_guest_works_hits_nothing_of_the_guests(domains: int) -> None:
    home = Household(guests=2)
    guest = home.plugged[0].vgpu
    gate, running = waiting(home.guests[0], Engine.BCS0)
    assert guest.submission.queues[Engine.BCS0].is_running
    resets = {engine: hardware.resets for engine, hardware in home.host.mediator.hardware.engines.items()}
    home.device.mmio.write32(ResetRegisters.gdrst.at(), domains)
    assert home.device.mmio.read32(ResetRegisters.gdrst.at()) == 0
    assert {engine: hardware.resets for engine, hardware in home.host.mediator.hardware.engines.items()} == resets
    assert sum(home.device.resets.values()) >= 1
    gate.write_dword(0, 1)
    running.wait(PATIENCE_NS)
    target, request = stores(home.guests[1], Engine.BCS0, 9)
    request.wait(PATIENCE_NS)
    assert target.read_dword(0) == 9
    assert [finding for plugged in home.plugged for finding in plugged.vgpu.findings] == []


def test_a_driver_that_finds_its_engine_hung_resets_it_and_goes_on_and_guests_notice_nothing() -> None:
    home = Household(guests=1)
    _, hung = waiting(home.driver, Engine.VCS0)
    target, request = stores(home.guests[0], Engine.VCS0, 4)
    request.wait(20_000_000_000)
    assert target.read_dword(0) == 4
    assert [finding.rule for finding in home.device.findings] == ["work-without-end"], "it has kept a guest waiting for too long"
    home.driver.wait(30_000_000_000)
    assert hung.complete
    mine, again = stores(home.driver, Engine.VCS0, 6)
    again.wait(PATIENCE_NS)
    assert mine.read_dword(0) == 6
    assert list(home.plugged[0].vgpu.findings) == [] and home.guests[0].log.complaints() == ()


def test_a_guest_that_holds_the_gpu_is_no_reason_for_the_host_to_lose_its_work() -> None:
    home = Household(guests=0)
    rig = GuestRig(home.host, home.host.plug(ram_size=4 * MIB))
    context = GuestContext(rig, 1)
    page = rig.page()
    context.map(0x40_0000, page)
    rig.write(page, batch_start(0x40_0000))
    context.write(*batch_start(0x40_0000))
    rig.submit(context)
    rig.wait()
    target, request = stores(home.driver, Engine.BCS0, 8)
    request.wait(30_000_000_000)
    assert target.read_dword(0) == 8 and home.driver.log.complaints() == ()
    assert [finding.rule for finding in rig.vgpu.findings] == ["work-without-end"]


def test_a_host_that_sleeps_keeps_its_work_and_guests_go_on() -> None:
    home = Household(guests=1)
    config = home.device.config
    power = capabilities(config.bytes)[CAPABILITY_POWER] + 4
    gate, first = waiting(home.guests[0], Engine.BCS0)
    target, mine = stores(home.driver, Engine.BCS0, 6)
    config.write(power, 2, PowerState.D3HOT)
    gate.write_dword(0, 1)
    first.wait(PATIENCE_NS)
    theirs, request = stores(home.guests[0], Engine.RCS0, 5)
    request.wait(PATIENCE_NS)
    assert (target.read_dword(0), theirs.read_dword(0)) == (0, 5)
    config.write(power, 2, PowerState.D0)
    mine.wait(PATIENCE_NS)
    assert target.read_dword(0) == 6 and home.complaints() == []


# ---- what the host says of itself ----


def test_the_report_has_the_hosts_device_while_it_is_there() -> None:
    home = Household(guests=1)
    stores(home.driver, Engine.VECS0, 3)[1].wait(PATIENCE_NS)
    home.device.mmio.write(graphics_entry(home.plugged[0].vgpu.resources.low.start), 8, 3)
    report = host_report(home.host)
    own, gpu = report["host"], report["gpu"]
    assert isinstance(own, dict) and isinstance(gpu, dict)
    queues = home.device.submission.queues
    assert own["requests"] == {engine.value: queue.requests for engine, queue in queues.items()} and own["requests"]["vecs0"] > 0
    assert [(finding["rule"], finding["count"]) for finding in own["findings"]] == [("ggtt-outside-slice", 1), ("pipeline-state", 1)]
    assert gpu["findings"] == [] and report["ok"] is True, "its driver is no guest"
    assert own["interrupts"] == home.device.interrupts_sent and own["schedule"]["weight"] == 8
    home.device.close()
    assert "host" not in host_report(home.host)


# ---- coming and going ----


def test_there_is_one_device_of_the_hosts_at_a_time() -> None:
    host = Host()
    own = host.own_device()
    with pytest.raises(UsageError, match="the host has its own device already"):
        host.own_device()
    own.device.close()
    assert host.own_device().device.is_open
    with pytest.raises(UsageError, match="runs on virtual time"):
        Host(clock=RealClock()).own_device()
    for weight in (0, 17):
        with pytest.raises(UsageError, match=rf"weight {weight} for the host's own device: weights go from 1 to 16"):
            Host().own_device(weight=weight)
    for size in (0, 4095, 1 << 31):
        with pytest.raises(UsageError, match=rf"{size} bytes of RAM for the host: whole pages, up to"):
            Host().own_device(ram_size=size)
    refused = Host()
    with pytest.raises(UsageError):
        refused.own_device(weight=0)
    assert refused.own_device().device.is_open, "nothing is left of what was refused"


def test_a_closed_device_leaves_nothing_and_the_guests_go_on() -> None:
    home = Household(guests=2)
    host = home.host
    host.gpu.display.plug(Monitor.of_resolution(default_connector(host.platform), "1024x768"))
    home.driver.display.detect()
    home.driver.display.set_mode()
    waiting(home.driver, Engine.RCS0)
    pending = [stores(driver, Engine.RCS0, 3) for driver in home.guests]
    home.driver.wait(1_000_000)
    assert home.device.submission.is_running
    home.device.close()
    home.device.close()
    for target, request in pending:
        request.wait(PATIENCE_NS)
        assert target.read_dword(0) == 3
    unused = host.mediator.hardware.memory.unused_entry
    for part in (home.device.resources.low, home.device.resources.high):
        assert set(host.gpu.ggtt.entries[part.start >> PAGE_SHIFT : part.stop >> PAGE_SHIFT].tolist()) == {unused}
    assert host.gpu.fences.tolist()[:4] == [0] * 4
    assert host.mediator.hardware.holder(Engine.RCS0) != 0 and 0 not in host.guard.machines
    assert host.mediator.turn.worst_wait_ns(home.device) is None, "it is not among those who share"
    assert host.memory.page(BusAddress(PAGE_SIZE)) is None
    assert host.gpu.display.pipes.running == ()
    assert host.guard.violations == 0
    again = host.own_device()
    target, request = stores(probed(GuestDriver(again.machine)), Engine.RCS0, 12)
    request.wait(PATIENCE_NS)
    assert target.read_dword(0) == 12


def test_after_a_reset_of_its_device_a_driver_comes_up_anew() -> None:
    home = Household(guests=1)
    stores(home.driver, Engine.BCS0, 1)[1].wait(PATIENCE_NS)
    home.device.reset()
    driver = probed(GuestDriver(home.own.machine))
    target, request = stores(driver, Engine.BCS0, 2)
    request.wait(PATIENCE_NS)
    assert target.read_dword(0) == 2 and home.device.resets["device"] == 1
    target, request = stores(home.guests[0], Engine.BCS0, 3)
    request.wait(PATIENCE_NS)
    assert target.read_dword(0) == 3 and home.host.guard.violations == 0
