"""The guest driver's suspend and resume, by what it does to its device."""

from __future__ import annotations

import pytest

from guest_driver import GuestDriver
from guest_driver.batch import Batch
from guest_driver.state import DriverState
from host_model.bare_metal import bare_machine
from host_model.host import Host
from host_model.mediator.vgpu import Vgpu
from pvinfo.errors import StateError
from pvinfo.pci import BAR0, COMMAND, Command
from pvinfo.platform import PLATFORMS, Engine

PATIENCE_NS = 1_000_000_000


def messages(vgpu: Vgpu) -> bool:
    """The guest wants them."""
    return vgpu.config.msi_enabled


def lit(vgpu: Vgpu) -> list[str]:
    """The pipes that send a picture."""
    return list(vgpu.display.pipes.running)


def store(driver: GuestDriver, value: int) -> int:
    """What a batch has stored that stores ``value``."""
    buffer, batch = driver.create_buffer(4096, "result"), Batch()
    batch.store_dword(buffer.gpu_address, value)
    driver.submit(Engine.BCS0, batch).wait(PATIENCE_NS)
    return buffer.read_dword(0)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_driver_of_a_bare_gpu_suspends_and_resumes_as_one_of_a_vgpu_does(platform: str) -> None:
    for machine in (bare_machine(platform)[1], Host(platform).plug().machine):
        driver = GuestDriver(machine)
        driver.probe()
        assert store(driver, 1) == 1
        driver.suspend()
        assert driver.state is DriverState.SUSPENDED
        driver.wait(5 * PATIENCE_NS)
        driver.resume()
        assert store(driver, 2) == 2
        assert driver.wait_idle(PATIENCE_NS) and not list(driver.log.complaints())
        driver.unload()
        assert [state.value for state in driver.states.history][-4:] == ["ready", "suspended", "ready", "unbound"]


def test_the_header_is_put_back_as_it_was_and_messages_are_sent_again() -> None:
    plugged = Host("skl").plug()
    driver = GuestDriver(plugged.machine)
    driver.probe()
    config = plugged.machine.gpu.config
    before = [config.read(offset, 4) for offset in range(0, 64, 4)]
    driver.suspend()
    assert not Command(config.read(COMMAND, 2)).master
    plugged.machine.gpu.reset()
    assert config.read(BAR0, 4) & ~0xF == 0 and not messages(plugged.vgpu)
    driver.resume()
    assert [config.read(offset, 4) for offset in range(0, 64, 4)] == before
    assert messages(plugged.vgpu)
    told = driver.interrupts.received
    assert store(driver, 3) == 3 and driver.interrupts.received > told


def test_nothing_is_asked_of_a_driver_that_sleeps() -> None:
    driver = GuestDriver(Host("skl").plug().machine)
    with pytest.raises(StateError, match="suspend needs state ready, but the state is unbound"):
        driver.suspend()
    driver.probe()
    client = driver.open_client("a program")
    with pytest.raises(StateError, match="resume needs state suspended, but the state is ready"):
        driver.resume()
    driver.suspend()
    for act in (lambda: client.submit(Engine.RCS0, Batch()), lambda: driver.open_client("another"), driver.suspend, driver.probe, driver.unload):
        with pytest.raises(StateError, match="suspended"):
            act()
    driver.resume()
    client.close()


@pytest.mark.parametrize("reset", [False, True])
def test_screens_go_off_for_the_sleep_and_are_lit_again_by_who_wants_them(reset: bool) -> None:
    plugged = Host("skl").plug()
    driver = GuestDriver(plugged.machine)
    driver.probe()
    driver.display.set_mode()
    assert lit(plugged.vgpu) == ["PIPE_A"]
    driver.suspend()
    assert lit(plugged.vgpu) == []
    if reset:
        plugged.machine.gpu.reset()
    driver.resume()
    assert driver.display.screens == {}
    assert driver.display.set_mode().on
    assert lit(plugged.vgpu) == ["PIPE_A"]
